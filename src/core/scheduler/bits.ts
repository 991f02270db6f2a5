/** Sets of small integers as bits; words of 32. */
export type Bits = Uint32Array

export function bitsFor(size: number): Bits {
  return new Uint32Array((size + 31) >>> 5)
}

export function hasBit(bits: Bits, index: number): boolean {
  return (((bits[index >>> 5] as number) >>> (index & 31)) & 1) === 1
}

export function setBit(bits: Bits, index: number, on: boolean): void {
  const word = index >>> 5
  if (on) bits[word] = (bits[word] as number) | (1 << (index & 31))
  else bits[word] = (bits[word] as number) & ~(1 << (index & 31))
}

export function grownBits(bits: Bits, size: number): Bits {
  const words = (size + 31) >>> 5
  if (bits.length >= words) return bits
  const larger = new Uint32Array(Math.max(words, bits.length * 2))
  larger.set(bits)
  return larger
}
