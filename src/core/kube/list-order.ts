/** The order of a list that two sides made. Elements are told apart by `nameOf`; two of one name stay two. */
import type { Json } from '../model/json.ts'

/**
 * Elements that `names` holds come in its order, the others in the order of `before` where they stand there; the two runs are
 * then interleaved: an element goes before the next one of `names` only if it stood before it in `before`.
 */
export function arrange<T>(
  list: readonly T[],
  names: readonly Json[],
  before: readonly Json[],
  nameOf: (item: T) => Json,
): readonly T[] {
  const wanted = ranks(names)
  const old = ranks(before)
  const rankIn = (order: ReadonlyMap<Json, number>, item: T) => order.get(nameOf(item)) ?? Number.POSITIVE_INFINITY
  const named = list.filter((item) => wanted.has(nameOf(item)))
  const others = list.filter((item) => !wanted.has(nameOf(item)))
  // Ranks may be infinite, so they are compared and never subtracted.
  const sortBy = (items: readonly T[], order: ReadonlyMap<Json, number>) =>
    items.toSorted((a, b) => compare(rankIn(order, a), rankIn(order, b)))
  const left = sortBy(others, old)
  const right = sortBy(named, wanted)

  const arranged: T[] = []
  let next = 0
  for (const item of right) {
    // What stood nowhere before waits for the rest of its run.
    const rank = old.get(nameOf(item)) ?? Number.NEGATIVE_INFINITY
    while (next < left.length && rankIn(old, left[next] as T) < rank) arranged.push(left[next++] as T)
    arranged.push(item)
  }
  return [...arranged, ...left.slice(next)]
}

/** First place of each name. */
function ranks(names: readonly Json[]): ReadonlyMap<Json, number> {
  const map = new Map<Json, number>()
  for (const [i, name] of names.entries()) if (!map.has(name)) map.set(name, i)
  return map
}

function compare(a: number, b: number): number {
  return a < b ? -1 : a > b ? 1 : 0
}
