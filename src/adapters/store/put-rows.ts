/**
 * Many rows of one table. Kysely builds a node for each value of each row: at a hundred thousand rows that costs more than to write
 * them. So it makes the text of a statement once for so many rows, and from then on values are bound to that.
 */
import { type Compilable, CompiledQuery, type Transaction } from 'kysely'
import { breathe } from './in-parts.ts'
import type { HubTables } from './hub-schema.ts'

/** SQLite binds at most 32,766 values, PostgreSQL 65,535; the largest is a few ms. */
const SIZES = [512, 64, 8, 1] as const

/** By table and number of rows: there is one way to write rows of a table. */
const TEXTS = new Map<string, string>()

/**
 * `columns`: those of every row, in the order in which `statement` writes them; `statement` is the same for each call with this table.
 * Between two of the largest statements others have their turn: a change of a hundred thousand rows holds up no exchange that needs
 * no row.
 */
export async function putRows<Row extends Readonly<Record<string, unknown>>>(
  tx: Transaction<HubTables>,
  table: keyof HubTables,
  columns: readonly (keyof Row & string)[],
  rows: readonly Row[],
  statement: (rows: readonly Row[]) => Compilable,
): Promise<void> {
  let at = 0
  for (const size of SIZES)
    for (; rows.length - at >= size; at += size) {
      if (at > 0 && size === SIZES[0]) await breathe()
      const part = rows.slice(at, at + size)
      const name = `${table} ${size}`
      const text = TEXTS.get(name) ?? statement(part).compile().sql
      TEXTS.set(name, text)
      const values: unknown[] = []
      for (const row of part) for (const column of columns) values.push(row[column])
      await tx.executeQuery(CompiledQuery.raw(text, values))
    }
}
