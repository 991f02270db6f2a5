/** Where in a file; line and column from 1. */
export interface Place {
  readonly file: string
  readonly line: number
  readonly column: number
}

/** An error in what a user wrote. Core returns these, and never throws for input that a user can write. */
export interface Problem {
  /** Stable, `FLT1003`; never reused. The table is in core/fleet/codes.ts. */
  readonly code: string
  readonly severity: 'error' | 'warning' | 'notice'
  readonly place: Place
  /** The other place, where two disagree. */
  readonly also?: readonly Place[]
  /** Path in the document, `spec.targets[0].selector`. */
  readonly path: string
  readonly message: string
  readonly found?: string
  readonly expected?: string
  /** What to do next, as a sentence. */
  readonly next?: string
}

/** `file:line:column code message (path)`, then found, expected and the next step on lines of their own. */
export function formatProblem(problem: Problem): string {
  const { place } = problem
  const lines = [`${place.file}:${place.line}:${place.column} ${problem.severity} ${problem.code} ${problem.message}`]
  if (problem.path !== '') lines.push(`  at        ${problem.path}`)
  for (const also of problem.also ?? []) lines.push(`  and at    ${also.file}:${also.line}:${also.column}`)
  if (problem.found !== undefined) lines.push(`  found     ${problem.found}`)
  if (problem.expected !== undefined) lines.push(`  expected  ${problem.expected}`)
  if (problem.next !== undefined) lines.push(`  next      ${problem.next}`)
  return lines.map(escaped).join('\n')
}

/** Characters that a terminal obeys, or that turn text round, as what they are: names and values are whatever somebody wrote. */
// oxlint-disable-next-line no-control-regex
const OBEYED = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g
export function escaped(text: string): string {
  return text.replaceAll(OBEYED, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
