/** Seeded numbers in [0, 1): the same seed gives the same run on every machine (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** A version-4 UUID made of seeded numbers. */
export function seededUuid(random: () => number): string {
  let hex = ''
  for (let i = 0; i < 8; i++)
    hex += Math.floor(random() * 65_536)
      .toString(16)
      .padStart(4, '0')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-${'89ab'[Math.floor(random() * 4)]}${hex.slice(17, 20)}-${hex.slice(20)}`
}
