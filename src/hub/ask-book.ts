/** Asks that the hub carries, in memory as its store has them: what is asked, and how far it is at each site. */
import { type AskWord, readAskWord } from '../core/protocol/ask.ts'
import type { OutboxItem } from '../core/protocol/messages.ts'
import { ITEM_MAX_BYTES, itemBytes, KEPT_QUOTA_BYTES } from '../core/protocol/quota.ts'
import type { AskPart, AskRecord, AskSiteRecord, HubChange, HubSnapshot } from './store.ts'

export class AskBook {
  readonly asks = new Map<string, AskRecord>()
  /** By siteId, then by ask, oldest first. */
  readonly #bySite = new Map<string, Map<string, AskSiteRecord>>()
  /** When each was last put into an answer to its site; lost with the process. */
  readonly #told = new Map<string, number>()
  /** By siteId: the latest message that may not have held all that waits there. */
  readonly #full = new Map<string, number>()

  take({ asks, askSites }: Pick<HubSnapshot, 'asks' | 'askSites'>): void {
    this.asks.clear()
    this.#bySite.clear()
    this.fold({ asks: asks.toSorted((a, b) => a.issuedMs - b.issuedMs), askSites })
  }

  fold({ asks = [], askSites = [], asksGone = [] }: Pick<HubChange, 'asks' | 'askSites' | 'asksGone'>): void {
    for (const ask of asks) this.asks.set(ask.id, ask)
    for (const row of askSites) {
      const rows = this.#bySite.get(row.siteId) ?? new Map<string, AskSiteRecord>()
      this.#bySite.set(row.siteId, rows.set(row.id, row))
    }
    for (const id of asksGone) this.#drop(id)
  }

  #drop(id: string): void {
    for (const siteId of this.asks.get(id)?.siteIds ?? []) {
      const rows = this.#bySite.get(siteId)
      rows?.delete(id)
      if (rows?.size === 0) this.#bySite.delete(siteId)
      this.#told.delete(`${siteId} ${id}`)
    }
    this.asks.delete(id)
  }

  at(siteId: string, id: string): AskSiteRecord | undefined {
    return this.#bySite.get(siteId)?.get(id)
  }

  /** What a site is still to be told, oldest first. */
  open(siteId: string, nowMs: number): readonly { readonly ask: AskRecord; readonly row: AskSiteRecord }[] {
    const rows = this.#bySite.get(siteId)
    if (rows === undefined) return []
    return [...rows.values()].flatMap((row) => {
      const ask = this.asks.get(row.id)
      return ask === undefined || row.takenMs !== null || ask.expiresMs <= nowMs ? [] : [{ ask, row }]
    })
  }

  /** Of all sites. */
  countOpen(nowMs: number): number {
    let count = 0
    for (const siteId of this.#bySite.keys()) count += this.open(siteId, nowMs).length
    return count
  }

  told(siteId: string, id: string, nowMs: number): void {
    this.#told.set(`${siteId} ${id}`, nowMs)
  }

  /** null: not by this process. */
  lastToldMs(siteId: string, id: string): number | null {
    return this.#told.get(`${siteId} ${id}`) ?? null
  }

  /** null: none that this process saw. */
  lastFullMs(siteId: string): number | null {
    return this.#full.get(siteId) ?? null
  }

  /** Of a site's results those that are words about asks, as rows; what it says of one that nobody asked is dropped. */
  heard(siteId: string, items: readonly OutboxItem[], nowMs: number): Pick<HubChange, 'askSites' | 'askParts'> {
    const bytes = items.reduce((sum, item) => sum + itemBytes(item), 0)
    if (bytes > KEPT_QUOTA_BYTES - ITEM_MAX_BYTES) this.#full.set(siteId, nowMs)
    const rows = new Map<string, AskSiteRecord>()
    const parts: AskPart[] = []
    for (const item of items) {
      const word = isAboutAsk(item) ? readAskWord(item.body) : undefined
      const row = word === undefined ? undefined : (rows.get(word.id) ?? this.at(siteId, word.id))
      if (word === undefined || row === undefined) continue
      const next = after(row, word, nowMs)
      if (next === row) continue
      rows.set(word.id, next)
      if ('part' in word) parts.push({ id: word.id, siteId, part: word.part, text: word.text })
    }
    return rows.size === 0 ? {} : { askSites: [...rows.values()], askParts: parts }
  }
}

/** Kept with its ask and not among the results. */
export function isAboutAsk({ class: kind, body }: OutboxItem): boolean {
  return kind === 'result' && body['kind'] === 'ask'
}

/** The same row where it says nothing new. */
function after(row: AskSiteRecord, word: AskWord, nowMs: number): AskSiteRecord {
  const takenMs = row.takenMs ?? nowMs
  if ('taken' in word) return row.takenMs === null ? { ...row, takenMs } : row
  const of = row.of ?? word.of
  if (row.answeredMs !== null || word.of !== of || row.parts.includes(word.part)) return row
  const parts = [...row.parts, word.part]
  return { ...row, takenMs, of, parts, answeredMs: parts.length === of ? nowMs : null }
}
