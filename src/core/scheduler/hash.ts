/** 32-bit hash of a text (murmur3 finaliser over FNV-1a): only for breaking ties, so that they fall the same way on every machine. */
export function hashText(text: string, seed = 0): number {
  let h = (0x811c9dc5 ^ seed) >>> 0
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  return mix(h)
}

/** Two hashes into one. */
export function mixHashes(a: number, b: number): number {
  return mix(Math.imul(a, 31) ^ b)
}

function mix(value: number): number {
  let h = value
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}
