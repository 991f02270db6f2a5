/** The shape of one adapter: `test/conformance/<table>.ts` exports `adapter`, and the runner finds it by its name. */
import { isDeepStrictEqual } from 'node:util'

/** One row as the table has it. Every adapter narrows it by casting to its own row type: the table is data we trust. */
export type Row = Readonly<Record<string, unknown>>

export type Outcome =
  | { readonly is: 'passed' }
  | { readonly is: 'failed'; readonly because: string }
  /** The product has no room for this kind yet: counted apart, neither passed nor failed. */
  | { readonly is: 'no-room' }

export interface Adapter {
  /** The kind that a row is counted under. Default: its `kind`, else the table's name. */
  kind?(row: Row): string
  /** What names a row in reports and in known-failures.json. Default: its `id`. */
  id?(row: Row, index: number): string
  /** Runs one row on the very functions that the product uses. Anything thrown is a failure of the row. */
  check(row: Row, meta: Row): Outcome | Promise<Outcome>
}

export const PASSED: Outcome = { is: 'passed' }
export const NO_ROOM: Outcome = { is: 'no-room' }

export function failed(because: string): Outcome {
  return { is: 'failed', because }
}

/** Passed where both are the same data, else failed saying both. Absent and undefined members are the same. */
export function same(actual: unknown, expected: unknown, what = 'result'): Outcome {
  const a = plain(actual)
  const e = plain(expected)
  if (isDeepStrictEqual(a, e)) return PASSED
  return failed(`${what}: expected ${JSON.stringify(e)}, got ${JSON.stringify(a)}`)
}

/** The first outcome that is not passed. */
export function all(...outcomes: readonly Outcome[]): Outcome {
  return outcomes.find((outcome) => outcome.is !== 'passed') ?? PASSED
}

/** JSON as another parser would see it: no undefined members, no prototypes. */
function plain(value: unknown): unknown {
  return value === undefined ? undefined : (JSON.parse(JSON.stringify(value)) as unknown)
}
