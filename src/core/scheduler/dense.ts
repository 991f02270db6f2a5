/** Amounts by dimension, one number for each. A shorter list has nothing in the dimensions it lacks. */
import type { Amounts } from './resources.ts'

export type Dense = Float64Array

export function zeroes(size: number): Dense {
  return new Float64Array(size)
}

export function at(amounts: Dense, dim: number): number {
  return amounts[dim] ?? 0
}

export function addTo(into: Dense, amounts: Dense, sign: 1 | -1 = 1): Dense {
  for (let dim = 0; dim < into.length; dim++) into[dim] = (into[dim] as number) + sign * at(amounts, dim)
  return into
}

export function addSparse(into: Dense, amounts: Amounts, sign: 1 | -1 = 1): Dense {
  const { dims, values } = amounts
  for (let k = 0; k < dims.length; k++) {
    const dim = dims[k] as number
    into[dim] = (into[dim] as number) + sign * (values[k] as number)
  }
  return into
}

/** a minus b where a is more, else nothing. */
export function exceeding(a: Dense, b: Dense, size: number): Dense {
  const result = zeroes(size)
  for (let dim = 0; dim < size; dim++) result[dim] = Math.max(0, at(a, dim) - at(b, dim))
  return result
}

export function isEmpty(amounts: Dense): boolean {
  for (const value of amounts) if (value !== 0) return false
  return true
}

export function lessOrEqual(a: Dense, b: Dense): boolean {
  const size = Math.max(a.length, b.length)
  for (let dim = 0; dim < size; dim++) if (at(a, dim) > at(b, dim)) return false
  return true
}

/** part / whole, where nothing of nothing is nothing and something of nothing is all. */
export function share(part: number, whole: number): number {
  if (whole === 0) return part === 0 ? 0 : 1
  return part / whole
}
