/** Numbers that look random and are the same for the same seed everywhere. */
export interface Random {
  readonly chance: (p: number) => boolean
  /** From and to included. */
  readonly int: (from: number, to: number) => number
  readonly pick: <T>(list: readonly T[]) => T
}

export function randomOf(seed: number): Random {
  const random = generator(seed)
  const int = (from: number, to: number): number => from + Math.floor(random() * (to - from + 1))
  return {
    chance: (p) => random() < p,
    int,
    pick: <T>(list: readonly T[]): T => list[int(0, list.length - 1)] as T,
  }
}

/** mulberry32: small. */
function generator(seed: number): () => number {
  let state = (seed * 2_654_435_761) >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}
