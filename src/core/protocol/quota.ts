/** What of an outbox one message takes: each class has bytes of its own, what must arrive goes in order, and what may be lost is counted. */
import type { OutboxItem } from './messages.ts'

export type ItemClass = OutboxItem['class']
export type LossyClass = Extract<ItemClass, 'metric' | 'log'>

/** JSON bytes of one message, before it is deflated. Results and audit share theirs: an acknowledgement means all of them up to it. */
export const KEPT_QUOTA_BYTES = 96 * 1024
export const LOSSY_QUOTA_BYTES: Readonly<Record<LossyClass, number>> = { metric: 8 * 1024, log: 16 * 1024 }
/** Of one item: it must fit beside nothing else. */
export const ITEM_MAX_BYTES = 64 * 1024

export interface Picked {
  /** By sequence. */
  readonly items: readonly OutboxItem[]
  /** Above their class's quota, the oldest: they are never sent. */
  readonly dropped: readonly OutboxItem[]
}

export function isLossy(kind: ItemClass): kind is LossyClass {
  return kind === 'metric' || kind === 'log'
}

/** `items` by sequence. The hub acknowledges by the highest sequence of a message: nothing goes before what must arrive and waits. */
export function pickItems(items: readonly OutboxItem[]): Picked {
  const kept = items.filter((item) => !isLossy(item.class))
  let bytes = 0
  const first = kept.findIndex((item, i) => {
    bytes += itemBytes(item)
    return i > 0 && bytes > KEPT_QUOTA_BYTES
  })
  const before = first < 0 ? Infinity : kept[first]!.seq
  const left: Record<LossyClass, number> = { ...LOSSY_QUOTA_BYTES }
  const sent: OutboxItem[] = first < 0 ? kept : kept.slice(0, first)
  const dropped: OutboxItem[] = []
  for (const item of items.toReversed()) {
    if (!isLossy(item.class) || item.seq > before) continue
    left[item.class] -= itemBytes(item)
    // The newest say most: the first that does not fit ends its class.
    if (left[item.class] < 0) dropped.push(item)
    else sent.push(item)
  }
  return { items: sent.toSorted((a, b) => a.seq - b.seq), dropped }
}

export function itemBytes(item: OutboxItem): number {
  return Buffer.byteLength(JSON.stringify(item))
}
