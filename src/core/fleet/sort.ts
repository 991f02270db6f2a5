import { byUtf16 } from '../model/json.ts'
import type { Problem } from '../model/problem.ts'

const SEVERITY = { error: 0, warning: 1, notice: 2 } as const

/** Errors first, then by file, line and column: the same list for the same revision. */
export function sortProblems(problems: readonly Problem[]): readonly Problem[] {
  return problems.toSorted(
    (a, b) =>
      SEVERITY[a.severity] - SEVERITY[b.severity] ||
      byUtf16(a.place.file, b.place.file) ||
      a.place.line - b.place.line ||
      a.place.column - b.place.column ||
      byUtf16(a.code, b.code) ||
      byUtf16(a.message, b.message),
  )
}
