import type { Io } from '../command.ts'

/** Between two looks of `-w`: the hub sums its sites up at most once a second. */
const LOOK_MS = 2_000

/** Calls `look` until the command is interrupted; what it throws ends it. */
export async function watch(io: Io, look: () => Promise<void>): Promise<void> {
  while (!io.signal.aborted) {
    await new Promise<void>((resolve) => {
      const end = (): void => {
        clearTimeout(timer)
        io.signal.removeEventListener('abort', end)
        resolve()
      }
      const timer = setTimeout(end, LOOK_MS)
      io.signal.addEventListener('abort', end, { once: true })
    })
    if (!io.signal.aborted) await look()
  }
}
