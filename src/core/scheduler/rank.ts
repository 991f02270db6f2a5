/**
 * What one class knows of every node: may it go there, and how good is it there. Placements touch one node each, so a class that is
 * asked again reads the log of touched nodes from where it stopped and looks at those only. Best first by blocks of nodes.
 */
import type { PodClass } from './classes.ts'
import { nodeRefuses, standingRefuses, type FilterSet } from './filters.ts'
import { mixHashes } from './hash.ts'
import type { State } from './state.ts'

const BLOCK_BITS = 6
const BLOCK = 1 << BLOCK_BITS
/** A node that fits only when others have left ranks below every node that fits now. */
const LATER = -1e9
/** Scores closer than this are equal, and the hash decides. */
const TIE = 1e-6
const NO = Number.NEGATIVE_INFINITY

export interface RankContext {
  readonly state: State
  readonly filters: FilterSet
  readonly seed: number
  readonly nodeHash: readonly number[]
  /** Sum of the scores that depend on the class and the node alone. */
  readonly localScore: (podClass: PodClass, node: number) => number
}

export class RankView {
  rank: Float64Array
  #blocks: Float64Array
  #readTouched = -1
  #readChanged = -1
  #rows = 0
  /** By node: allowed by its facts. */
  #open: Uint8Array

  constructor() {
    this.rank = new Float64Array(0)
    this.#blocks = new Float64Array(0)
    this.#open = new Uint8Array(0)
  }

  /** Brings the view up to now. */
  catchUp(context: RankContext, podClass: PodClass): void {
    const { state } = context
    const touched = state.touchedBase + state.touched.length
    if (this.#readTouched === touched && this.#readChanged === state.changes) return
    const behind = touched - this.#readTouched
    if (
      this.#readChanged !== state.changes ||
      this.#rows !== state.nodeRows ||
      this.#readTouched < state.touchedBase ||
      behind > state.nodeRows
    )
      this.#rebuild(context, podClass)
    else
      for (let k = this.#readTouched - state.touchedBase; k < state.touched.length; k++)
        this.#set(state.touched[k] as number, context, podClass)
    this.#readTouched = touched
    this.#readChanged = state.changes
  }

  #rebuild(context: RankContext, podClass: PodClass): void {
    const { state, filters } = context
    const rows = state.nodeRows
    const facts = this.#readChanged !== state.changes || this.#rows !== rows
    if (this.rank.length < rows) {
      this.rank = new Float64Array(rows)
      this.#open = new Uint8Array(this.rank.length)
      this.#blocks = new Float64Array((this.rank.length + BLOCK - 1) >> BLOCK_BITS)
    }
    this.rank.fill(NO, rows)
    this.#rows = rows
    for (let node = 0; node < rows; node++) {
      if (facts) this.#open[node] = nodeRefuses(state, filters, podClass, node) === null ? 1 : 0
      this.rank[node] = this.#open[node] === 1 ? rankOf(context, podClass, node) : NO
    }
    for (let block = 0; block < this.#blocks.length; block++) this.#fold(block)
  }

  #set(node: number, context: RankContext, podClass: PodClass): void {
    if (this.#open[node] === 0) return
    const before = this.rank[node] as number
    const after = rankOf(context, podClass, node)
    if (before === after) return
    this.rank[node] = after
    const block = node >> BLOCK_BITS
    const best = this.#blocks[block] as number
    if (after >= best) this.#blocks[block] = after
    else if (before === best) this.#fold(block)
  }

  /** For a view whose ranks were set from outside. */
  fold(rows: number): void {
    this.#rows = rows
    this.#blocks = new Float64Array((rows + BLOCK - 1) >> BLOCK_BITS)
    for (let block = 0; block < this.#blocks.length; block++) this.#fold(block)
  }

  #fold(block: number): void {
    let best = NO
    const end = Math.min((block + 1) << BLOCK_BITS, this.#rows)
    for (let node = block << BLOCK_BITS; node < end; node++) {
      const rank = this.rank[node] as number
      if (rank > best) best = rank
    }
    this.#blocks[block] = best
  }

  /** The best node, or -1. */
  best(): number {
    let best = NO
    let at = -1
    const blocks = (this.#rows + BLOCK - 1) >> BLOCK_BITS
    for (let block = 0; block < blocks; block++) {
      const rank = this.#blocks[block] as number
      if (rank > best) {
        best = rank
        at = block
      }
    }
    if (at < 0) return -1
    for (let node = at << BLOCK_BITS; ; node++) if (this.rank[node] === best) return node
  }

  /** The best node that passes a further question. Blocks that cannot beat what was found are not looked into. */
  bestWhere(allows: (node: number) => boolean): number {
    let best = NO
    let at = -1
    const blocks = (this.#rows + BLOCK - 1) >> BLOCK_BITS
    for (let block = 0; block < blocks; block++) {
      if ((this.#blocks[block] as number) <= best) continue
      const end = Math.min((block + 1) << BLOCK_BITS, this.#rows)
      for (let node = block << BLOCK_BITS; node < end; node++) {
        const rank = this.rank[node] as number
        if (rank > best && allows(node)) {
          best = rank
          at = node
        }
      }
    }
    return at
  }
}

export function isNow(rank: number): boolean {
  return rank > LATER / 2
}

/** Of one node that its facts allow: its score, lower by far when it fits only later, -Infinity when it does not. */
export function rankOf(context: RankContext, podClass: PodClass, node: number): number {
  const { state } = context
  if (!state.fits(podClass, node, 'later')) return NO
  if (standingRefuses(state, context.filters, podClass, node) !== null) return NO
  const tie =
    (mixHashes(mixHashes(podClass.hash, context.seed), context.nodeHash[node] as number) / 0x1_0000_0000) * TIE
  const score = context.localScore(podClass, node) + tie
  return state.fits(podClass, node, 'now') ? score : score + LATER
}

/** The same answer without memory. */
export function freshRank(context: RankContext, podClass: PodClass, node: number): number {
  if (nodeRefuses(context.state, context.filters, podClass, node) !== null) return NO
  return rankOf(context, podClass, node)
}
