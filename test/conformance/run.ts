/**
 * Runs other projects' test tables against the product: `npm run test:conformance [table...]`.
 *
 * Tables are read from CONFORMANCE_DIR (default `../shared/conformance` beside the repository). A table `x.json` is run by
 * `test/conformance/x.ts`, which exports `adapter` (the shape is in adapter.ts, and an adapter stays under 60 lines); a table
 * without one is printed as having no room yet. `known-failures.json` maps table → id → reason: a listed case may fail, and one
 * that is listed and passes fails the run, so that the list only ever shrinks. Without the folder the run says so and passes
 * on a desk, and fails where CI=true. The last line is `N passed, N failed`; failures that are listed are printed apart.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Adapter, Outcome, Row } from './adapter.ts'

interface Tally {
  readonly passed: string[]
  /** id and why. */
  readonly failed: [string, string][]
  /** id and the reason that the list gives. */
  readonly listed: [string, string][]
  readonly stale: string[]
  noRoom: number
}
type Known = Readonly<Record<string, Readonly<Record<string, string>> | undefined>>

const HERE = import.meta.dirname
const FOLDER = process.env['CONFORMANCE_DIR'] ?? join(HERE, '../../../shared/conformance')
const SHOWN_FAILURES = 100

async function main(only: readonly string[]): Promise<number> {
  if (!existsSync(FOLDER)) {
    console.log(`no conformance tables at ${FOLDER}: ${adapterNames().length} tables not run`)
    console.log(`0 passed, ${process.env['CI'] === 'true' ? adapterNames().length : 0} failed`)
    return process.env['CI'] === 'true' ? 1 : 0
  }
  const known = JSON.parse(readFileSync(join(HERE, 'known-failures.json'), 'utf8')) as Known
  const adapters = new Set(adapterNames())
  const tables = readdirSync(FOLDER).filter((file) => file.endsWith('.json'))
  const totals = { passed: 0, failed: 0, listed: 0, stale: 0, noRoom: 0 }
  for (const file of tables.toSorted()) {
    const table = file.slice(0, -'.json'.length)
    if (only.length > 0 && !only.includes(table)) continue
    const { rows, meta } = readTable(join(FOLDER, file))
    if (!adapters.has(table)) {
      console.log(`${file}: no room yet, ${rows.length} cases not run`)
      totals.noRoom += rows.length
      continue
    }
    const { adapter } = (await import(`./${table}.ts`)) as { adapter: Adapter }
    const tallies = await runTable(adapter, rows, meta, known[file] ?? {}, table)
    for (const [kind, tally] of tallies) {
      print(file, kind, tally)
      totals.passed += tally.passed.length
      totals.failed += tally.failed.length
      totals.listed += tally.listed.length
      totals.stale += tally.stale.length
      totals.noRoom += tally.noRoom
    }
  }
  for (const table of adapters)
    if (!tables.includes(`${table}.json`)) console.log(`${table}.json: not in ${FOLDER}, not run`)
  console.log(
    `${totals.listed} failures are listed, ${totals.stale} listed ones pass, ${totals.noRoom} cases have no room yet`,
  )
  console.log(`${totals.passed} passed, ${totals.failed} failed`)
  return totals.failed + totals.stale > 0 || totals.passed === 0 ? 1 : 0
}

function adapterNames(): readonly string[] {
  const others = new Set(['run.ts', 'adapter.ts'])
  return readdirSync(HERE).flatMap((file) => (file.endsWith('.ts') && !others.has(file) ? [file.slice(0, -3)] : []))
}

/** `{meta, cases}`, or a bare list of cases. */
function readTable(path: string): { readonly rows: readonly Row[]; readonly meta: Row } {
  const data = JSON.parse(readFileSync(path, 'utf8')) as readonly Row[] | { cases: readonly Row[]; meta: Row }
  return 'cases' in data ? { rows: data.cases, meta: data.meta } : { rows: data, meta: {} }
}

async function runTable(
  adapter: Adapter,
  rows: readonly Row[],
  meta: Row,
  known: Readonly<Record<string, string>>,
  table: string,
): Promise<ReadonlyMap<string, Tally>> {
  const tallies = new Map<string, Tally>()
  for (const [index, row] of rows.entries()) {
    const kind = adapter.kind?.(row) ?? (typeof row['kind'] === 'string' ? row['kind'] : table)
    const id = adapter.id?.(row, index) ?? String(row['id'])
    const tally = tallies.get(kind) ?? { passed: [], failed: [], listed: [], stale: [], noRoom: 0 }
    tallies.set(kind, tally)
    const outcome = await checkRow(adapter, row, meta)
    const reason = known[id]
    if (outcome.is === 'no-room') tally.noRoom++
    else if (outcome.is === 'passed') {
      tally.passed.push(id)
      if (reason !== undefined) tally.stale.push(id)
    } else if (reason !== undefined) tally.listed.push([id, reason])
    else tally.failed.push([id, outcome.because])
  }
  return tallies
}

async function checkRow(adapter: Adapter, row: Row, meta: Row): Promise<Outcome> {
  try {
    return await adapter.check(row, meta)
  } catch (error) {
    return { is: 'failed', because: error instanceof Error ? (error.stack ?? error.message) : String(error) }
  }
}

function print(file: string, kind: string, tally: Tally): void {
  const more = tally.noRoom > 0 ? `, no room yet for ${tally.noRoom}` : ''
  const listed = tally.listed.length > 0 ? `, ${tally.listed.length} listed failures` : ''
  console.log(`${file} ${kind}: ${tally.passed.length} passed, ${tally.failed.length} failed${listed}${more}`)
  for (const [id, because] of tally.failed.slice(0, SHOWN_FAILURES)) console.log(`  FAILED ${id}: ${because}`)
  if (tally.failed.length > SHOWN_FAILURES) console.log(`  and ${tally.failed.length - SHOWN_FAILURES} more`)
  for (const [id, reason] of tally.listed) console.log(`  listed ${id}: ${reason}`)
  for (const id of tally.stale) console.log(`  STALE ${id}: passes, and still stands in known-failures.json`)
}

process.exitCode = await main(process.argv.slice(2))
