/**
 * Two versions on one store: the second stands by until it is fit and is given the store; the first stands over it until it proved
 * itself, and takes the store back where it does not. The kernel's lock says who has it, so no two ever write.
 */
import { createBoxClient } from '../adapters/http/box-client.ts'
import { takeStoreLock, type StoreLock } from '../adapters/store/store-lock.ts'
import { asFault } from '../core/model/fault.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Logger } from '../runtime/logger.ts'

const LOOK_MS = 500
/** Between two rehearsals, or after a no. */
const AGAIN_MS = 15_000
/** A store that was given is taken at once, or the other is gone. */
const TAKE_MS = 10_000

export interface Succession {
  readonly dir: string
  readonly version: string
  readonly holder: string
  readonly clock: Clock
  readonly log: Logger
}

export interface Taken {
  readonly lock: StoreLock
  /** `handed`: another stands over this one, and takes the store back unless it proves itself. */
  readonly way: 'free' | 'handed'
}

/** Until the store is ours. `fit` throws why this version is not. undefined: told to stop. */
export async function standBy(
  { dir, version, holder, clock, log }: Succession,
  fit: (signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): Promise<Taken | undefined> {
  let isFit = false
  let givenAtMs: number | undefined
  let nextMs = 0
  for (let said = ''; !signal.aborted;) {
    const nowMs = clock.monotonicMs()
    const given = givenAtMs !== undefined && nowMs - givenAtMs < TAKE_MS
    const lock = takeStoreLock(dir)
    if (lock !== undefined) return { lock, way: given ? 'handed' : 'free' }
    if (!given && nowMs >= nextMs) {
      nextMs = nowMs + AGAIN_MS
      let because = ''
      try {
        if (!isFit) await fit(signal)
        isFit = true
        const answer = await createBoxClient(dir).handover({ version, holder })
        because = answer.because
        if (answer.granted) givenAtMs = clock.monotonicMs()
      } catch (error) {
        const fault = asFault(error)
        because = `${fault.reason}: ${fault.message}`
        nextMs = clock.monotonicMs() + AGAIN_MS
      }
      if (because !== said) log.info({ because, fit: isFit }, 'another agent has the store: standing by')
      said = because
    }
    await clock.sleep(LOOK_MS, signal).catch(() => undefined)
  }
  return undefined
}

export type Returned =
  | { readonly lock: StoreLock; readonly proved: 'yes' }
  | { readonly lock: StoreLock; readonly proved: 'no'; readonly because: string }

/**
 * After the store was given away. Resolves when it is ours again; a version that ended, or that did not prove itself in
 * `confirmMs`, is told with why. undefined: told to stop, as it is once the new one is ready.
 */
export async function standOver(
  { dir, clock, log }: Succession,
  heir: string,
  confirmMs: number,
  seize: (signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): Promise<Returned | undefined> {
  const startMs = clock.monotonicMs()
  const client = createBoxClient(dir)
  let proved = false
  let seen = false
  let late = false
  while (!signal.aborted) {
    await clock.sleep(LOOK_MS, signal).catch(() => undefined)
    if (signal.aborted) break
    const view = await client.view().catch(() => undefined)
    seen ||= view !== undefined
    if (!proved && view?.agent.version === heir && view.agent.confirmed) {
      proved = true
      log.info({ version: heir }, 'the new version proved itself')
    }
    const forMs = clock.monotonicMs() - startMs
    // It has to take what it was given before anybody may try the lock again.
    if (!seen && forMs < TAKE_MS) continue
    const lock = view === undefined ? takeStoreLock(dir) : undefined
    if (lock !== undefined) {
      if (proved) return { lock, proved: 'yes' }
      const because = late
        ? `not healthy, or not at the hub, within ${confirmMs} ms`
        : 'it ended before it proved itself'
      return { lock, proved: 'no', because }
    }
    if (proved || late || forMs < confirmMs) continue
    late = true
    log.warn({ version: heir }, 'the new version did not prove itself: it may write no more')
    await seize(signal).catch((error: unknown) => log.warn({ err: error }, 'the lease cannot be taken back'))
  }
  return undefined
}
