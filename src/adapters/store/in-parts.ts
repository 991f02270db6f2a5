/** Rows of one statement: SQLite binds at most 32,766 values, PostgreSQL 65,535; 500 rows are a few ms. */
const ROWS_AT_ONCE = 500

/**
 * Rows in parts. SQLite works in the thread that answers sites: between two parts others have their turn, so that a change of
 * a hundred thousand rows holds up no exchange that needs no row.
 */
export async function* inParts<T>(rows: readonly T[]): AsyncGenerator<readonly T[]> {
  for (let i = 0; i < rows.length; i += ROWS_AT_ONCE) {
    if (i > 0) await breathe()
    yield rows.slice(i, i + ROWS_AT_ONCE)
  }
}

export function breathe(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
