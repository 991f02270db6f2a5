/** Who may take back what its queue deserves, and from whom: Volcano's rule, and the calm one that never goes back and forth. */
import type { Cycle } from '../cycle.ts'
import { at, type Dense } from '../dense.ts'
import { ROOT_QUEUE, type Queue } from '../ledger.ts'
import type { QueueShare } from '../plugin.ts'
import { PODS, type Amounts } from '../resources.ts'
import type { ShareBook } from './capacity-book.ts'

/** May the queue take from others for a pod that asks for so much? `level`: so many ancestors count as well, in Volcano's rule. */
export function entitled(cycle: Cycle, book: ShareBook, queue: Queue, amounts: Amounts, level: number): boolean {
  if (!book.takesJobs(queue) || !book.fits(queue.row, amounts)) return false
  if (cycle.options.profile === 'calm') {
    const share = shareToTakeBack(cycle, book, queue, amounts)
    return share !== null && share.used + share.asked <= share.deserved
  }
  const rows = [queue.row, ...(cycle.hierarchical ? queue.ancestors.slice(0, level) : [])]
  return rows.some((row) => {
    const { queue: one, deserved } = book.share(row)
    if (one.name === ROOT_QUEUE) return false
    const held = book.held(row)
    const { dims, values } = amounts
    for (let k = 0; k < dims.length; k++) {
      const dim = dims[k] as number
      if (at(deserved, dim) > 0 && at(held, dim) + (values[k] as number) <= at(deserved, dim)) return true
    }
    return false
  })
}

/** Of what is asked for, the dimension in which the queue has used most of its share; null where it has none in any. */
export function shareToTakeBack(cycle: Cycle, book: ShareBook, queue: Queue, amounts: Amounts): QueueShare | null {
  const { deserved } = book.share(queue.row)
  const { dims, values } = amounts
  let tightest: QueueShare | null = null
  for (let k = 0; k < dims.length; k++) {
    const dim = dims[k] as number
    if (dim === PODS || at(deserved, dim) === 0) continue
    const used = (cycle.state.queueHeld[dim] as Float64Array)[queue.row] as number
    const one: QueueShare = {
      name: queue.name,
      resource: cycle.state.dimensions.names.names[dim] as string,
      used,
      deserved: at(deserved, dim),
      asked: values[k] as number,
    }
    if (tightest === null || past(one) > past(tightest)) tightest = one
  }
  return tightest
}

function past({ used, asked, deserved }: QueueShare): number {
  return (used + asked) / deserved
}

/** Of the candidates, those that may be taken together for the pod. */
export function victimsOf(
  cycle: Cycle,
  book: ShareBook,
  preemptor: number,
  candidates: readonly number[],
  level: number,
): readonly number[] {
  const mine = cycle.queueOf(cycle.jobOf(preemptor))
  const asked = cycle.classOf(preemptor).spec.requests.amounts
  const left = new Map<number, Dense>()
  const leftOf = (row: number): Dense => {
    let held = left.get(row)
    if (held === undefined) left.set(row, (held = book.held(row)))
    return held
  }
  const calm = cycle.options.profile === 'calm'
  const found: number[] = []
  for (const task of candidates.toSorted((a, b) => cycle.compareVictims(a, b, preemptor))) {
    const { amounts } = cycle.classOf(task).spec.requests
    const queue = cycle.queueAt(cycle.jobOf(task).queue)
    if (queue === null || !sharesDimension(amounts, asked)) continue
    const losing = calm
      ? losersCalmly(cycle, book, mine, queue, asked, amounts, leftOf)
      : losersByLevel(cycle, book, mine, queue, asked, amounts, leftOf, level)
    if (losing === null) continue
    for (const row of losing) subtract(leftOf(row), amounts)
    found.push(task)
  }
  return found
}

type Held = (row: number) => Dense

/**
 * Who takes stays within what it deserves, and who loses at or above it, on every level below the one that both share: so the loser
 * has nothing to take back, and nobody takes turns. The rows that lose, or null where it may not be taken.
 */
function losersCalmly(
  cycle: Cycle,
  book: ShareBook,
  mine: Queue,
  theirs: Queue,
  asked: Amounts,
  amounts: Amounts,
  leftOf: Held,
): readonly number[] | null {
  const [own, losing] = apart(cycle, mine, theirs)
  for (const row of own) if (!staysWithin(book.held(row), asked, book.share(row).deserved)) return null
  for (const row of losing) {
    const { deserved, guarantee } = book.share(row)
    const held = leftOf(row)
    if (!staysAbove(held, amounts, guarantee)) return null
    if (relevant(amounts, deserved) && !hasToSpare(held, amounts, asked, deserved)) return null
  }
  return losing
}

/** The queues of both up to, and without, the nearest that is above both. */
function apart(cycle: Cycle, a: Queue, b: Queue): [readonly number[], readonly number[]] {
  if (!cycle.hierarchical) return [[a.row], [b.row]]
  const [left, right] = [
    [a.row, ...a.ancestors],
    [b.row, ...b.ancestors],
  ]
  const above = new Set(right)
  const below = new Set(left)
  const ofTheCluster = (row: number): boolean => cycle.queueAt(row)?.name === ROOT_QUEUE
  return [
    left.filter((row) => !above.has(row) && !ofTheCluster(row)),
    right.filter((row) => !below.has(row) && !ofTheCluster(row)),
  ]
}

function staysWithin(held: Dense, asked: Amounts, deserved: Dense): boolean {
  const { dims, values } = asked
  for (let k = 0; k < dims.length; k++) {
    const dim = dims[k] as number
    if (dim !== PODS && at(deserved, dim) > 0 && at(held, dim) + (values[k] as number) > at(deserved, dim)) return false
  }
  return true
}

/** Above its share in something that is asked for; and where it is at or above, it stays so. */
function hasToSpare(held: Dense, amounts: Amounts, asked: Amounts, deserved: Dense): boolean {
  const { dims, values } = amounts
  let some = false
  for (let k = 0; k < dims.length; k++) {
    const dim = dims[k] as number
    if (dim === PODS || at(deserved, dim) === 0 || at(held, dim) < at(deserved, dim)) continue
    if (at(held, dim) - (values[k] as number) < at(deserved, dim)) return false
    if (asked.dims.includes(dim)) some = true
  }
  return some
}

function losersByLevel(
  cycle: Cycle,
  book: ShareBook,
  mine: Queue,
  queue: Queue,
  asked: Amounts,
  amounts: Amounts,
  leftOf: Held,
  level: number,
): readonly number[] | null {
  const { guarantee, deserved } = book.share(queue.row)
  if (!staysAbove(leftOf(queue.row), amounts, guarantee)) return null
  if (!relevant(amounts, deserved)) {
    if (level > 0 && isKin(cycle, mine, queue, level) && !relevant(asked, book.share(mine.row).deserved)) return null
  } else if (!isAbove(leftOf(queue.row), deserved, amounts)) return null
  const ancestors = ancestorsToCheck(cycle, mine, queue, level)
  for (const row of ancestors) {
    const { deserved: theirs } = book.share(row)
    if (relevant(amounts, theirs) && !isAbove(leftOf(row), theirs, amounts)) return null
  }
  return [...new Set([queue.row, ...ancestors])]
}

function isKin(cycle: Cycle, a: Queue, b: Queue, level: number): boolean {
  const mine = new Set(a.ancestors.slice(0, level).filter((row) => cycle.queueAt(row)?.name !== ROOT_QUEUE))
  return cycle.hierarchical && b.ancestors.slice(0, level).some((row) => mine.has(row))
}

function ancestorsToCheck(cycle: Cycle, mine: Queue, theirs: Queue, level: number): number[] {
  if (!cycle.hierarchical) return []
  return theirs.ancestors
    .slice(0, level)
    .filter((row, k) => row !== mine.ancestors[k] && cycle.queueAt(row)?.name !== ROOT_QUEUE)
}

/** Everything asks for the place of a pod: that alone is nothing in common. */
function sharesDimension(a: Amounts, b: Amounts): boolean {
  for (const dim of a.dims) if (dim !== PODS && b.dims.includes(dim)) return true
  return false
}

function relevant(amounts: Amounts, deserved: Dense): boolean {
  for (const dim of amounts.dims) if (at(deserved, dim) > 0) return true
  return false
}

function isAbove(held: Dense, deserved: Dense, amounts: Amounts): boolean {
  for (const dim of amounts.dims) if (at(deserved, dim) > 0 && at(held, dim) > at(deserved, dim)) return true
  return false
}

function staysAbove(held: Dense, amounts: Amounts, guarantee: Dense): boolean {
  const { dims, values } = amounts
  for (let dim = 0; dim < guarantee.length; dim++) {
    const k = dims.indexOf(dim)
    if (at(guarantee, dim) > at(held, dim) - (k < 0 ? 0 : (values[k] as number))) return false
  }
  return true
}

function subtract(held: Dense, amounts: Amounts): void {
  const { dims, values } = amounts
  for (let k = 0; k < dims.length; k++) {
    const dim = dims[k] as number
    held[dim] = (held[dim] as number) - (values[k] as number)
  }
}
