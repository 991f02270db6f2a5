/** Bytes as the difference to a version that the other side holds: zstd with that version as dictionary. */
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { Fault } from '../model/fault.ts'

/** One changed line of 200 KB costs 140 bytes at this level; lower ones lose the match in bases of megabytes. */
const LEVEL = 9
/** A base and a result above this are sent whole: the window and the time to search it grow with them. */
export const DELTA_MAX_BYTES = 8 * 1024 * 1024
const MIN_WINDOW_LOG = 10
const MAX_WINDOW_LOG = 26

/** Both the dictionary and the result must lie within the window. */
function windowLog(bytes: number): number {
  return Math.min(MAX_WINDOW_LOG, Math.max(MIN_WINDOW_LOG, Math.ceil(Math.log2(bytes + 1)) + 1))
}

/** The delta, or undefined where one is too large for it. */
export function makeDelta(base: Uint8Array, result: Uint8Array): Buffer | undefined {
  if (base.length > DELTA_MAX_BYTES || result.length > DELTA_MAX_BYTES) return undefined
  return zstdCompressSync(result, { dictionary: base, params: compression(base.length + result.length) })
}

/** Fault BlobMismatch where the base is another one or bytes are damaged, TooLarge where the result is above the limit. */
export function applyDelta(base: Uint8Array, delta: Uint8Array, maxBytes: number): Buffer {
  return inflate(delta, maxBytes, base)
}

export function compress(bytes: Uint8Array): Buffer {
  return zstdCompressSync(bytes, { params: compression(bytes.length) })
}

/** Faults as `applyDelta`. */
export function decompress(bytes: Uint8Array, maxBytes: number): Buffer {
  return inflate(bytes, maxBytes, undefined)
}

function compression(windowBytes: number): Record<number, number> {
  return {
    [constants.ZSTD_c_compressionLevel]: LEVEL,
    [constants.ZSTD_c_windowLog]: windowLog(windowBytes),
    // Without it a wrong base decodes to other bytes in silence.
    [constants.ZSTD_c_checksumFlag]: 1,
    [constants.ZSTD_c_contentSizeFlag]: 1,
  }
}

function inflate(bytes: Uint8Array, maxBytes: number, dictionary: Uint8Array | undefined): Buffer {
  const params = { [constants.ZSTD_d_windowLogMax]: windowLog(maxBytes + (dictionary?.length ?? 0)) }
  try {
    return zstdDecompressSync(bytes, {
      params,
      maxOutputLength: maxBytes,
      ...(dictionary === undefined ? {} : { dictionary }),
    })
  } catch (cause) {
    const { code } = cause as { readonly code?: string }
    if (code === 'ERR_BUFFER_TOO_LARGE' || code === 'ZSTD_error_frameParameter_windowTooLarge')
      throw new Fault('TooLarge', `compressed bytes hold more than ${maxBytes}`, { cause })
    throw new Fault('BlobMismatch', 'compressed bytes do not decode against this base', { cause })
  }
}
