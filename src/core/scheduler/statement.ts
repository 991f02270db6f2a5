/** A set of moves that happen together or not at all. Statements nest as the undo log's savepoints do. */
import { remember } from './choose.ts'
import type { PodClass } from './classes.ts'
import type { Cycle } from './cycle.ts'
import { ALLOCATED, PIPELINED } from './status.ts'
import type { Eviction } from './types.ts'

export type Move =
  | { readonly kind: 'allocate' | 'pipeline'; readonly task: number; readonly node: number }
  | {
      readonly kind: 'evict'
      readonly task: number
      readonly because: Eviction['because']
      readonly for: number
      readonly breaksBudget: boolean
    }

export class Statement {
  readonly moves: Move[] = []
  readonly #cycle: Cycle
  readonly #mark: number
  /** Classes that found no node beside what this did: once it is undone, nobody knows. */
  readonly #doubtful: PodClass[] = []

  constructor(cycle: Cycle) {
    this.#cycle = cycle
    this.#mark = cycle.state.log.begin()
  }

  do(move: Move): void {
    const { state } = this.#cycle
    if (move.kind === 'evict') state.evict(move.task)
    else state.place(move.task, move.node, move.kind === 'allocate' ? ALLOCATED : PIPELINED)
    this.moves.push(move)
  }

  /** No node for pods of the class, as things are now. */
  foundNone(podClass: PodClass): void {
    remember(this.#cycle.state, podClass)
    if (this.moves.length > 0) this.#doubtful.push(podClass)
  }

  /** It happens: binds and evictions are part of the result. */
  commit(): void {
    this.#cycle.state.log.keep(this.#mark)
    for (const move of this.moves)
      if (move.kind === 'allocate') this.#cycle.binds.push(move.task)
      else if (move.kind === 'evict') this.#cycle.evictions.push(move)
  }

  /** It stays for the rest of the cycle, so that what it took is not given to others, and then is forgotten. */
  hold(): void {
    this.#cycle.state.log.keep(this.#mark)
  }

  /** Its moves become the outer statement's. */
  mergeInto(outer: Statement): void {
    this.#cycle.state.log.keep(this.#mark)
    outer.moves.push(...this.moves)
    outer.#doubtful.push(...this.#doubtful)
  }

  discard(): void {
    this.#cycle.state.log.rollback(this.#mark)
    for (const podClass of this.#doubtful) podClass.failedAt = null
  }
}
