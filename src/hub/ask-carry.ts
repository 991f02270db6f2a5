/** Puts what is asked of a site into the answer to its message: again each time, until the site says that it has it. */
import type { JsonObject } from '../core/model/json.ts'
import { ASK_MAX_BYTES, ASKS_AT_ONCE, sealAsk } from '../core/protocol/ask.ts'
import type { Authority } from './ports.ts'
import type { AskRecord, SiteRecord } from './store.ts'
import type { World } from './world.ts'

/** Of one answer. */
const MOST_BYTES = 2 * ASK_MAX_BYTES

export interface CarryParts {
  readonly world: World
  readonly authority: Authority
}

/** That it was told is on the disk before it is: what may have been done is never called expired. */
export async function bringAsks(
  { world, authority }: CarryParts,
  site: SiteRecord,
  nowMs: number,
): Promise<readonly JsonObject[]> {
  const { siteId } = site
  // A hub whose memory is behind its sites, or that is a copy, orders nothing.
  if (siteId === null || site.fork !== null) return []
  const brought: { readonly id: string; readonly item: JsonObject }[] = []
  const first = new Set<string>()
  let bytes = 0
  for (const { ask, row } of world.asks.open(siteId, nowMs)) {
    const item = sealAsk({ ...said(ask, authority), site: site.name, siteId }, authority.signer)
    bytes += item.payload.length
    if (brought.length === ASKS_AT_ONCE || (brought.length > 0 && bytes > MOST_BYTES)) break
    brought.push({ id: ask.id, item })
    if (row.sentMs === null) first.add(ask.id)
  }
  if (first.size > 0)
    await world
      .submit(site.name, () => ({
        askSites: [...first].flatMap((id) => {
          const row = world.asks.at(siteId, id)
          return row === undefined || row.sentMs !== null ? [] : [{ ...row, sentMs: nowMs }]
        }),
      }))
      // A disk that is full keeps no exchange from going on.
      .catch(() => undefined)
  const told = brought.filter(({ id }) => world.asks.at(siteId, id)?.sentMs != null)
  for (const { id } of told) world.asks.told(siteId, id, nowMs)
  return told.map(({ item }) => item)
}

export function said(
  { id, verb, args, by, issuedMs, expiresMs, most }: AskRecord,
  { trust }: Pick<Authority, 'trust'>,
) {
  const issued = new Date(issuedMs).toISOString()
  const expires = new Date(expiresMs).toISOString()
  return { id, timeEpoch: trust.timeEpoch, verb, args, by, issued, expires, most }
}
