/** Pods whose bind failed are kept out of the cycles for a while, longer each time, so that one that can never be bound costs little. */
import type { Fault } from '../../core/model/fault.ts'
import type { Manifest } from '../../core/model/object.ts'
import type { Bind } from '../../core/scheduler/types.ts'
import type { OwnPod } from './own-pods.ts'
import type { SchedulingPorts } from './ports.ts'
import type { Word } from './reporter.ts'

const FIRST_MS = 1_000
const MOST_MS = 60_000

interface Held {
  readonly key: string
  readonly namespace: string
  readonly name: string
  readonly uid: string
  readonly untilMs: number
  readonly fault: Fault
  /** As it was last seen; null: not since it is held. */
  object: Manifest | null
}

export interface Holds {
  hold(bind: Bind, fault: Fault): void
  /** It is held: nothing but its own end changes that. */
  keeps(pod: OwnPod, object: Manifest): boolean
  drop(key: string): void
  succeeded(uid: string): void
  /** Those whose time has come, held no more. */
  due(): readonly Held[]
  /** Ms until the next is. */
  nextMs(): number
  words(nowMs: number): Iterable<readonly [string, Word]>
}

export function createHolds({ clock, random }: Pick<SchedulingPorts, 'clock' | 'random'>): Holds {
  const held = new Map<string, Held>()
  /** By UID: binds that failed in a row. */
  const failures = new Map<string, number>()
  return {
    hold({ namespace, name, uid }, fault) {
      const times = failures.get(uid) ?? 0
      failures.set(uid, times + 1)
      const waitMs = Math.min(MOST_MS, FIRST_MS * 2 ** times) * (1 + random() / 2)
      const untilMs = clock.monotonicMs() + Math.max(waitMs, fault.retryAfterMs ?? 0)
      held.set(`${namespace}/${name}`, {
        key: `${namespace}/${name}`,
        namespace,
        name,
        uid,
        untilMs,
        fault,
        object: null,
      })
    },
    keeps(pod, object) {
      const one = held.get(pod.key)
      if (one === undefined) return false
      if (one.uid === pod.uid && pod.node === '' && object.metadata.deletionTimestamp === undefined) {
        one.object = object
        return true
      }
      held.delete(pod.key)
      return false
    },
    drop(key) {
      const one = held.get(key)
      if (one !== undefined) failures.delete(one.uid)
      held.delete(key)
    },
    succeeded: (uid) => void failures.delete(uid),
    due() {
      const nowMs = clock.monotonicMs()
      const due = [...held.values()].filter(({ untilMs }) => untilMs <= nowMs)
      for (const { key } of due) held.delete(key)
      return due
    },
    nextMs() {
      let first = Number.POSITIVE_INFINITY
      for (const { untilMs } of held.values()) first = Math.min(first, untilMs)
      return first - clock.monotonicMs()
    },
    *words() {
      for (const [key, { fault }] of held) {
        const message = `Binding failed (${fault.reason}) and is tried again: ${fault.message}`
        yield [key, { reason: 'SchedulerError', kind: `bind ${fault.reason}`, message, nominated: '' }]
      }
    },
  }
}
