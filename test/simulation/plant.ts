/** A copy of the sources in which one mistake at a time is made, and what the seeds say to it. */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { PlantedBug } from './planted-bugs.ts'

const ROOT = join(import.meta.dirname, '../..')
const COPIED = ['src', 'test/unit', 'test/simulation', 'package.json', 'schemas', 'vitest.config.ts', 'tsconfig.json', 'fleet-example'] // prettier-ignore

export type Found =
  | { readonly found: true; readonly seed: number; readonly seeds: number; readonly says: string }
  | { readonly found: false; readonly seeds: number }

export class Field {
  readonly #dir = mkdtempSync(join(tmpdir(), 'flotilla-planted-'))

  constructor() {
    for (const part of COPIED) cpSync(join(ROOT, part), join(this.#dir, part), { recursive: true })
    symlinkSync(join(ROOT, 'node_modules'), join(this.#dir, 'node_modules'))
  }

  /** With the mistake made; as it was when `work` is through. */
  plant<T>({ bug, file, from, to }: PlantedBug, work: () => T): T {
    const path = join(this.#dir, file)
    const text = readFileSync(path, 'utf8')
    if (text.split(from).length !== 2) throw new Error(`${bug}: ${file} does not say so once any more`)
    writeFileSync(
      path,
      text.replace(from, () => to),
    )
    try {
      return work()
    } finally {
      writeFileSync(path, text)
    }
  }

  /** The first of so many seeds that finds something; `none`: without any fault. */
  seeds(from: number, count: number, faults: 'any' | 'none' = 'any'): Found {
    const only = faults === 'none' ? ['none'] : []
    const output = this.#run(['test/simulation/seeds.ts', String(from), String(count), ...only], { FIRST: '1' })
    const lines = output.trim().split('\n')
    if (lines.at(-1) === 'failed: none') return { found: false, seeds: count }
    const [last = '', seeds] = [lines.at(-2), lines.length - 1]
    // A copy that does not even run shows nothing of the laws.
    if (lines.at(-1)?.startsWith('failed: ') !== true) throw new Error(output)
    const seed = Number(last.split(' ')[0])
    return { found: true, seed, seeds, says: /\d+ ms \S* (.*)/.exec(last)?.[1] ?? last }
  }

  /** Whether the unit suite sees it. */
  unitSuite(): 'passes' | 'fails' {
    try {
      execFileSync(join(ROOT, 'node_modules/.bin/vitest'), ['run', '--bail', '1', 'test/unit'], { cwd: this.#dir, stdio: 'ignore' }) // prettier-ignore
      return 'passes'
    } catch {
      return 'fails'
    }
  }

  #run(args: readonly string[], env: Readonly<Record<string, string>>): string {
    try {
      return execFileSync(process.execPath, args, { cwd: this.#dir, env: { ...process.env, ...env }, maxBuffer: 64 * 1024 * 1024 }).toString() // prettier-ignore
    } catch (error) {
      const { stdout, stderr } = error as { readonly stdout?: Buffer; readonly stderr?: Buffer }
      const said = stdout?.toString() ?? ''
      return said.trim() === '' ? (stderr?.toString() ?? '') : said
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.#dir, { recursive: true, force: true })
  }
}
