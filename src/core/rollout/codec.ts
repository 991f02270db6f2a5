import { Fault } from '../model/fault.ts'
import { isObject, type Json, type JsonObject } from '../model/json.ts'
import { inOrder } from './begin.ts'
import type { RolloutState, SiteProgress } from './types.ts'

/** Format of what is stored; a reader knows the formats before it. */
export const ROLLOUT_FORMAT = 1

/** A rollout without its sites: one row. Sites are rows of their own, so that a tick writes what changed. */
export type RolloutHead = Omit<RolloutState, 'sites'>

/** What to write after a tick. `head` is null where only sites changed. */
export interface StateDelta {
  readonly head: RolloutHead | null
  readonly sites: readonly (readonly [string, SiteProgress])[]
  readonly gone: readonly string[]
}

/** Rows that differ between two states of one rollout; all of them where there was none. */
export function stateDelta(before: RolloutState | null, after: RolloutState): StateDelta {
  const old = before?.sites
  const sites = [...after.sites].filter(([site, place]) => old?.get(site) !== place)
  const gone = old === undefined || old === after.sites ? [] : [...old.keys()].filter((site) => !after.sites.has(site))
  const sameHead = before !== null && JSON.stringify(encodeHead(before)) === JSON.stringify(encodeHead(after))
  return { head: sameHead ? null : headOf(after), sites, gone }
}

/** The whole state as JSON; `decodeState` reads it back. */
export function encodeState(state: RolloutState): JsonObject {
  const sites = [...state.sites].map(([site, place]): Json => [site, { ...place }])
  return { ...encodeHead(state), sites }
}

export function encodeHead(state: RolloutHead): JsonObject {
  return { format: ROLLOUT_FORMAT, ...headOf(state) } as unknown as JsonObject
}

/** Fault StoreCorrupt for what is no rollout or has a format of a later version. */
export function decodeState(json: Json): RolloutState {
  const head = decodeHead(json)
  const rows = isObject(json) ? json['sites'] : undefined
  if (!Array.isArray(rows)) throw corrupt('sites are missing')
  return withSites(
    head,
    (rows as readonly Json[]).map((row): [string, SiteProgress] => {
      const [site, place] = Array.isArray(row) ? (row as readonly Json[]) : []
      if (typeof site !== 'string') throw corrupt('a site has no name')
      return [site, decodeProgress(place ?? null)]
    }),
  )
}

export function decodeHead(json: Json): RolloutHead {
  if (!isObject(json)) throw corrupt('not an object')
  if (json['format'] !== ROLLOUT_FORMAT) throw corrupt(`format ${JSON.stringify(json['format'])} is not known here`)
  const { format: _format, sites: _sites, ...head } = json
  const { id, phase, waves, approvals } = head
  if (typeof id !== 'string' || typeof phase !== 'string' || !Array.isArray(waves) || !isObject(approvals ?? null))
    throw corrupt('id, phase, waves or approvals are missing')
  return head as unknown as RolloutHead
}

/** A state from its rows, in whatever order they were read. */
export function withSites(head: RolloutHead, sites: Iterable<readonly [string, SiteProgress]>): RolloutState {
  return { ...head, sites: inOrder([...sites]) }
}

export function decodeProgress(json: Json): SiteProgress {
  if (!isObject(json) || typeof json['wave'] !== 'number' || typeof json['phase'] !== 'string')
    throw corrupt('a site has no wave or phase')
  return json as unknown as SiteProgress
}

function headOf(state: RolloutHead): RolloutHead {
  const { sites: _sites, ...head } = state as RolloutState
  return head
}

function corrupt(what: string): Fault {
  return new Fault('StoreCorrupt', `a stored rollout cannot be read: ${what}`)
}
