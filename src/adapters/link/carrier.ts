/** What carries exchanges on one connection. The hub's answers mean the same whichever it is, and so do its faults. */
import { Fault } from '../../core/model/fault.ts'
import { BLOB_MAX_BYTES, SYNC_DOWN_MAX_BYTES } from '../../core/protocol/limits.ts'
import type { PieceAsked, PieceHead } from './socket-words.ts'
import { faultOf, type Wire } from './wire.ts'

/** One request at a time. After a fault other than Throttled it is gone. */
export interface Carrier {
  readonly kind: 'post' | 'socket'
  readonly open: boolean
  /** On the wire since it was dialled, TLS included. */
  readonly bytes: { readonly up: number; readonly down: number }
  /** Faults as HubLink. */
  sync(body: Uint8Array, signal: AbortSignal): Promise<Buffer>
  /** `sink` gets the bytes as they come; the answer says where they start, of how many. Fault NotFound, InvalidInput. */
  piece(asked: PieceAsked, sink: (chunk: Buffer) => void, signal: AbortSignal): Promise<PieceHead>
  hangUp(): void
}

export function postCarrier(wire: Wire): Carrier {
  return {
    kind: 'post',
    get open() {
      return wire.open
    },
    get bytes() {
      return wire.bytes
    },
    async sync(body, signal) {
      const request = { method: 'POST', path: '/v1/sync', body, maxBytes: SYNC_DOWN_MAX_BYTES } as const
      const answer = await wire.request(request, signal)
      if (answer.status !== 200) throw faultOf(answer)
      return answer.body
    },
    async piece({ domain, digest, from, to }, sink, signal) {
      let got = 0
      const answer = await wire.request(
        {
          method: 'GET',
          path: `/v1/blobs/${domain}/${digest.slice('sha256:'.length)}`,
          headers: { range: `bytes=${from}-${to - 1}` },
          maxBytes: BLOB_MAX_BYTES,
          sink: (chunk) => {
            got += chunk.length
            sink(chunk)
          },
        },
        signal,
      )
      // The hub answers 200 where the piece is the whole blob.
      if (answer.status === 200) return { from: 0, total: got }
      if (answer.status !== 206) throw faultOf(answer)
      const [, start, total] = /^bytes (\d+)-\d+\/(\d{1,15})$/.exec(answer.headers.get('content-range') ?? '') ?? []
      if (start === undefined) throw new Fault('InvalidInput', 'a piece that does not say where it belongs')
      return { from: Number(start), total: Number(total) }
    },
    hangUp: () => wire.hangUp(),
  }
}
