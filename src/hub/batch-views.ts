/** What sites said of their batch rooms, page by page. Kept in memory: a site says it again to a hub that does not know it. */
import type { Page } from '../core/api/types.ts'
import { batchView } from '../core/batch/facts.ts'
import { pastAsk } from '../core/batch/past.ts'
import type { BatchView } from '../core/batch/view.ts'
import type { Digest } from '../core/model/digest.ts'
import { Fault } from '../core/model/fault.ts'
import { byUtf16, type JsonObject } from '../core/model/json.ts'
import type { SyncUp } from '../core/protocol/messages.ts'
import type { BatchQuery } from './api.ts'
import type { WorldSeen } from './world.ts'

export interface SaidFacts {
  readonly digest: Digest
  readonly facts: JsonObject
  readonly atMs: number
  /** Of the box and the store that it was said from. */
  readonly siteId: string
  readonly storeEpoch: string
}

/** `asks` of a kind that the site answers in its next message. */
export const ASK_FACTS: JsonObject = { kind: 'facts' }

/** Keeps what a site says; true: it says that it is something which this hub does not have. */
export function hearFacts(said: Map<string, SaidFacts>, site: string, up: SyncUp, nowMs: number): boolean {
  const { facts, factsDigest: digest } = up
  if (digest === undefined) return false
  if (facts !== undefined) {
    said.set(site, { digest, facts, atMs: nowMs, siteId: up.siteId, storeEpoch: up.storeEpoch })
    return false
  }
  return said.get(site)?.digest !== digest
}

/** To a site that comes with another store than the one it last spoke from: which of its jobs were over. Another box inherits nothing. */
export function pastOf(said: SaidFacts | undefined, site: string, up: SyncUp, nowMs: number): JsonObject | undefined {
  if (said === undefined || said.siteId !== up.siteId || said.storeEpoch === up.storeEpoch) return undefined
  const view = batchView(site, said.facts['batch'], nowMs)
  return view === undefined ? undefined : pastAsk(view.jobs)
}

const MOST_SITES = 200

/** Fault NotFound for a site that is named and is none. */
export function batchPage(world: WorldSeen, query: BatchQuery, nowMs: number): Page<BatchView> {
  const unknown = query.sites?.find((name) => !world.sites.has(name))
  if (unknown !== undefined) throw new Fault('NotFound', `there is no site ${unknown}`)
  const names = (query.sites ?? [...world.siteFacts.keys()]).toSorted(byUtf16)
  const rest = names.filter((name) => query.cursor === undefined || byUtf16(name, query.cursor) > 0)
  const page = rest.slice(0, Math.max(1, Math.min(query.limit ?? MOST_SITES, MOST_SITES)))
  const items = page.flatMap((name): readonly BatchView[] => {
    const said = world.siteFacts.get(name)
    const view = batchView(name, said?.facts['batch'], nowMs)
    return view === undefined || said === undefined ? [] : [{ ...view, saidMs: said.atMs }]
  })
  const next = page.length < rest.length ? (page.at(-1) ?? null) : null
  return { formatVersion: 1, asOfMs: nowMs, total: names.length, items, next }
}
