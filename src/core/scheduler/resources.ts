/**
 * Resources as dimensions with a fixed unit, so that every amount is a whole number in a double: cpu in millicores, memory and other
 * storage in bytes, pods as a count, extended resources in thousandths. Rounded up at ingest; 2^53 and above is refused.
 */
import { milliOf, parseQuantity, wholeOf } from '../kube/quantity.ts'
import { Interner } from './intern.ts'
import type { ResourceList } from './types.ts'

export const CPU = 0
export const MEMORY = 1
export const PODS = 2
const FIXED = ['cpu', 'memory', 'pods', 'ephemeral-storage']

/** Dimensions that have the same number in every scheduler; extended resources are numbered as they come. */
export function isFixed(dim: number): boolean {
  return dim < FIXED.length
}

/** A set of amounts: parallel lists, dimensions ascending, no zeroes. */
export interface Amounts {
  readonly dims: Int32Array
  readonly values: Float64Array
}

export type Converted =
  | { readonly ok: true; readonly dim: number; readonly value: number; readonly rounded: boolean }
  | { readonly ok: true; readonly dim: -1 }
  | { readonly ok: false; readonly because: string }

const IGNORED: Converted = { ok: true, dim: -1 }

/** The dimensions of one scheduler, with a memory of every text already converted: there are few of them and many pods. */
export class Dimensions {
  readonly names = new Interner()
  readonly #memo = new Map<string, Converted>()

  constructor() {
    for (const name of FIXED) this.names.id(name)
  }

  get size(): number {
    return this.names.size
  }

  convert(name: string, quantity: string | number): Converted {
    if (typeof quantity !== 'string' && typeof quantity !== 'number')
      return { ok: false, because: `${name}: not a quantity` }
    const key = `${name}=${quantity}`
    let converted = this.#memo.get(key)
    if (converted === undefined) {
      converted = this.#convert(name, quantity)
      this.#memo.set(key, converted)
    }
    return converted
  }

  #convert(name: string, quantity: string | number): Converted {
    const unit = unitOf(name)
    if (unit === undefined) return IGNORED
    const plain = plainAmount(quantity, unit)
    if (plain >= 0) return { ok: true, dim: this.names.id(name), value: plain, rounded: false }
    const parsed = parseQuantity(quantity)
    if (!parsed.ok) return { ok: false, because: `${name}: ${parsed.because}` }
    if (parsed.quantity.nanos < 0n) return { ok: false, because: `${name}: ${quantity} is negative` }
    const value = unit === 'milli' ? milliOf(parsed.quantity) : wholeOf(parsed.quantity)
    if (value === undefined) return { ok: false, because: `${name}: ${quantity} is more than any node has` }
    const exact = BigInt(value) * (unit === 'milli' ? 1_000_000n : 1_000_000_000n)
    return { ok: true, dim: this.names.id(name), value, rounded: exact !== parsed.quantity.nanos }
  }

  /** Amounts by dimension index (a dense list), and what was wrong. Amounts that cannot be read are left out. */
  read(list: ResourceList | undefined): { readonly amounts: Float64Array; readonly problems: readonly string[] } {
    const found: [number, number][] = []
    const problems: string[] = []
    for (const name in list) {
      const converted = this.convert(name, list[name] as string | number)
      if (!converted.ok) problems.push(converted.because)
      else if (converted.dim >= 0) found.push([converted.dim, (converted as { value: number }).value])
    }
    const amounts = new Float64Array(this.size)
    for (const [dim, value] of found) amounts[dim] = value
    return { amounts, problems }
  }
}

function unitOf(name: string): 'milli' | 'whole' | undefined {
  if (name === 'cpu') return 'milli'
  if (name === 'memory' || name === 'ephemeral-storage' || name === 'pods' || name.startsWith('hugepages-'))
    return 'whole'
  return name.includes('/') ? 'milli' : undefined
}

export function sparse(amounts: ArrayLike<number>): Amounts {
  const dims: number[] = []
  const values: number[] = []
  for (let dim = 0; dim < amounts.length; dim++) {
    const value = amounts[dim] as number
    if (value !== 0) {
      dims.push(dim)
      values.push(value)
    }
  }
  const packed = { dims: new Int32Array(dims.length), values: new Float64Array(dims.length) }
  for (let k = 0; k < dims.length; k++) {
    packed.dims[k] = dims[k] as number
    packed.values[k] = values[k] as number
  }
  return packed
}

const PLAIN = /^([1-9]\d{0,8}|0)(m|Ki|Mi|Gi)?$/
const FACTOR: Readonly<Record<string, number>> = { Ki: 1024, Mi: 1024 ** 2, Gi: 1024 ** 3 }

/** The everyday forms, read without big integers; -1 for any other, which the general parser reads. */
function plainAmount(quantity: string | number, unit: 'milli' | 'whole'): number {
  const match = PLAIN.exec(String(quantity))
  if (match === null) return -1
  const digits = Number(match[1])
  const suffix = match[2]
  if (suffix === 'm') return unit === 'milli' ? digits : -1
  const value = digits * (suffix === undefined ? 1 : (FACTOR[suffix] as number)) * (unit === 'milli' ? 1000 : 1)
  return Number.isSafeInteger(value) ? value : -1
}
