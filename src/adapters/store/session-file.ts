/** The TLS session of a site's link over a restart. Losing it costs a full handshake and nothing else, so no error leaves this file. */
import { statSync } from 'node:fs'
import { summedFile } from './agent-files.ts'

/** One with the largest keys and names has 3 KiB. */
const MAX_BYTES = 16 * 1024
/** A metered site gets a new one at each call: an older one serves as well, and a flash card is spared. */
const WRITE_EVERY_MS = 60_000

interface SessionFile {
  load(): Uint8Array | undefined
  save(bytes: Uint8Array): void
}

/** Mode 0600: whoever has it may go on in the site's name until the hub retires its key. `nowMs`: a clock that never goes back. */
export function sessionFile(path: string, nowMs: () => number = () => performance.now()): SessionFile {
  const file = summedFile(path)
  let held = read(path)
  let writtenMs: number | undefined
  return {
    load: () => held,
    save: (bytes) => {
      held = bytes
      if (bytes.length > MAX_BYTES / 2) return
      if (writtenMs !== undefined && nowMs() - writtenMs < WRITE_EVERY_MS) return
      writtenMs = nowMs()
      try {
        file.write({ session: Buffer.from(bytes).toString('base64') })
      } catch {
        // A full disk, or one that is read-only: the one in memory serves until the end of the process.
      }
    },
  }
}

/** Only whole: one with a flipped bit would be offered at each call, and each call would fail. */
function read(path: string): Uint8Array | undefined {
  try {
    if (statSync(path).size > MAX_BYTES) return undefined
    const session = summedFile(path).read()?.['session']
    return typeof session === 'string' ? Buffer.from(session, 'base64') : undefined
  } catch {
    return undefined
  }
}
