/** The yes to deletions as this site's store keeps it: read at the start of a turn, and written before anything goes by it. */
import { type Confirmed, confirmedNow, NOTHING_CONFIRMED, sameConfirmed } from '../core/diff/confirmed.ts'
import type { Inventory } from '../core/diff/types.ts'
import { isDigest, type Digest } from '../core/model/digest.ts'
import { isObject, type JsonObject } from '../core/model/json.ts'
import { acceptConfirmedList } from '../core/protocol/deletions.ts'
import type { SiteManifest } from '../core/protocol/messages.ts'
import type { AgentStore } from './ports.ts'

const NOTE = 'deletions'

/** As of this turn, on the disk where it changed. */
export function confirmedHere(
  store: Pick<AgentStore, 'note' | 'blob' | 'write'>,
  { siteId, deletionsConfirmed: named }: SiteManifest,
  inventory: Inventory,
): Confirmed {
  const kept = read(store.note(NOTE))
  const now = confirmedNow({
    named,
    kept,
    inventory,
    list: (digest) => {
      const bytes = store.blob('deletions', digest)
      const list = bytes === undefined ? undefined : acceptConfirmedList(digest, siteId, bytes)
      return list?.ok === true ? list.value.objects : undefined
    },
  })
  if (!sameConfirmed(kept, now)) store.write({ notes: confirmedNote(now) })
  return now
}

export function confirmedNote({ open, spent }: Confirmed): ReadonlyMap<string, JsonObject> {
  return new Map([[NOTE, { open: Object.fromEntries(open), spent: [...spent] }]])
}

/** Lists that this site has judged already: their blobs are not needed again. */
export function judgedLists(store: Pick<AgentStore, 'note'>): ReadonlySet<Digest> {
  const { open, spent } = read(store.note(NOTE))
  return new Set([...open.keys(), ...spent])
}

function read(note: JsonObject | undefined): Confirmed {
  if (note === undefined) return NOTHING_CONFIRMED
  const strings = (value: unknown): readonly string[] =>
    Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : []
  const open = isObject(note.open) ? note.open : {}
  return {
    open: new Map(Object.entries(open).flatMap(([name, keys]) => (isDigest(name) ? [[name, strings(keys)]] : []))),
    spent: new Set(strings(note.spent).filter(isDigest)),
  }
}
