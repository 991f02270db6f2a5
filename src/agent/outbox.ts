/** What the hub has not yet acknowledged: the latest of each workload, and items that must arrive. */
import type { JsonObject } from '../core/model/json.ts'
import type { WorkloadObservation } from '../core/model/observation.ts'
import { Fault } from '../core/model/fault.ts'
import type { OutboxItem } from '../core/protocol/messages.ts'
import { isLossy, ITEM_MAX_BYTES, itemBytes, pickItems } from '../core/protocol/quota.ts'
import type { AgentStore, StoreWrite } from './ports.ts'

/** Sequences are taken from the disk in blocks, so that a sync in which nothing changed writes nothing. */
const SEQ_BLOCK = 1_000
const NOTE_SEQ = 'sequence'
/** Below this a soak is told at each exchange; above, when it has grown by a quarter: a soak must be seen, an age need not. */
const YOUNG_MS = 600_000
const GROWTH = 1.25
const OLD_MS = 86_400_000

export interface Outbox {
  /** To be sent now, with the sequence of the message. */
  next(observations: ReadonlyMap<string, WorkloadObservation>): {
    readonly seq: number
    readonly observations: readonly WorkloadObservation[]
    readonly goneWorkloads: readonly string[]
    /** As many as their classes' quotas let through; the rest in the next. */
    readonly items: readonly OutboxItem[]
    /** Items that were never sent since this process began, by class; absent where there are none. */
    readonly dropped?: Readonly<Record<string, number>>
  }
  /** True: something other than an age waits to be told, or an item that must arrive. */
  hasNews(observations: ReadonlyMap<string, WorkloadObservation>): boolean
  acknowledged(seq: number, outboxSeq: number): void
  /** On the disk when it returns, together with the notes. Fault TooLarge. */
  put(kind: OutboxItem['class'], atMs: number, body: JsonObject, also?: Pick<StoreWrite, 'notes'>): void
  /** Several in one write. Fault TooLarge. */
  putAll(kind: OutboxItem['class'], atMs: number, bodies: readonly JsonObject[], also?: Pick<StoreWrite, 'notes'>): void
  /** Items whose body is of this kind that wait for their acknowledgement. */
  owed(kind: string): number
}

interface Told {
  readonly observation: WorkloadObservation
  readonly seq: number
  readonly acked: boolean
}

export function createOutbox(store: AgentStore): Outbox {
  const told = new Map<string, Told>()
  const gone = new Map<string, number>()
  let items = store.outbox()
  let itemSeq = Math.max(0, ...items.map(({ seq }) => seq), numberOf(store.note(NOTE_SEQ)?.['item']))
  let reserved = numberOf(store.note(NOTE_SEQ)?.['upTo'])
  let seq = reserved
  const dropped: Record<string, number> = {}

  const reserve = (): void => {
    reserved = seq + SEQ_BLOCK
    store.write({ notes: new Map([[NOTE_SEQ, { upTo: reserved, item: itemSeq }]]) })
  }

  function putAll(
    kind: OutboxItem['class'],
    atMs: number,
    bodies: readonly JsonObject[],
    also: Pick<StoreWrite, 'notes'> = {},
  ): void {
    const added = bodies.map((body, i): OutboxItem => ({ class: kind, seq: itemSeq + 1 + i, atMs, body }))
    if (added.some((item) => itemBytes(item) > ITEM_MAX_BYTES))
      throw new Fault('TooLarge', `an item of class ${kind} above its limit`)
    store.write({ outbox: added, ...also })
    itemSeq += added.length
    items = [...items, ...added]
  }

  return {
    next: (observations) => {
      if (seq >= reserved) reserve()
      seq += 1
      const sent = [...observations.values()].filter((it) => isDue(told.get(it.workload), it))
      for (const observation of sent) {
        told.set(observation.workload, { observation, seq, acked: false })
        gone.delete(observation.workload)
      }
      for (const name of told.keys()) {
        if (observations.has(name)) continue
        told.delete(name)
        gone.set(name, seq)
      }
      const picked = pickItems(items)
      for (const { class: kind } of picked.dropped) dropped[kind] = (dropped[kind] ?? 0) + 1
      if (picked.dropped.length > 0) items = items.filter((item) => !picked.dropped.includes(item))
      const lost = Object.keys(dropped).length === 0 ? {} : { dropped: { ...dropped } }
      return { seq, observations: sent, goneWorkloads: [...gone.keys()], items: picked.items, ...lost }
    },
    hasNews: (observations) =>
      items.some((item) => !isLossy(item.class)) ||
      [...observations.values()].some((it) => {
        const before = told.get(it.workload)
        return before === undefined || !sameButAge(before.observation, it)
      }),
    acknowledged: (ack, outboxSeq) => {
      for (const [name, it] of told) if (it.seq <= ack && !it.acked) told.set(name, { ...it, acked: true })
      for (const [name, at] of gone) if (at <= ack) gone.delete(name)
      if (!items.some((item) => item.seq <= outboxSeq)) return
      store.write({ outboxAck: outboxSeq, notes: new Map([[NOTE_SEQ, { upTo: reserved, item: itemSeq }]]) })
      items = items.filter((item) => item.seq > outboxSeq)
    },
    put: (kind, atMs, body, also) => putAll(kind, atMs, [body], also),
    putAll,
    owed: (kind) => items.reduce((sum, { body }) => sum + Number(body['kind'] === kind), 0),
  }
}

function isDue(before: Told | undefined, now: WorkloadObservation): boolean {
  if (before === undefined || !before.acked || !sameButAge(before.observation, now)) return true
  const { healthyForMs } = before.observation
  if (healthyForMs === now.healthyForMs || healthyForMs >= OLD_MS) return false
  return now.healthyForMs < YOUNG_MS || now.healthyForMs >= healthyForMs * GROWTH
}

function sameButAge(a: WorkloadObservation, b: WorkloadObservation): boolean {
  const bare = (it: WorkloadObservation): string => JSON.stringify({ ...it, healthyForMs: 0, unhealthyMs: 0 })
  return bare(a) === bare(b)
}

function numberOf(value: unknown): number {
  return typeof value === 'number' ? value : 0
}
