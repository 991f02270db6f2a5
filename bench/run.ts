/**
 * `npm run bench -- NAME [--json] [args]`: prints a bench's rows. It never fails on slowness: figures are compared by people and
 * by tools that read the JSON, on machines that they know.
 */
import fs from 'node:fs'
import path from 'node:path'
import type { Row } from './row.ts'

const here = import.meta.dirname
const names = fs
  .readdirSync(here)
  .filter((file) => file.endsWith('.ts') && !['run.ts', 'row.ts'].includes(file))
  .map((file) => path.basename(file, '.ts'))
const [name, ...rest] = process.argv.slice(2)
const json = rest.includes('--json')
if (name === undefined || !names.includes(name)) {
  console.error(`usage: npm run bench -- NAME [--json] [args]\n  NAME: ${names.join(', ')}`)
  process.exit(2)
}

const bench = (await import(path.join(here, `${name}.ts`))) as {
  run?: (args: readonly string[]) => Promise<readonly Row[]>
}
if (bench.run === undefined) {
  console.error(`bench/${name}.ts has no run(): it is part of another bench`)
  process.exit(2)
}
const rows = await bench.run(rest.filter((arg) => arg !== '--json'))
if (json) {
  for (const row of rows) console.log(JSON.stringify({ bench: name, ...row }))
} else {
  const text = rows.map((row) => [
    row.case,
    figure(row.value),
    row.unit,
    goalOf(row),
    figure(row.peer),
    row.ratio === undefined ? '' : `${row.ratio.toFixed(2)} x`,
    row.note ?? '',
  ])
  const head = ['case', 'value', 'unit', 'goal', 'peer', 'ratio', 'note']
  const widths = head.map((title, i) => Math.max(title.length, ...text.map((cells) => cells[i]?.length ?? 0)))
  for (const cells of [head, ...text])
    console.log(
      cells
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
}
process.exit(0)

function goalOf(row: Row): string {
  return row.goal === undefined ? '' : `${row.better === 'min' ? '>=' : '<='} ${figure(row.goal)}`
}

function figure(value: number | undefined): string {
  if (value === undefined) return ''
  return Math.abs(value) >= 100 ? Math.round(value).toLocaleString('en-US') : String(Number(value.toPrecision(3)))
}
