/** Index ranges as Slurm's `--array` writes them: `0-7`, `1,3,5-9`, `0-15:4`, `0-7%4`. */
import { type ArraySpec, BATCH_LIMITS } from './types.ts'

export type ParsedArray =
  | { readonly ok: true; readonly array: ArraySpec }
  | { readonly ok: false; readonly because: string }

const PART = /^(\d{1,9})(?:-(\d{1,9})(?::(\d{1,9}))?)?$/

/** `maxParallel` as a field of its own; the lower of the two holds. */
export function parseArray(text: string, maxParallel?: number): ParsedArray {
  const refuse = (because: string): ParsedArray => ({ ok: false, because: `array "${text}" ${because}` })
  const [list = '', limitText, ...rest] = text.trim().split('%')
  if (rest.length > 0) return refuse('has more than one %')
  if (limitText !== undefined && !/^[1-9]\d{0,8}$/.test(limitText))
    return refuse('must have a count of 1 or more after %')
  const indexes = new Set<number>()
  for (const part of list.split(',')) {
    const match = PART.exec(part.trim())
    if (match === null)
      return refuse(part.trim() === '' ? 'has an empty part' : `has "${part.trim()}", which is no index and no range`)
    const from = Number(match[1])
    const to = match[2] === undefined ? from : Number(match[2])
    const step = match[3] === undefined ? 1 : Number(match[3])
    if (step === 0) return refuse('has a step of 0')
    if (to < from) return refuse(`has "${part.trim()}", which ends before it begins`)
    if (to > BATCH_LIMITS.arrayIndex) return refuse(`goes beyond the index ${BATCH_LIMITS.arrayIndex}`)
    if ((to - from) / step >= BATCH_LIMITS.pods) return refuse(`has more than ${BATCH_LIMITS.pods} elements`)
    for (let index = from; index <= to; index += step) indexes.add(index)
  }
  if (indexes.size > BATCH_LIMITS.pods) return refuse(`has more than ${BATCH_LIMITS.pods} elements`)
  const limits = [limitText === undefined ? Infinity : Number(limitText), maxParallel ?? Infinity]
  const limit = Math.min(...limits)
  return {
    ok: true,
    array: { indexes: [...indexes].toSorted((a, b) => a - b), maxParallel: limit === Infinity ? null : limit },
  }
}

/** The shortest text: `0-3,7,9-10`. */
export function formatRanges(indexes: Iterable<number>): string {
  const sorted = [...new Set(indexes)].toSorted((a, b) => a - b)
  const parts: string[] = []
  for (let i = 0; i < sorted.length; i++) {
    const from = sorted[i] as number
    let to = from
    while (sorted[i + 1] === to + 1) to = sorted[++i] as number
    parts.push(from === to ? `${from}` : `${from}-${to}`)
  }
  return parts.join(',')
}

/** What `formatRanges` wrote. */
export function readRanges(text: string): Set<number> {
  const indexes = new Set<number>()
  for (const part of text.split(',')) {
    if (part === '') continue
    const dash = part.indexOf('-')
    const from = Number(dash < 0 ? part : part.slice(0, dash))
    const to = dash < 0 ? from : Number(part.slice(dash + 1))
    for (let index = from; index <= to; index++) indexes.add(index)
  }
  return indexes
}

/** Of what squeue calls a line: `3`, or `3-7,9%2`, which are those that wait and how many may run at once. */
export function readArrayTask(text: string): Set<number> {
  return readRanges(text.split('%', 1)[0] ?? '')
}
