import type { WatchEvent } from '../../core/kube/cluster.ts'
import { Fault } from '../../core/model/fault.ts'
import { isObject, type Json, type JsonObject } from '../../core/model/json.ts'
import type { Manifest } from '../../core/model/object.ts'
import { faultOfAnswer, faultOfConnection, type Asked } from './faults.ts'
import { decodeWatchEvent, PROTOBUF } from './protobuf.ts'
import type { Stream } from './transport.ts'

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

const LENGTH_BYTES = 4

/** Each after its length, in four bytes; none above `maxBytes`. A part of one at the end was cut off and says nothing. */
export async function* frames(stream: AsyncIterable<Buffer>, maxBytes: number): AsyncGenerator<Buffer> {
  let rest: Buffer = Buffer.alloc(0)
  /** What came since `rest`, until a frame is whole: a large one comes in many chunks. */
  let parts: Buffer[] = []
  let size = 0
  for await (const chunk of stream) {
    parts.push(chunk)
    size += chunk.length
    const held = rest.length + size
    const length = rest.length >= LENGTH_BYTES ? rest.readUInt32BE(0) : 0
    if (held < LENGTH_BYTES + length) continue
    const bytes = rest.length === 0 && parts.length === 1 ? chunk : Buffer.concat([rest, ...parts])
    parts = []
    size = 0
    let at = 0
    while (bytes.length - at >= LENGTH_BYTES) {
      const wanted = bytes.readUInt32BE(at)
      if (wanted > maxBytes) throw new Fault('TooLarge', `a watch event is above ${maxBytes} bytes`)
      const end = at + LENGTH_BYTES + wanted
      if (end > bytes.length) break
      yield bytes.subarray(at + LENGTH_BYTES, end)
      at = end
    }
    rest = bytes.subarray(at)
  }
}

async function* eventsOf({ chunks, contentType }: Stream, maxBytes: number): AsyncGenerator<JsonObject> {
  if (contentType.startsWith(PROTOBUF))
    for await (const frame of frames(chunks, maxBytes)) yield decodeWatchEvent(frame)
  else for await (const line of jsonLines(chunks, maxBytes)) yield isObject(line) ? line : {}
}

/** Fault WatchExpired where the server no longer knows the version; a connection that breaks is Unreachable, one that stays silent Timeout. */
export async function* watchEvents(
  asked: Asked,
  stream: Stream,
  maxBytes: number,
  signal: AbortSignal,
): AsyncGenerator<WatchEvent> {
  try {
    for await (const event of eventsOf(stream, maxBytes)) {
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
