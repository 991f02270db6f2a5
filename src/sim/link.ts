import type { Digest } from '../core/model/digest.ts'
import { Fault } from '../core/model/fault.ts'
import type { BlobDomain } from '../core/model/release.ts'
import type { SyncUp } from '../core/protocol/messages.ts'
import type { HubLink, Resting, SyncAnswer, SyncBases } from '../core/protocol/ports.ts'
import type { Clock } from '../runtime/clock.ts'
import { seededRandom } from './random.ts'

/** How bad the line is. Shares are 0..1, of exchanges. */
export interface Weather {
  /** Nothing passes. */
  readonly dark: boolean
  /** Lost before the hub hears it. */
  readonly lossUp: number
  /** The hub acted and its answer is lost: the fault is OutcomeUnknown or Timeout to the caller, and repeats must do no harm. */
  readonly lossDown: number
  /** The same message reaches the hub twice. */
  readonly duplicate: number
  /** Each way, uniformly in [min, max]. */
  readonly delayMs: readonly [min: number, max: number]
  /** How long a caller waits for an answer that does not come. */
  readonly timeoutMs: number
}

export const CLEAR: Weather = { dark: false, lossUp: 0, lossDown: 0, duplicate: 0, delayMs: [0, 0], timeoutMs: 10_000 }

/** A HubLink through bad weather; every draw comes from the seed, every wait from the clock. */
export class FaultyLink implements HubLink {
  readonly #inner: HubLink
  readonly #clock: Clock
  readonly #random: () => number
  #weather: Weather
  /** What happened so far, for reports of a run. */
  readonly counts = { sent: 0, refused: 0, lostUp: 0, lostDown: 0, duplicated: 0, answered: 0 }

  constructor(inner: HubLink, options: { clock: Clock; seed: number; weather?: Partial<Weather> }) {
    this.#inner = inner
    this.#clock = options.clock
    this.#random = seededRandom(options.seed)
    this.#weather = { ...CLEAR, ...options.weather }
  }

  get weather(): Weather {
    return this.#weather
  }

  /** Changes the weather from the next exchange on; exchanges under way when it goes dark get no answer. */
  become(weather: Partial<Weather>): void {
    this.#weather = { ...this.#weather, ...weather }
  }

  sync(up: SyncUp, bases: SyncBases, signal: AbortSignal): Promise<SyncAnswer> {
    return this.#exchange(() => this.#inner.sync(up, bases, signal), signal)
  }

  blob(domain: BlobDomain, digest: Digest, signal: AbortSignal): Promise<Uint8Array> {
    return this.#exchange(() => this.#inner.blob(domain, digest, signal), signal)
  }

  /** Nothing calls through bad weather: a nudge that is lost costs promptness alone. */
  async rest(): Promise<Resting> {
    return { by: 'polling', because: 'the link is simulated' }
  }

  close(): Promise<void> {
    return this.#inner.close()
  }

  async #exchange<T>(send: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const { dark, lossUp, lossDown, duplicate, timeoutMs } = this.#weather
    this.counts.sent++
    if (dark) {
      this.counts.refused++
      throw new Fault('Unreachable', 'the link is dark')
    }
    // All draws before the first wait: what else runs does not shift them.
    const [upMs, downMs] = [this.#delayMs(), this.#delayMs()]
    const [up, down, twice] = [this.#random() < lossUp, this.#random() < lossDown, this.#random() < duplicate]
    if (upMs > 0) await this.#clock.sleep(upMs, signal)
    if (up || this.#weather.dark) {
      this.counts.lostUp++
      await this.#silence(timeoutMs - upMs, signal)
    }
    if (twice) {
      this.counts.duplicated++
      await send().catch(() => undefined)
    }
    const answer = await send()
    if (downMs > 0) await this.#clock.sleep(downMs, signal)
    if (down || this.#weather.dark) {
      this.counts.lostDown++
      await this.#silence(timeoutMs - upMs - downMs, signal)
    }
    this.counts.answered++
    return answer
  }

  async #silence(ms: number, signal: AbortSignal): Promise<never> {
    await this.#clock.sleep(Math.max(0, ms), signal)
    throw new Fault('Timeout', 'no answer through the faulty link')
  }

  #delayMs(): number {
    const [min, max] = this.#weather.delayMs
    return min + this.#random() * (max - min)
  }
}
