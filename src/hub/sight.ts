/**
 * The hub's world as a token sees it that is scoped by labels: its sites, and of all else what is about them. Readers are given this
 * in the place of the world, so that none can say more than stands in it. Numbers of a rollout's reasons are the rollout's own, and
 * stay: a site that waits for a place has a true reason. Names of other sites never do.
 */
import { matches } from '../core/kube/selector.ts'
import type { LabelSelector } from '../core/model/selector.ts'
import { type FleetState, fleetState, type Held, type SourceState, sourceState } from './source-state.ts'
import type { EventRecord, KeptSpec, RolloutRecord, SiteRecord } from './store.ts'
import type { World, WorldSeen } from './world.ts'

/** In the place of a text that names sites beyond the token's. */
const HUSHED = 'it names sites that this token does not read'

export class Sight implements WorldSeen {
  readonly store: WorldSeen['store']
  readonly books: WorldSeen['books']
  readonly versions: WorldSeen['versions']
  readonly sites: ReadonlyMap<string, SiteRecord>
  readonly rollouts: ReadonlyMap<string, RolloutRecord>
  readonly holds: WorldSeen['holds']
  readonly freezes: WorldSeen['freezes']
  readonly siteFacts: WorldSeen['siteFacts']
  readonly meta: ReadonlyMap<string, string>
  readonly #world: World

  constructor(world: World, scope: LabelSelector) {
    this.#world = world
    this.store = world.store
    // Asked for by the names of sites and workloads alone.
    this.books = world.books
    this.versions = world.versions
    this.sites = new Map([...world.sites].filter(([, { labels }]) => matches(scope, labels)))
    this.rollouts = new Map(
      [...world.rollouts]
        .map(([workload, record]) => [workload, this.#rollout(record)] as const)
        .filter(([, { spec, next, state }]) => spec.targets.size + (next?.targets.size ?? 0) + (state?.sites.size ?? 0) > 0),
    ) // prettier-ignore
    this.holds = only(world.holds, this.sites)
    this.siteFacts = only(world.siteFacts, this.sites)
    const sites = [...this.sites.values()]
    this.freezes = new Map(
      [...world.freezes].filter(
        ([, { selector }]) => selector === null || sites.some(({ labels }) => matches(selector, labels)),
      ),
    )
    this.meta = new Map([
      ['source', JSON.stringify(this.#source(sourceState(world)))],
      ['fleet', JSON.stringify(this.#fleet(fleetState(world)))],
    ])
  }

  /** As it may be told; undefined: it is about others, or about the fleet as a whole. */
  event(event: EventRecord): EventRecord | undefined {
    const { kind, subject, message } = event
    const [of = '', name = ''] = subject.includes('/') ? subject.split('/', 2) : ['', subject]
    const isMine =
      of === 'site'
        ? this.sites.has(name)
        : of === 'rollout'
          ? this.rollouts.has(name)
          : kind === 'Operator'
            ? this.sites.has(name) || this.freezes.has(name)
            : of === ''
    if (!isMine || this.#tells(message)) return undefined
    // How many sites a rollout has is not this token's to know.
    return kind === 'RolloutBegan' ? { ...event, message: message.replace(/: \d+ sites$/, '') } : event
  }

  #rollout({ spec, state, next }: RolloutRecord): RolloutRecord {
    const own = (of: KeptSpec): KeptSpec => ({ ...of, targets: only(of.targets, this.sites) })
    if (state === null) return { spec: own(spec), state, next: next === null ? null : own(next) }
    const { paused, ended, glass } = state
    return {
      spec: own(spec),
      state: {
        ...state,
        sites: only(state.sites, this.sites),
        ...(paused === undefined ? {} : { paused: { ...paused, why: this.#hush(paused.why) } }),
        ...(ended === undefined ? {} : { ended: { ...ended, why: this.#hush(ended.why) } }),
        ...(glass === undefined ? {} : { glass: glass.map((one) => ({ ...one, why: this.#hush(one.why) })) }),
      },
      next: next === null ? null : own(next),
    }
  }

  #source(state: SourceState): SourceState {
    const { fault, brake, problems } = state
    return {
      ...state,
      message: this.#hush(state.message),
      fault: fault === null ? null : { ...fault, message: this.#hush(fault.message) },
      brake: brake === null ? null : { ...brake, message: this.#hush(brake.message) },
      problems: problems.filter((problem) => !this.#tells(JSON.stringify(problem))),
    }
  }

  /** Workloads that are meant for one of its sites, or would be but for an error. */
  #fleet(state: FleetState): FleetState {
    const workloads: Record<string, FleetState['workloads'][string]> = Object.create(null) as Record<string, never>
    for (const [name, { held, ...facts }] of Object.entries(state.workloads)) {
      const own = held.flatMap((one): readonly Held[] => {
        const sites = one.sites?.filter((site) => this.sites.has(site)) ?? null
        if (sites?.length === 0 || (sites === null && !this.rollouts.has(name))) return []
        const { code, severity, place, path } = one.problem
        const isTold = this.#tells(JSON.stringify(one.problem))
        return [{ sites, problem: isTold ? { code, severity, place: { ...place, file: '…' }, path, message: HUSHED } : one.problem }] // prettier-ignore
      })
      if (own.length > 0 || this.rollouts.has(name)) workloads[name] = { ...facts, held: own }
    }
    return { ...state, workloads }
  }

  #hush(text: string): string {
    return this.#tells(text) ? HUSHED : text
  }

  /** Does a text name a site beyond these? */
  #tells(text: string): boolean {
    for (const [word] of text.matchAll(/[a-z0-9](?:[-a-z0-9]*[a-z0-9])?/g))
      if (this.#world.sites.has(word) && !this.sites.has(word)) return true
    return false
  }
}

function only<V>(map: ReadonlyMap<string, V>, sites: ReadonlyMap<string, unknown>): Map<string, V> {
  // A token of a few sites does not look at ten thousand targets of each workload.
  if (sites.size < map.size) {
    const out = new Map<string, V>()
    for (const site of sites.keys()) {
      const value = map.get(site)
      if (value !== undefined) out.set(site, value)
    }
    return out
  }
  return new Map([...map].filter(([site]) => sites.has(site)))
}
