/** What the hub remembers of Git, as it stands in its store. */
import type { Amount } from '../core/model/policy.ts'
import type { Digest } from '../core/model/digest.ts'
import type { Problem } from '../core/model/problem.ts'
import type { FleetWindow } from '../core/fleet/types.ts'
import type { WorldSeen } from './world.ts'

export interface SourceState {
  /** Last good revision: everything is decided on it. */
  readonly revision: string | null
  readonly message: string
  /** What a render of it reads. */
  readonly input: Digest | null
  /** Last tip looked at, and which compiler judged it. */
  readonly seen: string | null
  readonly judgedBy: string | null
  /** A rewritten tip that an operator accepts. */
  readonly accept: string | null
  readonly fault: { readonly reason: string; readonly message: string; readonly sinceMs: number } | null
  readonly problems: readonly Problem[]
  /** Why the tip waits although it is valid. */
  readonly brake: { readonly digest: string; readonly message: string } | null
  /** Deletion lists whose yes was used: each counts once. */
  readonly spent: readonly Digest[]
}

/** An error that keeps a workload as it is; `sites` null: wherever it is targeted. */
export interface Held {
  readonly sites: readonly string[] | null
  readonly problem: Problem
}

/** What of the last good Fleet is asked between revisions. */
export interface FleetState {
  readonly name: string
  readonly budget: { readonly changingSites: Amount | null; readonly brokenSites: Amount | null }
  readonly link: { readonly lateAfterMs: number; readonly lostAfterMs: number }
  /** Absent: of a hub of before it kept them. */
  readonly windows?: readonly FleetWindow[]
  readonly workloads: Readonly<
    Record<string, { readonly team: string | null; readonly policy: string; readonly held: readonly Held[] }>
  >
}

const NO_SOURCE: SourceState = {
  revision: null,
  message: '',
  input: null,
  seen: null,
  judgedBy: null,
  accept: null,
  fault: null,
  problems: [],
  brake: null,
  spent: [],
}

const NO_FLEET: FleetState = {
  name: '',
  budget: { changingSites: null, brokenSites: null },
  link: { lateAfterMs: 5 * 60_000, lostAfterMs: 24 * 3_600_000 },
  workloads: {},
}

/** Parsed once per text: views ask for these a thousand times between two revisions. */
const parsed = new WeakMap<WorldSeen, Map<string, { readonly text: string; readonly value: unknown }>>()

function read<T>(world: WorldSeen, name: string, none: T): T {
  const text = world.meta.get(name)
  if (text === undefined) return none
  const kept = parsed.get(world) ?? new Map<string, { readonly text: string; readonly value: unknown }>()
  parsed.set(world, kept)
  const known = kept.get(name)
  if (known?.text === text) return known.value as T
  const value = JSON.parse(text) as T
  kept.set(name, { text, value })
  return value
}

export function sourceState(world: WorldSeen): SourceState {
  return read(world, 'source', NO_SOURCE)
}

export function fleetState(world: WorldSeen): FleetState {
  return read(world, 'fleet', NO_FLEET)
}
