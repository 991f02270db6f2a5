/** A process that can be killed between any two calls that leave it. What it began stays as it is; nothing of it goes on. */
import { Fault } from '../../src/core/model/fault.ts'

export class Life {
  readonly end = new AbortController()
  #calls = 0
  #diesAt = Number.POSITIVE_INFINITY
  #when: 'before' | 'after' = 'before'
  onDeath: () => void = () => undefined
  /** Answers reach a frozen process when it goes on. */
  readonly #thawed: (signal: AbortSignal) => Promise<void>

  constructor(thawed: (signal: AbortSignal) => Promise<void> = async () => undefined) {
    this.#thawed = thawed
  }

  get dead(): boolean {
    return this.end.signal.aborted
  }

  /** From now on so many calls, and the last of them is not made, or its answer is not heard. */
  diesIn(calls: number, when: 'before' | 'after'): void {
    this.#diesAt = this.#calls + calls
    this.#when = when
  }

  kill(): void {
    if (this.dead) return
    this.end.abort(killed())
    this.onDeath()
  }

  /** The same port; every call of it passes through this life. */
  guard<T extends object>(port: T): T {
    return new Proxy(port, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name, target)
        if (typeof value !== 'function') return value
        const call = value.bind(target) as (...args: unknown[]) => unknown
        return (...args: unknown[]) => this.#pass(() => call(...args))
      },
    })
  }

  #pass(call: () => unknown): unknown {
    if (this.dead) throw killed()
    const last = ++this.#calls === this.#diesAt
    if (last && this.#when === 'before') {
      this.kill()
      throw killed()
    }
    const result = call()
    if (last) this.kill()
    if (!(result instanceof Promise)) {
      if (last) throw killed()
      return result
    }
    const answered = result.then(async (answer: unknown) => {
      await this.#thawed(this.end.signal)
      if (this.dead) throw killed()
      return answer
    })
    // Nobody waits for the answers of a process that is gone.
    answered.catch(() => undefined)
    return answered
  }
}

function killed(): Fault {
  return new Fault('Cancelled', 'the process was killed')
}
