/** What e2e suites stand on: the built CLI as processes, a real Git server, and a way to wait for what users would see. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { gitProgram } from '../git/http-server.ts'

export const ROOT = path.resolve(import.meta.dirname, '../..')
const BIN = path.join(ROOT, 'dist/flotilla.js')

/** The CLI is run as it is shipped: bundled once a test run. */
export function buildCli(): void {
  const done = spawnSync(process.execPath, ['build.ts'], { cwd: ROOT, encoding: 'utf8' })
  if (done.status !== 0) throw new Error(`build failed: ${done.stderr}`)
}

export async function freePort(): Promise<number> {
  const server = net.createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as net.AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** Asks until `look` answers something; throws with the last error or answer after `ms`. */
export async function eventually<T>(
  what: string,
  look: () => T | undefined | false | Promise<T | undefined | false>,
  ms = 60_000,
): Promise<T> {
  const end = Date.now() + ms
  let last: unknown
  while (Date.now() < end) {
    try {
      const found = await look()
      if (found !== undefined && found !== false) return found
      last = found
    } catch (error) {
      last = error
    }
    await sleep(200)
  }
  throw new Error(
    `not within ${ms} ms: ${what}; last: ${last instanceof Error ? last.message : JSON.stringify(last)}`,
    { cause: last },
  )
}

export class Program {
  readonly name: string
  readonly log: string
  #child: ChildProcess | undefined
  readonly #args: readonly string[]
  readonly #env: Readonly<Record<string, string>>
  readonly #bin: string

  constructor(
    name: string,
    dir: string,
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
    bin = BIN,
  ) {
    this.#bin = bin
    this.name = name
    this.log = path.join(dir, `${name}.log`)
    this.#args = args
    this.#env = env
  }

  start(extra: readonly string[] = []): void {
    const out = fs.openSync(this.log, 'a')
    this.#child = spawn(process.execPath, [this.#bin, ...this.#args, ...extra], {
      cwd: path.dirname(this.log),
      stdio: ['ignore', out, out],
      env: { ...process.env, ...this.#env },
    })
    fs.closeSync(out)
  }

  get running(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null
  }

  get pid(): number {
    return this.#child?.pid ?? 0
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    const child = this.#child
    if (child === undefined || !this.running) return null
    const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)))
    child.kill(signal)
    return ended
  }
}

/** One CLI call, as a user types it. */
export function flotilla(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  cwd = ROOT,
): { readonly code: number; readonly out: string; readonly err: string } {
  const done = spawnSync(process.execPath, [BIN, ...args], { cwd, encoding: 'utf8', env: { ...process.env, ...env } })
  return { code: done.status ?? -1, out: done.stdout, err: done.stderr }
}

export interface HubUnderTest {
  readonly program: Program
  readonly data: string
  readonly env: Readonly<Record<string, string>>
  get<T>(url: string): Promise<T>
  cli(...args: string[]): { readonly code: number; readonly out: string; readonly err: string }
}

/** Starts a hub on fixed ports, so that a restart is found by its agents, and waits until it is ready. */
export async function startHub(dir: string, repo: string, extra: readonly string[] = []): Promise<HubUnderTest> {
  const data = path.join(dir, 'hub')
  const api = `127.0.0.1:${await freePort()}`
  const link = `127.0.0.1:${await freePort()}`
  const program = new Program('hub', dir, [
    'hub',
    '--repo',
    repo,
    '--data',
    data,
    '--listen',
    link,
    '--api',
    api,
    '--advertise',
    link,
    '--poll-ms',
    '500',
    ...extra,
  ])
  program.start()
  const context = await eventually('the hub writes its context', () => {
    const file = path.join(data, 'context.json')
    return fs.existsSync(file) && (JSON.parse(fs.readFileSync(file, 'utf8')) as { hub: string; token: string })
  })
  const env = { FLOTILLA_HUB: context.hub, FLOTILLA_TOKEN: context.token }
  const hub: HubUnderTest = {
    program,
    data,
    env,
    async get<T>(url: string): Promise<T> {
      const answer = await fetch(new URL(url, context.hub), { headers: { authorization: `Bearer ${context.token}` } })
      if (!answer.ok) throw new Error(`${url}: ${answer.status} ${await answer.text()}`)
      return (await answer.json()) as T
    },
    cli: (...args) => flotilla(args, env),
  }
  await eventually('the hub is ready', async () => (await fetch(new URL('/readyz', context.hub))).ok)
  return hub
}

/** An enrolled agent process: with a kubeconfig on a real cluster, without on a simulated one. */
export function startAgent(
  dir: string,
  hub: HubUnderTest,
  site: string,
  kubeconfig: string | undefined,
  ...more: readonly string[]
): Program {
  const given = hub.cli('token', 'create', '--site', site, '-o', 'json')
  if (given.code !== 0) throw new Error(`token create: ${given.err}`)
  const { line } = JSON.parse(given.out) as { line: string }
  const data = path.join(dir, `agent-${site}`)
  const cluster = kubeconfig === undefined ? ['--simulate'] : ['--kubeconfig', kubeconfig]
  const program = new Program(`agent-${site}`, dir, ['agent', '--data', data, '--poll-ms', '500', ...cluster, ...more])
  program.start(['--join', line])
  return program
}

/** A work tree that pushes to a bare repository below `dir`. */
export class FleetRepo {
  readonly work: string
  readonly bare: string

  constructor(dir: string) {
    this.work = path.join(dir, 'work')
    this.bare = path.join(dir, 'fleet.git')
    fs.mkdirSync(this.work, { recursive: true })
    gitProgram(dir, 'init', '-q', '--bare', '-b', 'main', 'fleet.git')
    gitProgram(this.work, 'init', '-q', '-b', 'main')
    gitProgram(this.work, 'remote', 'add', 'origin', this.bare)
  }

  write(file: string, text: string): void {
    const to = path.join(this.work, file)
    fs.mkdirSync(path.dirname(to), { recursive: true })
    fs.writeFileSync(to, text)
  }

  edit(file: string, change: (text: string) => string): void {
    const from = fs.readFileSync(path.join(this.work, file), 'utf8')
    const to = change(from)
    if (to === from) throw new Error(`${file}: the edit changes nothing`)
    this.write(file, to)
  }

  push(message: string, ...how: string[]): string {
    gitProgram(this.work, 'add', '-A')
    gitProgram(this.work, 'commit', '-qm', message, ...how)
    gitProgram(this.work, 'push', '-qf', 'origin', 'HEAD:main')
    return gitProgram(this.work, 'rev-parse', 'HEAD')
  }

  git(...args: string[]): string {
    return gitProgram(this.work, ...args)
  }
}
