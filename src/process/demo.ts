/**
 * The demo: a hub, an agent a site over real TCP and mutual TLS, each against its own simulated cluster, and a real Git
 * repository made from fleet-example, in one process. fleet-example keeps real soaks and approvals: the clocks run faster here,
 * and approvals are given aloud.
 */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { commitAll, initRepository } from '../adapters/git/write.ts'
import type { DemoOptions } from '../cli/ports.ts'
import { statusText } from '../cli/commands/observe.ts'
import type { RolloutView, SiteView, StatusView } from '../core/api/types.ts'
import { shortDigest } from '../core/model/digest.ts'
import { asFault } from '../core/model/fault.ts'
import type { Actor } from '../hub/api.ts'
import { type Clock, pacedClock, systemClock } from '../runtime/clock.ts'
import { createLogger } from '../runtime/pino-logger.ts'
import { DRAIN_MS, within } from '../runtime/stop.ts'
import { SimCluster } from '../sim/cluster.ts'
import { FaultyLink } from '../sim/link.ts'
import { type RunningAgent, startAgent } from './agent.ts'
import { createScreen, type DemoScreen, type ScreenIo } from './demo-screen.ts'
import { addSites } from './demo-sites.ts'
import { type RunningHub, startHub } from './hub.ts'

/** A soak of half an hour takes one and a half seconds. */
const DEFAULT_SPEED = 1_200
/** Real ms of one step of the fast clock. */
const TICK_MS = 4
/** Real ms between two looks at the fleet, and between two exchanges of a site. */
const LOOK_MS = 150
const EXCHANGE_MS = 160
/** Give up on a step of the story after this: something is broken, and waiting longer does not mend it. */
const STEP_LIMIT_MS = 60_000
const OPERATOR: Actor = { name: 'demo', role: 'admin', teams: ['*'] }
const AUTHOR = { name: 'Flotilla demo', email: 'demo@example.com' }

interface DemoSite {
  readonly name: string
  readonly agent: RunningAgent
  readonly link: FaultyLink
}

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
  const title = `Flotilla demo   repository ${repo}   clocks run ${speed.toLocaleString('en-US')} times as fast, so a 2h soak takes ${((7200 / speed) * 1).toFixed(1)}s`
  const screen = createScreen(io, title, () => new Date().toISOString().slice(11, 19))
  const sites: DemoSite[] = []
  let hub: RunningHub | undefined
  let forget = (): void => undefined
  try {
    if (!io.terminal) io.out(title)
    fs.cpSync(path.resolve(import.meta.dirname, exampleFolder()), repo, { recursive: true })
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
          cluster: new SimCluster({ clock, seed: i + 1 }),
          clock,
          machine: { bootId: `demo-${name}`, uptimeMs: () => clock.monotonicMs() },
          log: shared.log,
          // Paces that are about this machine and not about the story run in real time.
          options: {
            version: shared.version,
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

/** What happens, in order; each step waits for what a user would wait for and says what it saw. */
class Story {
  readonly #hub: RunningHub
  readonly #screen: DemoScreen
  readonly #sites: readonly DemoSite[]
  readonly #repo: string
  readonly #signal: AbortSignal
  readonly #io: ScreenIo
  #events = 0
  readonly #approved = new Set<string>()

  constructor(
    hub: RunningHub,
    screen: DemoScreen,
    sites: readonly DemoSite[],
    repo: string,
    signal: AbortSignal,
    io: ScreenIo,
  ) {
    this.#hub = hub
    this.#screen = screen
    this.#sites = sites
    this.#repo = repo
    this.#signal = signal
    this.#io = io
  }

  async tell(): Promise<void> {
    await this.#until('every site is as Git says', () => this.#allSettled())
    await this.#goodCommit()
    await this.#badCommit()
  }

  async #goodCommit(): Promise<void> {
    const dark = this.#sites.find(({ name }) => name === DARK_SITE) ?? this.#sites.at(-1)
    if (dark === undefined) return
    const revision = await this.#commit('till-api 4.2.1: faster receipts', (text) =>
      text.replace(/(image: \S+\/till-api:)\S+/, '$14.2.1'),
    )
    dark.link.become({ dark: true })
    this.#say(`the link of ${dark.name} is cut while the rollout runs`)
    await this.#until('the rollout completes without the dark site', (view) => this.#ended(view, revision, 'Completed'))
    const site = await this.#hub.api.site(dark.name)
    this.#say(`${dark.name} is ${site.link}: excused, not failed, not counted as healthy. Its link comes back`)
    dark.link.become({ dark: false })
    await this.#until(`${dark.name} has caught up`, () => this.#allSettled())
  }

  async #badCommit(): Promise<void> {
    const revision = await this.#commit('till-api 4.3.0: an image that does not start', (text) =>
      text.replace(/(image: \S+\/till-api:)\S+/, '$14.3.0-broken'),
    )
    await this.#until('the bad release stops at its canary and goes back', (view) =>
      this.#ended(view, revision, 'RolledBack'),
    )
    const { counts } = await this.#hub.api.rollout(WORKLOAD)
    this.#say(`it reached ${counts.failed} of ${counts.total} sites; the others never saw it`)
    await this.#until('every site is healthy again', () => this.#allHealthy())
    this.#say('Git is ahead of the fleet now: the release is withdrawn until its render changes')
  }

  async #allSettled(): Promise<boolean> {
    const { items } = await this.#hub.api.sites({ limit: MOST_SITES })
    return items.every((site) => site.link === 'Online' && site.workloads.length > 0 && isSettled(site))
  }

  async #allHealthy(): Promise<boolean> {
    const { items } = await this.#hub.api.sites({ limit: MOST_SITES })
    return items.every(({ workloads }) =>
      workloads.every(({ health, waiting }) => waiting?.reason === 'Secret' || health === 'Healthy'),
    )
  }

  /** Stays up: shows what happens and approves aloud, until told to stop. */
  async stay(): Promise<void> {
    const { apiUrl } = this.#hub
    for (const line of [
      `the hub answers at ${apiUrl}; from this folder: npm run -s flotilla -- status | get sites | why site/${this.#sites[0]?.name ?? 'NAME'}`,
      `edit in ${this.#repo}, then git commit there, or: npm run -s flotilla -- commit ${this.#repo} -m "what and why"`,
      'Ctrl-C ends it',
    ])
      this.#say(line)
    while (!this.#signal.aborted) {
      await this.#look()
      await systemClock.sleep(LOOK_MS, this.#signal).catch(() => undefined)
    }
  }

  async #commit(message: string, change: (text: string) => string): Promise<string> {
    const file = path.join(this.#repo, WORKLOAD_FILE)
    const before = fs.readFileSync(file, 'utf8')
    const after = change(before)
    if (after === before) throw new Error(`${WORKLOAD_FILE} has no image to change`)
    fs.writeFileSync(file, after)
    const revision = await commitAll(this.#repo, message, AUTHOR)
    this.#say(`commit ${revision.slice(0, 7)}: ${message}`)
    return revision
  }

  async #ended(view: StatusView, revision: string, phase: RolloutView['phase']): Promise<boolean> {
    if (view.source.revision !== revision) return false
    const rollout = await this.#hub.api.rollout(WORKLOAD)
    return rollout.revision === revision && rollout.phase === phase
  }

  async #until(what: string, done: (view: StatusView) => boolean | Promise<boolean>): Promise<void> {
    const began = performance.now()
    for (;;) {
      const view = await this.#look()
      if (await done(view)) return this.#say(`✓ ${what} (${((performance.now() - began) / 1000).toFixed(1)} s)`)
      if (performance.now() - began > STEP_LIMIT_MS)
        throw new Error(`not within ${STEP_LIMIT_MS / 1000} s: ${what}\n${statusText(view, { ascii: false })}`)
      await systemClock.sleep(LOOK_MS, this.#signal)
    }
  }

  async #look(): Promise<StatusView> {
    const { api } = this.#hub
    const view = await api.status()
    for (const rollout of view.rollouts) await this.#approve(rollout)
    const events = await api.events(this.#events, 200)
    if (events.next !== null) this.#events = Number(events.next)
    for (const event of events.items) this.#screen.say(`  ${event.subject}: ${event.message}`)
    if (this.#io.terminal)
      this.#screen.paint(statusText(view, { ascii: false }), (await api.sites({ limit: MOST_SITES })).items)
    return view
  }

  /** A gate asks for a person: the demo is that person, and says so. */
  async #approve(rollout: RolloutView): Promise<void> {
    const gate = rollout.waves.find(({ waiting }) => waiting?.reason === 'ApprovalNeeded')
    const key = `${rollout.id}/${gate?.name}`
    if (gate === undefined || this.#approved.has(key)) return
    this.#approved.add(key)
    await this.#hub.api.command(OPERATOR, rollout.workload, 'approve', { wave: gate.name, id: rollout.id })
    this.#say(
      `the demo approves wave ${gate.name} of ${rollout.workload} ${shortDigest(rollout.id)} in the place of ${gate.waiting?.detail ?? 'its team'}`,
    )
  }

  #say(text: string): void {
    this.#screen.say(text)
  }
}

const MOST_SITES = 10_000
const WORKLOAD = 'pos'
const WORKLOAD_FILE = 'apps/tills/pos/base/till-api.yaml'
/** A store of the last country, so that the rollout reaches it late. */
const DARK_SITE = 'se-0304'

/** As Git says, but for what waits for a key: secrets travel encrypted, and no site of the demo holds one. */
function isSettled(site: SiteView): boolean {
  return site.workloads.every(
    ({ sync, health, target, healthy, waiting }) =>
      waiting?.reason === 'Secret' || (sync === 'Synced' && health === 'Healthy' && target === healthy),
  )
}
