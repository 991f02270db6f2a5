/** What a site was told to be stored, is stored: the latest of each workload or a later one, and each result once. */
import { canonicalJson, type Json } from '../../../src/core/model/json.ts'
import type { OutboxItem, SyncUp } from '../../../src/core/protocol/messages.ts'
import type { HubStore } from '../../../src/hub/store.ts'
import { boxOf } from '../author.ts'
import { Violation } from './violation.ts'

interface Word {
  readonly at: number
  /** null: the site said that it has it no more. */
  readonly text: string | null
  readonly acked: boolean
}

const MOST_RESULTS = 10_000

export class ReportLaws {
  /** `site workload` to what may be stored: the last that was acknowledged, and all that was said after it. */
  readonly #words = new Map<string, Word[]>()
  /** `site text` of results that were acknowledged. */
  readonly #results = new Set<string>()
  #at = 0

  /** The hub goes on from an older memory. */
  forget(): void {
    this.#words.clear()
    this.#results.clear()
  }

  /** Before the hub has it; returns its place among all that was said. */
  said(site: string, up: SyncUp): number {
    const at = ++this.#at
    const add = (workload: string, text: string | null): void => {
      const key = `${site} ${workload}`
      const words = this.#words.get(key)
      if (words === undefined) this.#words.set(key, [{ at, text, acked: false }])
      else words.push({ at, text, acked: false })
    }
    for (const observation of up.observations) add(observation.workload, canonicalJson(observation as unknown as Json))
    for (const workload of up.goneWorkloads ?? []) add(workload, null)
    return at
  }

  acknowledged(site: string, up: SyncUp, at: number, ack: number, ackOutbox: number): void {
    if (ack >= up.seq)
      for (const workload of [...up.observations.map((it) => it.workload), ...(up.goneWorkloads ?? [])]) {
        const words = this.#words.get(`${site} ${workload}`) ?? []
        if (words.some((word) => word.acked && word.at > at)) continue
        const left = words.filter((word) => word.at >= at)
        this.#words.set(
          `${site} ${workload}`,
          left.map((word) => (word.at === at ? { ...word, acked: true } : word)),
        )
      }
    for (const item of up.outbox) if (item.seq <= ackOutbox) this.#results.add(`${site} ${canonicalJson(item.body)}`)
  }

  /** A site forgets what was acknowledged, and nothing else. */
  dropped(site: string, items: readonly OutboxItem[]): void {
    for (const { body } of items)
      if (!this.#results.has(`${site} ${canonicalJson(body)}`))
        throw new Violation(
          'dropped',
          `${site} forgot a result that the hub did not acknowledge: ${canonicalJson(body)}`,
        )
  }

  /** What the hub's store has. */
  async check(store: HubStore): Promise<void> {
    for (const { name: called, siteId } of (await store.load()).sites) {
      // A name that was given up before anybody joined under it.
      if (siteId === null) continue
      const site = boxOf(called)
      const at = await store.atSite(called)
      for (const [key, words] of this.#words) {
        const [name, workload = ''] = key.split(' ')
        if (name !== site || !words.some(({ acked }) => acked)) continue
        const observation = at.get(workload)?.observation ?? null
        const text = observation === null ? null : canonicalJson(observation as unknown as Json)
        if (!words.some((word) => word.text === text))
          throw new Violation('acknowledged', `${site} was told that its word on ${workload} is stored, and it is not`)
      }
    }
    const stored = new Set<string>()
    for (const { site, body } of await store.results(0, MOST_RESULTS)) {
      const { siteAtMs: _, ...said } = body
      const result = `${boxOf(site)} ${canonicalJson(said)}`
      if (stored.has(result)) throw new Violation('twice', `a result was heard twice: ${result}`)
      stored.add(result)
    }
    for (const result of this.#results)
      if (!stored.has(result))
        throw new Violation('acknowledged', `a result was acknowledged and is not stored: ${result}`)
  }
}
