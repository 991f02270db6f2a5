/**
 * The spine's figures: from a commit on disk to applied at a connected simulated site, what hub and agent weigh, what an exchange
 * costs in which nothing changed. The agent's weight is taken on a real API server where `../shared/kube` is beside the checkout.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { commitAll, initRepository } from '../src/adapters/git/write.ts'
import { createApiClient } from '../src/adapters/http/api-client.ts'
import { type RunningAgent, startAgent, thisMachine } from '../src/process/agent.ts'
import { type RunningHub, startHub } from '../src/process/hub.ts'
import { systemClock } from '../src/runtime/clock.ts'
import { createLogger } from '../src/runtime/pino-logger.ts'
import { SimCluster } from '../src/sim/cluster.ts'
import { startControlPlane } from '../test/kube/control-plane.ts'
import type { Row } from './row.ts'

const ROOT = path.resolve(import.meta.dirname, '..')
const AUTHOR = { name: 'bench', email: 'bench@example.com' }
const COMMITS = 15
const GIT_POLL_MS = 1_000
const AGENT_POLL_MS = 500
const log = createLogger('bench', 'fatal', 2)

const FLEET = `apiVersion: flotilla.dev/v1alpha1
kind: Fleet
metadata: { name: bench }
spec: { defaults: { rollout: at-once } }
---
apiVersion: flotilla.dev/v1alpha1
kind: RolloutPolicy
metadata: { name: at-once }
spec:
  waves: [{ name: all, maxConcurrent: 100%, soak: 1s }]
  maxUnavailable: 100%
  onSupersede: now
---
apiVersion: flotilla.dev/v1alpha1
kind: Site
metadata: { name: s1, labels: { shop: "true" } }
spec: {}
---
apiVersion: flotilla.dev/v1alpha1
kind: Workload
metadata: { name: word }
spec:
  source: { path: ./word }
  namespace: default
  targets: [{ selector: { matchLabels: { shop: "true" } } }]
`
const object = (word: string): string =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: word }\ndata: { word: "${word}" }\n`

export async function run(): Promise<readonly Row[]> {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'flotilla-spine-'))
  const stop = new AbortController()
  try {
    return [
      ...(await commitToApplied(dir, stop.signal)),
      ...(await hubAtExample(dir, stop.signal)),
      ...(await agentOnRealServer(dir)),
    ]
  } finally {
    stop.abort()
    fs.rmSync(dir, { recursive: true, force: true, maxRetries: 5 })
  }
}

async function commitToApplied(dir: string, signal: AbortSignal): Promise<readonly Row[]> {
  const repo = path.join(dir, 'one')
  fs.mkdirSync(path.join(repo, 'word'), { recursive: true })
  fs.writeFileSync(path.join(repo, 'flotilla.yaml'), FLEET)
  fs.writeFileSync(path.join(repo, 'word/word.yaml'), object('0'))
  await initRepository(repo, 'main', 'first', AUTHOR)
  const hub = await hubOn(repo, path.join(dir, 'one-hub'), signal)
  const cluster = new SimCluster({ clock: systemClock })
  const site = await join(hub, 's1', cluster, signal)
  const word = async (): Promise<unknown> => {
    const found = await cluster.get(
      { apiVersion: 'v1', kind: 'ConfigMap' },
      { group: '', kind: 'ConfigMap', namespace: 'default', name: 'word' },
      signal,
    )
    return (found?.['data'] as { readonly word?: string } | undefined)?.word
  }
  await until(async () => (await word()) === '0')
  const took: number[] = []
  for (let i = 1; i <= COMMITS; i++) {
    // The commit falls anywhere between two looks at the branch.
    await sleep(GIT_POLL_MS + ((i * 137) % GIT_POLL_MS))
    fs.writeFileSync(path.join(repo, 'word/word.yaml'), object(String(i)))
    await commitAll(repo, `word ${i}`, AUTHOR)
    const began = performance.now()
    await until(async () => (await word()) === String(i))
    took.push(performance.now() - began)
  }
  const before = { ...site.agent.status().counts }
  await until(async () => site.agent.status().counts.syncs >= before.syncs + 20)
  const after = site.agent.status().counts
  const syncs = after.syncs - before.syncs
  await site[Symbol.asyncDispose]()
  await hub[Symbol.asyncDispose]()
  took.sort((a, b) => a - b)
  const note = `${GIT_POLL_MS / 1000} s Git poll, ${AGENT_POLL_MS / 1000} s agent poll, no gates, ${COMMITS} commits`
  return [
    { case: 'commit to applied, p50', value: took[Math.floor(took.length / 2)] ?? 0, unit: 'ms', goal: 2_500, note },
    { case: 'commit to applied, slowest', value: took.at(-1) ?? 0, unit: 'ms' },
    {
      case: 'sync with nothing new, up',
      value: (after.bytesUp - before.bytesUp) / syncs,
      unit: 'bytes',
      note: 'TLS records as the socket counts them, a soak that is still told included',
    },
    { case: 'sync with nothing new, down', value: (after.bytesDown - before.bytesDown) / syncs, unit: 'bytes' },
  ]
}

/** A hub of its own process with fleet-example's 43 sites joined and settled. */
async function hubAtExample(dir: string, signal: AbortSignal): Promise<readonly Row[]> {
  const repo = path.join(dir, 'example')
  fs.cpSync(path.join(ROOT, 'fleet-example'), repo, { recursive: true })
  await initRepository(repo, 'main', 'example', AUTHOR)
  const data = path.join(dir, 'hub-43')
  const child = flotilla([
    'hub',
    '--repo',
    repo,
    '--data',
    data,
    '--listen',
    '127.0.0.1:0',
    '--api',
    '127.0.0.1:0',
    '--sync-ms',
    '2000',
  ])
  const sites: RunningAgent[] = []
  try {
    const file = path.join(data, 'context.json')
    await until(async () => fs.existsSync(file))
    const context = JSON.parse(fs.readFileSync(file, 'utf8')) as { hub: string; token: string }
    const api = createApiClient(context.hub, context.token)
    await until(async () => (await api.get<{ total: number }>('/v1/sites')).total > 0)
    const { items } = await api.get<{ items: { name: string }[] }>('/v1/sites', { limit: '500' })
    for (const { name } of items) {
      const { line } = await api.send<{ line: string }>('POST', '/v1/tokens', { site: name, ttlMs: 600_000 })
      sites.push(await joinLine(line, new SimCluster({ clock: systemClock, seed: sites.length }), signal))
    }
    await sleep(15_000)
    return [
      {
        case: `hub RSS at ${items.length} sites`,
        value: rssMiB(child),
        unit: 'MiB',
        note: 'its own process, all sites joined, 2 s polls',
      },
    ]
  } finally {
    await Promise.all(sites.map((site) => site[Symbol.asyncDispose]()))
    child.kill('SIGKILL')
  }
}

async function agentOnRealServer(dir: string): Promise<readonly Row[]> {
  if (!fs.existsSync(path.resolve(ROOT, '../shared/kube/up.sh')))
    return [{ case: 'agent idle RSS', value: Number.NaN, unit: 'MiB', note: '../shared/kube is absent: not measured' }]
  spawnSync(process.execPath, ['build.ts'], { cwd: ROOT })
  await using plane = await startControlPlane()
  const repo = path.join(dir, 'real')
  fs.mkdirSync(path.join(repo, 'word'), { recursive: true })
  fs.writeFileSync(path.join(repo, 'flotilla.yaml'), FLEET)
  fs.writeFileSync(path.join(repo, 'word/word.yaml'), object('0'))
  await initRepository(repo, 'main', 'first', AUTHOR)
  const stop = new AbortController()
  const hub = await hubOn(repo, path.join(dir, 'real-hub'), stop.signal)
  await until(async () => (await hub.api.sites({})).total > 0)
  const { line } = await hub.api.createToken({ name: 'bench', role: 'admin', teams: ['*'] }, 's1', 3_600_000)
  const child = flotilla(
    ['agent', '--data', path.join(dir, 'real-agent'), '--kubeconfig', plane.kubeconfig, '--join', line],
    'dist/flotilla.js',
  )
  try {
    await until(async () => (await hub.api.site('s1')).workloads[0]?.sync === 'Synced')
    await sleep(15_000)
    return [
      {
        case: 'agent idle RSS, real API server',
        value: rssMiB(child),
        unit: 'MiB',
        goal: 80,
        note: 'bundled, one workload, after 15 s',
      },
    ]
  } finally {
    child.kill('SIGKILL')
    stop.abort()
    await hub[Symbol.asyncDispose]()
  }
}

function hubOn(repo: string, data: string, signal: AbortSignal): Promise<RunningHub> {
  return startHub(
    {
      repo,
      branch: 'main',
      root: '',
      data,
      listen: '127.0.0.1:0',
      api: '127.0.0.1:0',
      advertise: undefined,
      credentials: null,
      gitPollMs: GIT_POLL_MS,
      polls: { connectedMs: AGENT_POLL_MS, meteredMs: [AGENT_POLL_MS, AGENT_POLL_MS] },
      trustClock: 'judged',
      version: 'bench',
      clock: systemClock,
      log,
    },
    signal,
  )
}

async function join(hub: RunningHub, name: string, cluster: SimCluster, signal: AbortSignal): Promise<RunningAgent> {
  await until(async () => (await hub.api.sites({})).total > 0)
  const { line } = await hub.api.createToken({ name: 'bench', role: 'admin', teams: ['*'] }, name, 3_600_000)
  return joinLine(line, cluster, signal)
}

function joinLine(line: string, cluster: SimCluster, signal: AbortSignal): Promise<RunningAgent> {
  return startAgent(
    {
      data: ':memory:',
      join: line,
      cluster,
      clock: systemClock,
      machine: thisMachine(),
      log,
      options: { version: 'bench' },
    },
    signal,
  )
}

function flotilla(args: readonly string[], entry = 'src/main.ts'): ChildProcess {
  return spawn(process.execPath, [path.join(ROOT, entry), ...args], {
    stdio: 'ignore',
    env: { ...process.env, FLOTILLA_LOG: 'warn' },
  })
}

function rssMiB(child: ChildProcess): number {
  const status = fs.readFileSync(`/proc/${child.pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? Number.NaN) / 1024
}

async function until(done: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + 60_000
  while (performance.now() < end) {
    if (await done().catch(() => false)) return
    await sleep(10)
  }
  throw new Error('a step of the bench did not end within 60 s')
}
