/** The word that was probably meant: at most two edits away, the closest first; undefined where none is. */
export function nearest(word: string, words: Iterable<string>): string | undefined {
  let best: string | undefined
  let least = 3
  for (const candidate of words) {
    const edits = distance(word.toLowerCase(), candidate.toLowerCase())
    if (edits < least && edits < Math.max(candidate.length, 2) / 2) {
      least = edits
      best = candidate
    }
  }
  return best
}

/** Edits (insert, delete, replace) between two words; 3 for all that are further apart or longer than any name of ours. */
function distance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 2 || a.length > 80) return 3
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return Math.min(row[b.length] ?? 3, 3)
}
