/** Kubernetes events, of either API, read as what they say about one object. */
import type { JsonObject } from '../model/json.ts'
import type { Manifest } from '../model/object.ts'
import { fieldAt, textAt } from './fields.ts'

export interface ReadEvent {
  readonly reason: string
  readonly message: string
  /** When it was last seen; 0 where the event does not say. */
  readonly atMs: number
}

/** Warnings about this object, latest first. */
export function warningsAbout(object: Manifest, events: readonly Manifest[]): readonly ReadEvent[] {
  return events
    .filter((event) => textAt(event, 'type') === 'Warning' && isAbout(event, object))
    .map((event) => ({
      reason: textAt(event, 'reason'),
      message: textAt(event, 'message') || textAt(event, 'note'),
      atMs: lastSeenMs(event),
    }))
    .toSorted((a, b) => b.atMs - a.atMs)
}

/** By UID where both have one: an object of the same name that was there before is another object. */
function isAbout(event: Manifest, object: Manifest): boolean {
  const about = fieldAt(event, 'involvedObject') ?? fieldAt(event, 'regarding')
  const uid = textAt(about, 'uid')
  if (uid !== '' && object.metadata.uid !== undefined) return uid === object.metadata.uid
  return (
    textAt(about, 'kind') === object.kind &&
    textAt(about, 'name') === object.metadata.name &&
    textAt(about, 'namespace') === (object.metadata.namespace ?? '')
  )
}

function lastSeenMs(event: JsonObject): number {
  const times = [
    textAt(event, 'series', 'lastObservedTime'),
    textAt(event, 'lastTimestamp'),
    textAt(event, 'deprecatedLastTimestamp'),
    textAt(event, 'eventTime'),
    textAt(event, 'metadata', 'creationTimestamp'),
  ]
  const read = times.map((time) => Date.parse(time)).find((ms) => !Number.isNaN(ms))
  return read ?? 0
}
