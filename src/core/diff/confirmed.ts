/**
 * Which deletions somebody said yes to, and how much of each yes is left. A list names exactly what goes: an object that it does
 * not name has no yes, and a name is used up when its object left the inventory, so that what comes again under it needs another.
 */
import { digestJson, type Digest } from '../model/digest.ts'
import { byUtf16 } from '../model/json.ts'
import { refKey } from '../model/object.ts'
import type { Inventory, Step } from './types.ts'

/** As a site keeps it, by the digests that its manifest names. */
export interface Confirmed {
  /** refKeys that a list named, that were in the inventory when it came, and have been in it since. */
  readonly open: ReadonlyMap<Digest, readonly string[]>
  readonly spent: ReadonlySet<Digest>
}

export const NOTHING_CONFIRMED: Confirmed = { open: new Map(), spent: new Set() }

export interface ConfirmedInput {
  /** What the manifest names. */
  readonly named: readonly Digest[]
  readonly kept: Confirmed
  /** Before the turn. */
  readonly inventory: Inventory
  /** refKeys of a list that was made for this site; undefined: there is none of that name. */
  readonly list: (digest: Digest) => readonly string[] | undefined
}

/** To be on the disk before anything is deleted by it. */
export function confirmedNow({ named, kept, inventory, list }: ConfirmedInput): Confirmed {
  const open = new Map<Digest, readonly string[]>()
  const spent = new Set<Digest>()
  for (const digest of named) {
    const keys = kept.spent.has(digest) ? [] : (kept.open.get(digest) ?? list(digest))
    if (keys === undefined) continue
    const left = keys.filter((key) => inventory.has(key))
    if (left.length > 0) open.set(digest, left)
    else spent.add(digest)
  }
  return { open, spent }
}

export function sameConfirmed(a: Confirmed, b: Confirmed): boolean {
  if (a.open.size !== b.open.size || a.spent.size !== b.spent.size) return false
  if (![...a.spent].every((digest) => b.spent.has(digest))) return false
  // Open lists only ever shrink.
  return [...a.open].every(([digest, keys]) => b.open.get(digest)?.length === keys.length)
}

/** Everything with a yes, by refKey. */
export function confirmedKeys({ open }: Confirmed): ReadonlySet<string> {
  return new Set([...open.values()].flat())
}

/** What the site's fuse stopped, as a list of its own that Git may name: by UID, so that it is never another list of these names. */
export interface Braked {
  readonly digest: Digest
  readonly keys: readonly string[]
}

export function brakedBy(steps: readonly Step[], siteId: string): Braked | null {
  const stopped = steps.filter((step) => step.kind === 'wait' && step.because.reason === 'DeletionBrake')
  if (stopped.length === 0) return null
  const objects = stopped
    .map((step) => [refKey(step.ref), step.kind === 'wait' ? (step.uid ?? '') : ''] as const)
    .toSorted(([a], [b]) => byUtf16(a, b))
  return { digest: digestJson('deletions', { siteId, objects }), keys: objects.map(([key]) => key) }
}

/** A yes to the site's own list, where the manifest says one that was not used; null: it does not. */
export function confirmBraked(now: Confirmed, named: readonly Digest[], { digest, keys }: Braked): Confirmed | null {
  if (!named.includes(digest) || now.spent.has(digest) || now.open.has(digest)) return null
  return { ...now, open: new Map([...now.open, [digest, keys]]) }
}
