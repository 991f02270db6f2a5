/**
 * Operators' words live in this hub, and its sites' manifests echo them: a hub that was restored from before they were said learns
 * them back from the sites that it is told to recover.
 */
import { isDigest } from '../core/model/digest.ts'
import { isObject, type Json, type JsonObject } from '../core/model/json.ts'
import type { SiteManifest } from '../core/protocol/messages.ts'
import type { RolloutState } from '../core/rollout/types.ts'
import { activeFreeze, activeHold } from './facts.ts'
import type { EntryRecord, RolloutRecord, SiteRecord } from './store.ts'
import type { Draft, World } from './world.ts'

/**
 * Sites that say back who stopped a rollout: the first of its waves, which are told first. A word must not cost a manifest for each of
 * ten thousand sites.
 */
const WITNESSES = 200

/** Who stopped a rollout; policies judge anew by themselves. */
interface Stopped {
  readonly id: string
  readonly kind: 'pause' | 'abort'
  readonly by: string
  readonly why: string
  readonly atMs: number
}

/** What a site's manifest says back: its hold, its freeze, and who stopped rollouts of which it was told. */
export function echoOf(world: World, site: SiteRecord, entries: readonly EntryRecord[], nowMs: number): JsonObject {
  const hold = activeHold(world, site.name, nowMs)
  const freeze = activeFreeze(world, site, nowMs)
  const stopped = entries.flatMap(({ workload, release }) => {
    const record = world.rollouts.get(workload)
    const state = record?.state ?? null
    const word = stoppedBy(state)
    if (word === null || state === null || record?.spec.targets.get(site.name) !== release) return []
    return witnesses(state).includes(site.name) ? [[workload, { ...word }] as const] : []
  })
  return {
    ...(hold === undefined ? {} : { hold: { reason: hold.reason, by: hold.by, untilMs: hold.untilMs } }),
    ...(freeze === undefined
      ? {}
      : { freeze: { id: freeze.id, reason: freeze.reason, by: freeze.by, untilMs: freeze.untilMs } }),
    ...(stopped.length === 0 ? {} : { stopped: Object.fromEntries(stopped) }),
  }
}

function stoppedBy(state: RolloutState | null): Stopped | null {
  if (state === null) return null
  const { id, phase, paused, ended, endedAtMs = 0 } = state
  if (phase === 'Paused' && paused !== undefined && paused.by !== 'policy') return { id, kind: 'pause', ...paused }
  if (phase === 'Aborted' && ended !== undefined)
    return { id, kind: 'abort', by: ended.by, why: ended.why, atMs: endedAtMs }
  return null
}

const known = new WeakMap<RolloutState['sites'], readonly string[]>()

function witnesses({ sites }: RolloutState): readonly string[] {
  let first = known.get(sites)
  if (first === undefined) {
    first = sites.keys().take(WITNESSES).toArray()
    known.set(sites, first)
  }
  return first
}

/** Sites whose echo another state of this rollout changes: witnesses that were told of it. */
export function echoing(world: World, { spec, state }: RolloutRecord, after: RolloutState): readonly SiteRecord[] {
  const [was, is] = [stoppedBy(state), stoppedBy(after)]
  if (was?.kind === is?.kind && was?.atMs === is?.atMs) return []
  const book = world.books.get(spec.workload)
  return witnesses(after).flatMap((name) => {
    const site = world.sites.get(name)
    const isTold = book?.get(name)?.entry?.release === spec.targets.get(name)
    return site?.current != null && isTold ? [site] : []
  })
}

type Learnt = Pick<Draft, 'holds' | 'withdrawn'>

/** Of a manifest that a site shows: what it echoes and this hub does not know. */
export function learnt(world: World, site: SiteRecord, manifest: SiteManifest, nowMs: number): Learnt {
  const withdrawn = manifest.withdrawn.filter((digest) => isDigest(digest) && !world.withdrawn.has(digest))
  const workloadOf = (digest: string): string =>
    [...world.rollouts.values()].find(({ spec }) => [...spec.targets.values()].some((one) => one === digest))?.spec
      .workload ?? ''
  return {
    ...holdOf(world, site, manifest.echo, nowMs),
    withdrawn: withdrawn.map((digest) => ({
      digest,
      workload: workloadOf(digest),
      reason: `site ${site.name} had been told that it is withdrawn`,
      by: 'hub recover',
      atMs: nowMs,
    })),
  }
}

/** A rollout that goes on here, and that somebody had stopped by what the site echoes: as it was stopped. */
export function asStopped(state: RolloutState, workload: string, echo: JsonObject | undefined): RolloutState {
  const all = echo?.['stopped']
  const said = isObject(all) ? all[workload] : undefined
  const word = readStopped(said)
  if (word === undefined || word.id !== state.id || state.phase !== 'Progressing') return state
  const { kind, by, why, atMs } = word
  if (kind === 'pause') return { ...state, phase: 'Paused', paused: { by, why, atMs } }
  return { ...state, phase: 'Aborted', endedAtMs: atMs, ended: { kind, by, why } }
}

function readStopped(said: Json | undefined): Stopped | undefined {
  if (!isObject(said)) return undefined
  const { id, kind, by, why, atMs } = said
  const isText = typeof id === 'string' && typeof by === 'string' && typeof why === 'string'
  if (!isText || typeof atMs !== 'number' || (kind !== 'pause' && kind !== 'abort')) return undefined
  return { id, kind, by, why, atMs }
}

/** Holds and freezes that the manifest echoes, where this hub knows none. */
function holdOf(world: World, site: SiteRecord, echo: JsonObject | undefined, nowMs: number): Pick<Draft, 'holds'> {
  if (world.holds.has(site.name)) return {}
  // A freeze does not say whom else it froze: it is learnt back site by site, as a hold of each.
  for (const word of [echo?.['hold'], echo?.['freeze']]) {
    if (!isObject(word)) continue
    const { reason, by, untilMs = null, id } = word
    if (typeof reason !== 'string' || typeof by !== 'string') continue
    if (typeof id === 'string' && world.freezes.has(id)) continue
    const endsMs = typeof untilMs === 'number' ? untilMs : null
    if (endsMs === null || endsMs > nowMs) return { holds: [{ site: site.name, reason, by, untilMs: endsMs }] }
  }
  return {}
}
