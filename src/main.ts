/** The one place that reads flags and environment and that may import everything; it builds ports and hands them to a process. */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { Io } from './cli/command.ts'
import { AGENT } from './cli/commands/agent.ts'
import { AUTHOR } from './cli/commands/author.ts'
import { KEYS } from './cli/commands/keys.ts'
import { OBSERVE } from './cli/commands/observe.ts'
import { OPERATE } from './cli/commands/operate.ts'
import { PREDICT } from './cli/commands/predict.ts'
import { QUEUES } from './cli/commands/queues.ts'
import { SIGN } from './cli/commands/sign.ts'
import { SITE_LOOKS } from './cli/commands/site-looks.ts'
import { BOX } from './cli/commands/box.ts'
import { AGENT_DATA, RUN } from './cli/commands/run.ts'
import { SLURM } from './cli/commands/slurm.ts'
import type { CliPorts } from './cli/ports.ts'
import { printable } from './cli/printable.ts'
import { runProgram } from './cli/program.ts'
import { Fault } from './core/model/fault.ts'

const VERSION = '0.1.0'
const env = Object.freeze({
  hub: process.env['FLOTILLA_HUB'],
  token: process.env['FLOTILLA_TOKEN'],
  data: process.env['FLOTILLA_DATA'],
  kubeconfig: process.env['KUBECONFIG'],
  kubernetesHost: process.env['KUBERNETES_SERVICE_HOST'],
  kubernetesPort: process.env['KUBERNETES_SERVICE_PORT'],
  noColor: process.env['NO_COLOR'] !== undefined,
  ascii: process.env['FLOTILLA_ASCII'] !== undefined,
  logLevel: process.env['FLOTILLA_LOG'] ?? 'info',
})

interface Context {
  readonly hub: string
  readonly token: string
}

/** `.flotilla/context.json` here, above, or at home: what `hub` and `demo` write for the one who started them. */
function readContext(): Context | undefined {
  const folders = [os.homedir()]
  for (let dir = process.cwd(); ; dir = path.dirname(dir)) {
    folders.push(dir)
    if (dir === path.dirname(dir)) break
  }
  for (const folder of [...folders.slice(1), folders[0] as string]) {
    try {
      return JSON.parse(fs.readFileSync(path.join(folder, '.flotilla', 'context.json'), 'utf8')) as Context
    } catch {
      continue
    }
  }
  return undefined
}

const ports: CliPorts = {
  version: VERSION,
  async hub(url, token) {
    const { createApiClient } = await import('./adapters/http/api-client.ts')
    const context = readContext()
    const to = url ?? env.hub ?? context?.hub
    if (to === undefined) throw new Fault('Unreachable', 'no hub is named')
    return createApiClient(
      to,
      token ?? env.token ?? (context !== undefined && to === context.hub ? context.token : undefined),
    )
  },
  async folder(dir) {
    const { readFolder } = await import('./adapters/git/folder.ts')
    return readFolder(dir)
  },
  async commit(dir, message) {
    const { commitAll } = await import('./adapters/git/write.ts')
    const user = os.userInfo().username
    return commitAll(dir, message, { name: user, email: `${user}@${os.hostname()}` })
  },
  async cluster(named, context) {
    const { openCluster } = await import('./adapters/cluster/kube-cluster.ts')
    const file = named ?? env.kubeconfig
    if (file === undefined) throw new Fault('InvalidInput', 'no cluster is named: give --kubeconfig or set KUBECONFIG')
    return openCluster({ from: 'kubeconfig', path: file, ...(context === undefined ? {} : { context }) })
  },
  async signer(file) {
    const { readSigner } = await import('./process/keys.ts')
    return readSigner(file)
  },
  async rotateKeys(data, step, files) {
    const { rotateHubKeys } = await import('./process/keys.ts')
    return rotateHubKeys(data, step, files)
  },
  async runHub(options, signal) {
    const { runHub } = await import('./process/hub.ts')
    await runHub(options, { version: VERSION, logLevel: env.logLevel }, signal)
  },
  async runAgent(options, signal) {
    const { runAgent } = await import('./process/run-agent.ts')
    const { kubernetesHost: host, kubernetesPort: port = '443' } = env
    const inCluster = host === undefined ? undefined : { host, port: Number(port) }
    const kubeconfig = options.kubeconfig ?? env.kubeconfig
    await runAgent({ ...options, kubeconfig, inCluster }, { version: VERSION, logLevel: env.logLevel }, signal)
  },
  async batch(dir) {
    const { openBatch } = await import('./process/batch.ts')
    return openBatch(dir ?? env.data ?? AGENT_DATA)
  },
  async script(file) {
    if (file !== undefined) return fs.promises.readFile(file, 'utf8')
    const { text } = await import('node:stream/consumers')
    return text(process.stdin)
  },
  async box(dir) {
    const { openBox } = await import('./process/box.ts')
    return openBox(dir ?? env.data ?? AGENT_DATA)
  },
  async runDemo(options, io, signal) {
    const { runDemo } = await import('./process/demo.ts')
    return runDemo(options, { version: VERSION, logLevel: env.logLevel }, io, signal)
  },
}

const stop = new AbortController()
/** A second signal ends at once: somebody is waiting. */
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.on(name, () => {
    if (stop.signal.aborted) process.exit(130)
    stop.abort(new Fault('Cancelled', `stopped by ${name}`))
  })
}

const io: Io = {
  out: (text) => void process.stdout.write(`${printable(text)}\n`),
  err: (text) => void process.stderr.write(`${printable(text)}\n`),
  terminal: process.stdout.isTTY,
  color: process.stdout.isTTY && !env.noColor,
  ascii: env.ascii,
  columns: process.stdout.columns ?? 120,
  nowMs: () => Date.now(),
  signal: stop.signal,
}
process.stdout.on('error', (error) => {
  // `flotilla get sites | head` closes the pipe: that is no error of ours.
  if ((error as NodeJS.ErrnoException).code === 'EPIPE') process.exit(0)
})

process.exitCode = await runProgram(
  [
    ...RUN,
    ...KEYS,
    ...SIGN,
    ...AGENT,
    ...BOX,
    ...AUTHOR,
    ...OBSERVE,
    ...SITE_LOOKS,
    ...OPERATE,
    ...SLURM,
    ...QUEUES,
    ...PREDICT,
  ],
  process.argv.slice(2),
  VERSION,
  ports,
  io,
)
