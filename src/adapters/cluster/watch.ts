import type { WatchEvent } from '../../core/kube/cluster.ts'
import { Fault } from '../../core/model/fault.ts'
import { isObject, type Json } from '../../core/model/json.ts'
import type { Manifest } from '../../core/model/object.ts'
import { faultOfAnswer, faultOfConnection, type Asked } from './faults.ts'

const TYPES = { ADDED: 'added', MODIFIED: 'modified', DELETED: 'deleted' } as const

/** One JSON document a line, none above `maxBytes`. A part of a line at the end was cut off and says nothing. */
export async function* jsonLines(stream: AsyncIterable<Buffer>, maxBytes: number): AsyncGenerator<Json> {
  let parts: Buffer[] = []
  let size = 0
  for await (const chunk of stream) {
    let from = 0
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, from)) {
      const line = Buffer.concat([...parts, chunk.subarray(from, at)])
      parts = []
      size = 0
      from = at + 1
      if (line.length > 0) yield JSON.parse(line.toString('utf8')) as Json
    }
    if (from === chunk.length) continue
    const rest = chunk.subarray(from)
    size += rest.length
    if (size > maxBytes) throw new Fault('TooLarge', `a watch event is above ${maxBytes} bytes`)
    parts.push(rest)
  }
}

/** Fault WatchExpired where the server no longer knows the version; a connection that breaks is Unreachable, one that stays silent Timeout. */
export async function* watchEvents(
  asked: Asked,
  stream: AsyncIterable<Buffer>,
  maxBytes: number,
  signal: AbortSignal,
): AsyncGenerator<WatchEvent> {
  try {
    for await (const line of jsonLines(stream, maxBytes)) {
      const event = isObject(line) ? line : {}
      const object = isObject(event['object']) ? event['object'] : {}
      const type = event['type'] as string
      if (type === 'BOOKMARK') {
        const { resourceVersion } = (object as Manifest).metadata
        if (resourceVersion !== undefined) yield { type: 'bookmark', resourceVersion }
      } else if (type === 'ERROR') throw faultOfAnswer(asked, Number(object['code'] ?? 500), object, undefined)
      else yield { type: TYPES[type as keyof typeof TYPES], object: object as Manifest }
    }
  } catch (error) {
    // Whoever aborts a watch knows that it ends.
    if (signal.aborted) return
    throw faultOfConnection(asked, error, signal)
  }
}
