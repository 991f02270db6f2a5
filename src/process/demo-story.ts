/** What the demo shows, in order: a fleet that converges, a commit with one site dark, a bad commit that goes back. */
import fs from 'node:fs'
import path from 'node:path'
import { commitAll } from '../adapters/git/write.ts'
import { statusText } from '../cli/commands/observe.ts'
import type { RolloutView, SiteView, StatusView } from '../core/api/types.ts'
import type { SlurmCode } from '../core/batch/slurm-state.ts'
import { shortDigest } from '../core/model/digest.ts'
import type { Actor } from '../hub/api.ts'
import { systemClock } from '../runtime/clock.ts'
import type { FaultyLink } from '../sim/link.ts'
import type { RunningAgent } from './agent.ts'
import type { DemoScreen, ScreenIo } from './demo-screen.ts'
import type { RunningHub } from './hub.ts'

/** Real ms between two looks at the fleet. */
export const LOOK_MS = 150
/** Give up on a step of the story after this: something is broken, and waiting longer does not mend it. */
export const STEP_LIMIT_MS = 90_000
export const MOST_SITES = 10_000
export const OPERATOR: Actor = { name: 'demo', role: 'admin', teams: ['*'] }
export const AUTHOR = { name: 'Flotilla demo', email: 'demo@example.com' }
const WORKLOAD = 'pos'
const WORKLOAD_FILE = 'apps/tills/pos/base/till-api.yaml'
/** A store of the last country, so that the rollout reaches it late. */
const DARK_SITE = 'se-0304'

export interface DemoSite {
  readonly name: string
  readonly agent: RunningAgent
  readonly link: FaultyLink
}

/** What happens, in order; each step waits for what a user would wait for and says what it saw. */
export class Story {
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
    await this.#batch()
  }

  async #goodCommit(): Promise<void> {
    const dark = this.#sites.find(({ name }) => name === DARK_SITE) ?? this.#sites.at(-1)
    if (dark === undefined) return
    const revision = await this.#release('till-api 4.2.1: faster receipts', '4.2.1')
    dark.link.become({ dark: true })
    this.#say(`the link of ${dark.name} is cut while the rollout runs`)
    await this.#until('the rollout completes without the dark site', (view) => this.#ended(view, revision, 'Completed'))
    const site = await this.#hub.api.site(dark.name)
    this.#say(`${dark.name} is ${site.link}: excused, not failed, not counted as healthy. Its link comes back`)
    dark.link.become({ dark: false })
    await this.#until(`${dark.name} has caught up`, () => this.#allSettled())
  }

  async #badCommit(): Promise<void> {
    const revision = await this.#release('till-api 4.3.0: an image that does not start', '4.3.0-broken')
    await this.#until('the bad release stops at its canary and goes back', (view) =>
      this.#ended(view, revision, 'RolledBack'),
    )
    const { counts } = await this.#hub.api.rollout(WORKLOAD)
    this.#say(`it reached ${counts.failed} of ${counts.total} sites; the others never saw it`)
    await this.#until('every site is healthy again', () => this.#allHealthy())
    this.#say('Git is ahead of the fleet now: the release is withdrawn until its render changes')
  }

  /** All along the stores' own schedulers ran what their queues hold. */
  async #batch(): Promise<void> {
    const count = async (...codes: readonly SlurmCode[]): Promise<number> => {
      const { items } = await this.#hub.api.batch({})
      return items.flatMap(({ jobs }) => jobs).filter(({ code }) => codes.includes(code)).length
    }
    await this.#until('batch jobs ran to their end', async () => (await count('CD')) > 0)
    const [done, running, waiting] = [await count('CD'), await count('R', 'CF', 'CG'), await count('PD')]
    this.#say(`batch: ${done} done, ${running} running, ${waiting} waiting: flotilla squeue | sinfo | sacct`)
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

  /** A commit that gives the tills' API another image, as a team would push it. */
  async #release(message: string, tag: string): Promise<string> {
    const file = path.join(this.#repo, WORKLOAD_FILE)
    const before = fs.readFileSync(file, 'utf8')
    const after = before.replace(/(image: \S+\/till-api):\S+/, (_all, image: string) => `${image}:${tag}`)
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

/** As Git says, but for what waits for a key: secrets travel encrypted, and no site of the demo holds one. */
function isSettled(site: SiteView): boolean {
  return site.workloads.every(
    ({ sync, health, target, healthy, waiting }) =>
      waiting?.reason === 'Secret' || (sync === 'Synced' && health === 'Healthy' && target === healthy),
  )
}
