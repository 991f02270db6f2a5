/**
 * Kubernetes resource quantities (`100m`, `1.5Gi`, `2e3`), exactly: a value is whole nanos in a bigint, never a float.
 * Finer input is rounded away from zero, as Kubernetes does, so that asking for a little never becomes asking for nothing.
 */

/** The family of suffix that a quantity keeps when it is written back. */
export type QuantityFormat = 'BinarySI' | 'DecimalSI' | 'DecimalExponent'

export interface Quantity {
  readonly nanos: bigint
  readonly format: QuantityFormat
  /** As Kubernetes writes it back. */
  readonly canonical: string
}

export type ParsedQuantity =
  | { readonly ok: true; readonly quantity: Quantity }
  | { readonly ok: false; readonly because: string }

const NANO_DIGITS = 9
/** 10^1000 is more than any resource; a larger exponent would only make us build huge integers. */
const MAX_EXPONENT = 1000
/** As long as a request line may be; no honest quantity comes near. */
const MAX_TEXT = 1024
/** Binary quantities stop at the largest int64, silently, in Kubernetes too. */
const MAX_BINARY_NANOS = ((1n << 63n) - 1n) * 10n ** 9n

const DECIMAL: Readonly<Record<string, number>> = { n: -9, u: -6, m: -3, '': 0, k: 3, M: 6, G: 9, T: 12, P: 15, E: 18 }
const BINARY: Readonly<Record<string, number>> = { Ki: 10, Mi: 20, Gi: 30, Ti: 40, Pi: 50, Ei: 60 }
const DECIMAL_SUFFIX = new Map(Object.entries(DECIMAL).map(([suffix, exponent]) => [exponent, suffix]))
const BINARY_SUFFIX = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei']

const QUANTITY = /^([+-]?)(?=\.?\d)0*(\d*)(?:\.(\d*))?([eEinumkKMGTP]*[+-]?\d*)$/

/** A quantity as text, or as the number that YAML makes of `cpu: 1`. Whitespace is refused. */
export function parseQuantity(input: string | number): ParsedQuantity {
  const text = typeof input === 'number' ? String(input) : input
  if (text.length > MAX_TEXT) return refuse('a quantity is never so long')
  const match = QUANTITY.exec(text)
  if (match === null) return refuse(`"${text}" is not a number with an optional suffix such as m, Ki or e3`)
  const [, sign = '', integer = '', fraction = '', suffixText = ''] = match
  const suffix = readSuffix(suffixText)
  if (suffix === undefined) return refuse(`"${suffixText}" is not a suffix of a quantity`)
  if (suffix.exponent > MAX_EXPONENT) return refuse(`"${text}" is larger than any resource`)

  const whole = integer === '' ? '0' : integer
  let size = nanosOf(BigInt(whole + fraction), suffix, fraction.length)
  let { format } = suffix
  if (format === 'BinarySI') {
    if (size > MAX_BINARY_NANOS) size = MAX_BINARY_NANOS
    if (size > 0n && size < 10n ** 9n) format = 'DecimalSI'
  }
  const nanos = sign === '-' ? -size : size
  const canonical = keepsItsText(whole, fraction, suffix) ? text : formatQuantity(nanos, format)
  return { ok: true, quantity: { nanos, format, canonical } }
}

interface Suffix {
  readonly base: 2 | 10
  readonly exponent: number
  readonly format: QuantityFormat
}

function readSuffix(text: string): Suffix | undefined {
  const decimal = Object.hasOwn(DECIMAL, text) ? DECIMAL[text] : undefined
  if (decimal !== undefined) return { base: 10, exponent: decimal, format: 'DecimalSI' }
  const binary = Object.hasOwn(BINARY, text) ? BINARY[text] : undefined
  if (binary !== undefined) return { base: 2, exponent: binary, format: 'BinarySI' }
  if (/^[eE][+-]?\d+$/.test(text)) return { base: 10, exponent: Number(text.slice(1)), format: 'DecimalExponent' }
  return undefined
}

/** `digits` with `places` of them behind the point, times the suffix, in nanos, rounded up. */
function nanosOf(digits: bigint, suffix: Suffix, places: number): bigint {
  const scaled = suffix.base === 2 ? digits << BigInt(suffix.exponent) : digits
  const shift = NANO_DIGITS - places + (suffix.base === 10 ? suffix.exponent : 0)
  if (shift >= 0) return scaled * 10n ** BigInt(shift)
  // Below this the result is one nano whatever the digits are, and the power of ten need not be built.
  if (shift < -(MAX_TEXT + MAX_EXPONENT)) return scaled === 0n ? 0n : 1n
  return divideUp(scaled, 10n ** BigInt(-shift))
}

/**
 * Kubernetes writes some quantities back as they came, sign and spelling included, where its parser takes them for canonical
 * already: `+1Ki`, `1E-3`, `7.123456M`, though `+8Ki` becomes `8Ki`. Comparing texts with a cluster needs the same rule.
 */
function keepsItsText(whole: string, fraction: string, suffix: Suffix): boolean {
  if (suffix.base === 2) {
    if (fraction !== '' || 14 - whole.length - Math.trunc((suffix.exponent * 3) / 10) < 0) return false
    return (BigInt(whole) & 7n) !== 0n
  }
  const digits = whole + fraction
  const scale = suffix.exponent - fraction.length
  if (digits.length > 18 || scale < -NANO_DIGITS || scale % 3 !== 0) return false
  return !digits.endsWith('000') && !digits.startsWith('0')
}

/** The canonical text of a value in a family: no fraction, the largest suffix that keeps it exact. */
export function formatQuantity(nanos: bigint, format: QuantityFormat): string {
  if (nanos === 0n) return '0'
  const unit = 10n ** 9n
  if (format === 'BinarySI' && nanos % unit === 0n && (nanos >= 1024n * unit || nanos <= -1024n * unit)) {
    let value = nanos / unit
    let power = 0
    while (value % 1024n === 0n && power < BINARY_SUFFIX.length - 1) {
      value /= 1024n
      power++
    }
    return `${value}${BINARY_SUFFIX[power]}`
  }
  let value = nanos
  let exponent = -NANO_DIGITS
  // Above exa there is no suffix: the digits stay.
  const last = format === 'DecimalExponent' ? Number.POSITIVE_INFINITY : 18
  while (value % 1000n === 0n && exponent < last) {
    value /= 1000n
    exponent += 3
  }
  if (format !== 'DecimalExponent') return `${value}${DECIMAL_SUFFIX.get(exponent)}`
  return exponent === 0 ? `${value}` : `${value}e${exponent}`
}

/** The exact value as a decimal number without exponent: `0.5`, `-1024`. */
export function quantityValue(quantity: Quantity): string {
  const size = quantity.nanos < 0n ? -quantity.nanos : quantity.nanos
  const digits = size.toString().padStart(NANO_DIGITS + 1, '0')
  const fraction = digits.slice(-NANO_DIGITS).replace(/0+$/, '')
  const sign = quantity.nanos < 0n ? '-' : ''
  return `${sign}${digits.slice(0, -NANO_DIGITS)}${fraction === '' ? '' : `.${fraction}`}`
}

/** -1, 0 or 1, whatever the formats. */
export function compareQuantities(a: Quantity, b: Quantity): -1 | 0 | 1 {
  return a.nanos < b.nanos ? -1 : a.nanos > b.nanos ? 1 : 0
}

/** The sum in the format of the first, or of the second where the first is zero. */
export function addQuantities(a: Quantity, b: Quantity): Quantity {
  const nanos = a.nanos + b.nanos
  const format = a.nanos === 0n ? b.format : a.format
  return { nanos, format, canonical: formatQuantity(nanos, format) }
}

/** Whole units (bytes, pods), rounded up. Undefined at 2^53 and above in size: no double holds it exactly. */
export function wholeOf(quantity: Quantity): number | undefined {
  return safe(divideUp(quantity.nanos, 10n ** 9n))
}

/** Thousandths (millicores), rounded up. Undefined at 2^53 and above in size. */
export function milliOf(quantity: Quantity): number | undefined {
  return safe(divideUp(quantity.nanos, 10n ** 6n))
}

/** Division that rounds away from zero. */
function divideUp(a: bigint, b: bigint): bigint {
  const quotient = a / b
  if (a % b === 0n) return quotient
  return a < 0n ? quotient - 1n : quotient + 1n
}

function safe(value: bigint): number | undefined {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : undefined
}

function refuse(because: string): ParsedQuantity {
  return { ok: false, because }
}
