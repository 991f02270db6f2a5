/**
 * The demo: a hub, an agent a site over real TCP and mutual TLS, each against its own simulated cluster, and a real Git
 * repository made from fleet-example, in one process. fleet-example keeps real soaks and approvals: the clocks run faster here,
 * and approvals are given aloud.
 */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { initRepository } from '../adapters/git/write.ts'
import type { DemoOptions } from '../cli/ports.ts'
import { asFault } from '../core/model/fault.ts'
import { type Clock, pacedClock, systemClock } from '../runtime/clock.ts'
import { createLogger } from '../runtime/pino-logger.ts'
import { DRAIN_MS, within } from '../runtime/stop.ts'
import { SimCluster } from '../sim/cluster.ts'
import { FaultyLink } from '../sim/link.ts'
import { startAgent } from './agent.ts'
import { addBatchWork, runMsAt } from './demo-batch.ts'
import { createScreen, type ScreenIo } from './demo-screen.ts'
import { addSites } from './demo-sites.ts'
import { AUTHOR, type DemoSite, LOOK_MS, MOST_SITES, OPERATOR, STEP_LIMIT_MS, Story } from './demo-story.ts'
import { type RunningHub, startHub } from './hub.ts'

/** A soak of half an hour takes one second. */
const DEFAULT_SPEED = 1800
/** Real ms of one step of the fast clock. */
const TICK_MS = 4
/** Real ms between two exchanges of a site. */
const EXCHANGE_MS = 120

/** Resolves with the reason for which it did not converge, or undefined. */
export async function runDemo(
  options: DemoOptions,
  env: { readonly version: string; readonly logLevel: string },
  io: ScreenIo,
  signal: AbortSignal,
): Promise<string | undefined> {
  const dir = options.dir ?? fs.mkdtempSync(path.join(os.tmpdir(), 'flotilla-demo-'))
  const repo = path.join(dir, 'fleet')
  const speed = options.speed > 0 ? options.speed : DEFAULT_SPEED
  using clock = pacedClock(speed, TICK_MS, Date.now())
  const log = createLogger('flotilla', env.logLevel === 'info' ? 'fatal' : env.logLevel, 2)
  const ended = new AbortController()
  const stopping = AbortSignal.any([signal, ended.signal])
  const title = `Flotilla demo   repository ${repo}   clocks run ${speed.toLocaleString('en-US')} times as fast, so a 2h soak takes ${(7200 / speed).toFixed(1)}s`
  const screen = createScreen(io, title, () => new Date().toISOString().slice(11, 19))
  const sites: DemoSite[] = []
  let hub: RunningHub | undefined
  let forget = (): void => undefined
  try {
    if (!io.terminal) io.out(title)
    fs.cpSync(path.resolve(import.meta.dirname, exampleFolder()), repo, { recursive: true })
    // Nobody waits for the night, or for Christmas to pass, to see a rollout.
    fs.rmSync(path.join(repo, 'windows.yaml'))
    addBatchWork(repo)
    if (options.sites > 0) addSites(repo, options.sites)
    fs.writeFileSync(path.join(repo, '.gitignore'), '.flotilla/\n')
    await initRepository(repo, 'main', 'The retailer of fleet-example', AUTHOR)
    hub = await startHub(
      {
        repo,
        branch: 'main',
        root: '',
        data: path.join(dir, 'hub'),
        listen: '127.0.0.1:0',
        api: '127.0.0.1:0',
        advertise: undefined,
        credentials: null,
        gitPollMs: 500 * speed,
        polls: { connectedMs: EXCHANGE_MS * speed, meteredMs: [EXCHANGE_MS * speed, EXCHANGE_MS * speed] },
        trustClock: 'always',
        durability: 'process',
        version: env.version,
        clock,
        log,
      },
      stopping,
    )
    forget = writeContext(hub, [process.cwd(), repo])
    const names = await siteNames(hub, stopping)
    await joinAll(names, hub, sites, { clock, log, version: env.version, speed }, stopping)
    screen.say(`${names.length} sites have joined over mutual TLS at ${hub.linkUrl}`)
    const story = new Story(hub, screen, sites, repo, stopping, io)
    await story.tell()
    if (options.once) return undefined
    await story.stay()
    return undefined
  } catch (error) {
    if (signal.aborted) return undefined
    return asFault(error).message
  } finally {
    screen.end()
    forget()
    ended.abort()
    await within(DRAIN_MS, Promise.all(sites.map(({ agent }) => agent[Symbol.asyncDispose]())), log, 'agents')
    await within(DRAIN_MS, Promise.resolve(hub?.[Symbol.asyncDispose]()), log, 'hub')
    // Nobody will look at what a run that ends by itself leaves behind.
    if (options.once && options.dir === undefined) fs.rmSync(dir, { recursive: true, force: true })
  }
}

/** Beside `src/` as it is checked out, beside `dist/` as it is bundled. */
function exampleFolder(): string {
  return fs.existsSync(path.resolve(import.meta.dirname, '../../fleet-example'))
    ? '../../fleet-example'
    : '../fleet-example'
}

/** What lets `flotilla status` find this hub from these folders; answers with what takes it away again. */
function writeContext(hub: RunningHub, folders: readonly string[]): () => void {
  const text = JSON.stringify({ hub: hub.apiUrl, token: hub.adminToken })
  const files = folders.map((folder) => path.join(folder, '.flotilla', 'context.json'))
  for (const file of files) {
    fs.mkdirSync(path.dirname(file), { recursive: true })
    fs.writeFileSync(file, text, { mode: 0o600 })
  }
  return () => {
    // Another hub may have been started from here since.
    for (const file of files) if (fs.existsSync(file) && fs.readFileSync(file, 'utf8') === text) fs.rmSync(file)
  }
}

async function siteNames(hub: RunningHub, signal: AbortSignal): Promise<readonly string[]> {
  for (let i = 0; i < STEP_LIMIT_MS / LOOK_MS; i++) {
    const page = await hub.api.sites({ limit: MOST_SITES })
    if (page.total > 0) return page.items.map(({ name }) => name)
    const { source } = await hub.api.status()
    const problem = source.problems.find(({ severity }) => severity === 'error')
    if (problem !== undefined)
      throw new Error(`${problem.place.file}:${problem.place.line} ${problem.code} ${problem.message}`)
    await systemClock.sleep(LOOK_MS, signal)
  }
  throw new Error('the hub reads no site from the repository')
}

/** So many sites enrol side by side: a handshake and three signatures each. */
const JOINING_AT_ONCE = 3

async function joinAll(
  names: readonly string[],
  hub: RunningHub,
  sites: DemoSite[],
  shared: {
    readonly clock: Clock
    readonly log: ReturnType<typeof createLogger>
    readonly version: string
    readonly speed: number
  },
  signal: AbortSignal,
): Promise<void> {
  const waiting = names.entries()
  const worker = async (): Promise<void> => {
    for (const [i, name] of waiting) {
      const { line } = await hub.api.createToken(OPERATOR, name, 3_600_000)
      const { clock } = shared
      let link: FaultyLink | undefined
      const agent = await startAgent(
        {
          data: ':memory:',
          join: line,
          cluster: new SimCluster({ clock, seed: i + 1, controllers: { runMs: runMsAt(name) } }),
          clock,
          machine: { bootId: `demo-${name}`, uptimeMs: () => clock.monotonicMs() },
          log: shared.log,
          // Paces that are about this machine and not about the story run in real time.
          options: {
            version: shared.version,
            scheduler: 'on',
            debounceMs: 20 * shared.speed,
            newsAfterMs: EXCHANGE_MS * shared.speed,
            maxGapMs: 60_000 * shared.speed,
          },
          throughLink: (inner) => (link = new FaultyLink(inner, { clock, seed: i + 1 })),
        },
        signal,
      )
      if (link !== undefined) sites.push({ name, agent, link })
    }
  }
  await Promise.all(Array.from({ length: JOINING_AT_ONCE }, worker))
}
