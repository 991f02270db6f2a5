/** A column of state: one number per row. Only these two shapes, so that the log's loops stay monomorphic enough to be fast. */
export type Column = Float64Array | Int32Array

/**
 * Every change inside a savepoint is written here with the value it replaces, never as an inverse operation: rolling back restores
 * exactly what was. Savepoints nest (cycle, job, node attempt) and are rolled back last in, first out. Columns must not be replaced
 * (grown) while a savepoint is open.
 */
export class UndoLog {
  #columns: Column[] = []
  #rows: number[] = []
  #old: number[] = []
  #open = 0
  /** Told of each row of `watched` that is rolled back. */
  #watched: Column | undefined
  #restored: ((row: number) => void) | undefined

  watch(column: Column, restored: (row: number) => void): void {
    this.#watched = column
    this.#restored = restored
  }

  set(column: Column, row: number, value: number): void {
    if (this.#open > 0) {
      this.#columns.push(column)
      this.#rows.push(row)
      this.#old.push(column[row] as number)
    }
    column[row] = value
  }

  add(column: Column, row: number, delta: number): void {
    const before = column[row] as number
    if (this.#open > 0) {
      this.#columns.push(column)
      this.#rows.push(row)
      this.#old.push(before)
    }
    column[row] = before + delta
  }

  /** Opens a savepoint. The mark goes to exactly one of `keep` and `rollback`. */
  begin(): number {
    this.#open++
    return this.#rows.length
  }

  keep(_mark: number): void {
    this.#open--
    if (this.#open > 0) return
    this.#columns.length = 0
    this.#rows.length = 0
    this.#old.length = 0
  }

  rollback(mark: number): void {
    for (let i = this.#rows.length - 1; i >= mark; i--) {
      const column = this.#columns[i] as Column
      const row = this.#rows[i] as number
      column[row] = this.#old[i] as number
      if (column === this.#watched) this.#restored?.(row)
    }
    this.#columns.length = mark
    this.#rows.length = mark
    this.#old.length = mark
    this.#open--
  }
}

/** A column of so many numbers still lies in the garbage-collected heap, which is much cheaper to make and drop. */
const FEW = 8

/** The same numbers in a column of at least `rows`, at least doubled so that growing is rare. New rows hold `fill`. */
export function grown<C extends Column>(column: C, rows: number, fill = 0): C {
  if (column.length >= rows) return column
  const size = Math.max(rows, column.length * 2, FEW)
  const larger = (column instanceof Float64Array ? new Float64Array(size) : new Int32Array(size)) as C
  larger.set(column)
  if (fill !== 0) larger.fill(fill, column.length)
  return larger
}
