/** When sites were last heard and are next due. In memory, for an exchange in which nothing changed writes nothing; flushed now and then. */
import type { Clock } from '../runtime/clock.ts'
import type { Contact } from './facts.ts'
import type { Rename } from './store.ts'
import type { World } from './world.ts'

/** Sites a flush writes in one transaction. */
const FLUSH_ROWS = 1_000

/** Less is clock discipline, and two readings that were not taken at once. */
const LEAST_JUMP_MS = 1_000

interface Heard extends Contact {
  readonly dueAtMs: number
  /** When it is due by the clock that does not jump. */
  readonly dueMonotonicMs: number
}

const NEVER: Contact = { lastContactMs: null, dueAtMs: null }

export class Contacts {
  readonly #world: World
  readonly #clock: Clock
  readonly #startedAtMs: number
  readonly #heard = new Map<string, Heard>()
  readonly #unwritten = new Set<string>()

  constructor(world: World, clock: Clock) {
    this.#world = world
    this.#clock = clock
    this.#startedAtMs = clock.nowMs()
  }

  /** A site could not come while this hub was away: nobody is due before it has been up for as long as the site was to wait. */
  get(site: string): Contact {
    const heard = this.#heard.get(site)
    if (heard !== undefined) return this.#afterJumps(heard)
    const record = this.#world.sites.get(site)
    if (record?.lastContactMs == null) return NEVER
    const { lastContactMs, dueAtMs } = record
    const waitsMs = Math.max(0, (dueAtMs ?? lastContactMs) - lastContactMs)
    return { lastContactMs, dueAtMs: Math.max(dueAtMs ?? lastContactMs, this.#startedAtMs + waitsMs) }
  }

  heard(site: string, lastContactMs: number, dueAtMs: number): void {
    const dueMonotonicMs = this.#clock.monotonicMs() + (dueAtMs - this.#clock.nowMs())
    this.#heard.set(site, { lastContactMs, dueAtMs, dueMonotonicMs })
    this.#unwritten.add(site)
  }

  /** As it was agreed: how long a site was to wait is read from it after a restart. */
  #written(name: string): readonly (Contact & { readonly name: string })[] {
    const heard = this.#heard.get(name)
    return heard === undefined ? [] : [{ name, lastContactMs: heard.lastContactMs, dueAtMs: heard.dueAtMs }]
  }

  /** A clock that was set ahead makes nobody late: who was to come in a minute is to come in a minute still. */
  #afterJumps({ lastContactMs, dueAtMs, dueMonotonicMs }: Heard): Contact {
    const byNowMs = this.#clock.nowMs() + (dueMonotonicMs - this.#clock.monotonicMs())
    return { lastContactMs, dueAtMs: byNowMs > dueAtMs + LEAST_JUMP_MS ? byNowMs : dueAtMs }
  }

  renamed({ from, to }: Rename): void {
    const heard = this.#heard.get(from)
    if (heard !== undefined) this.#heard.set(to, heard)
    if (this.#unwritten.delete(from)) this.#unwritten.add(to)
    this.#heard.delete(from)
  }

  async flush(): Promise<void> {
    const names = [...this.#unwritten]
    for (let i = 0; i < names.length; i += FLUSH_ROWS) {
      const part = names.slice(i, i + FLUSH_ROWS)
      await this.#world.turn((commit) => commit({ contacts: part.flatMap((name) => this.#written(name)) }))
      for (const name of part) this.#unwritten.delete(name)
    }
  }
}
