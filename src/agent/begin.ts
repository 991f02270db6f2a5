/** Whether the site may begin to move to what an entry names. What it has begun it goes on with; what it has not needs a permit. */
import { shortDigest } from '../core/model/digest.ts'
import { sameGeneration } from '../core/model/observation.ts'
import type { Release } from '../core/model/release.ts'
import type { Waiting } from '../core/model/state.ts'
import type { ManifestEntry } from '../core/protocol/messages.ts'
import type { HubNow } from '../core/protocol/time.ts'
import type { WorkloadRecord } from './ports.ts'

export type Begin =
  | { readonly kind: 'begun' }
  /** `same`: a newer entry names what is here already; no permit is needed to stay. */
  | { readonly kind: 'begins'; readonly because: 'permit' | 'same' }
  | { readonly kind: 'waits'; readonly waiting: Waiting }

export interface BeginInput {
  readonly entry: ManifestEntry
  readonly record: WorkloadRecord | undefined
  readonly release: Release
  readonly hubNow: HubNow
  readonly withdrawn: ReadonlySet<string>
  /** `absent`: no entry of that name at this site. */
  dependency(name: string): 'met' | 'unmet' | 'absent'
}

export function mayBegin(input: BeginInput): Begin {
  const { entry, record, release, hubNow } = input
  if (record !== undefined && sameGeneration(record.since, entry.since) && record.release === entry.release)
    return { kind: 'begun' }
  if (record?.release === entry.release) return { kind: 'begins', because: 'same' }
  const waits = (waiting: Waiting): Begin => ({ kind: 'waits', waiting })
  if (input.withdrawn.has(entry.release)) return waits({ reason: 'Withdrawn', detail: shortDigest(entry.release) })
  if (release.rules.suspend) return waits({ reason: 'Suspended' })
  const startAfterMs = Date.parse(entry.startAfter)
  const startByMs = Date.parse(entry.startBy)
  // A time that it is at least is enough to know that a permit ended, and not enough to know that one stands.
  if (hubNow.known !== 'no' && hubNow.ms > startByMs) return waits({ reason: 'PermitExpired', detail: entry.startBy })
  if (hubNow.known !== 'exact') return waits({ reason: 'ClockUnknown' })
  if (hubNow.ms < startAfterMs) {
    return waits({ reason: 'WindowClosed', detail: `opens ${entry.startAfter}`, nextAtMs: startAfterMs })
  }
  const unmet = release.dependsOn.find(({ name, optional }) => {
    const state = input.dependency(name)
    return state === 'unmet' || (state === 'absent' && optional !== true)
  })
  if (unmet !== undefined) return waits({ reason: 'Dependency', detail: unmet.name })
  return { kind: 'begins', because: 'permit' }
}
