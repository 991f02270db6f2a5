/** A copy of the sources in which mistakes are made, and what the seeds say to them. */
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

export interface Search {
  readonly from: number
  readonly count: number
  /** `none`: without any fault. */
  readonly faults?: 'any' | 'none'
  /** Faults and traits without which a seed is passed over. */
  readonly needs?: readonly string[]
  /** `heal`: the way back is left out. */
  readonly until?: 'heal' | 'converged'
}

export class Field {
  readonly #dir = mkdtempSync(join(tmpdir(), 'flotilla-planted-'))

  constructor() {
    for (const part of COPIED) cpSync(join(ROOT, part), join(this.#dir, part), { recursive: true })
    symlinkSync(join(ROOT, 'node_modules'), join(this.#dir, 'node_modules'))
  }

  /** With the mistakes made; as it was when `work` is through. */
  plant<T>(bugs: readonly Pick<PlantedBug, 'bug' | 'file' | 'from' | 'to'>[], work: () => T): T {
    const before = new Map<string, string>()
    try {
      for (const { bug, file, from, to } of bugs) {
        const path = join(this.#dir, file)
        const text = readFileSync(path, 'utf8')
        if (text.split(from).length !== 2) throw new Error(`${bug}: ${file} does not say so once any more`)
        if (!before.has(path)) before.set(path, text)
        writeFileSync(
          path,
          text.replace(from, () => to),
        )
      }
      return work()
    } finally {
      for (const [path, text] of before) writeFileSync(path, text)
    }
  }

  /** The first of so many seeds that finds something. */
  seeds({ from, count, faults = 'any', needs = [], until = 'converged' }: Search): Found {
    const env = { FIRST: '1', NEEDS: needs.join(), UNTIL: until }
    const lines = this.#stories(from, count, faults, env)
    const stories = lines.slice(0, -1)
    if (lines.at(-1) === 'failed: none') return { found: false, seeds: stories.length }
    const last = stories.at(-1) ?? ''
    const seed = Number(last.split(' ')[0])
    return { found: true, seed, seeds: stories.length, says: /\d+ ms \S* (.*)/.exec(last)?.[1] ?? last }
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

  #stories(from: number, count: number, faults: 'any' | 'none', env: Readonly<Record<string, string>>): string[] {
    const only = faults === 'none' ? ['none'] : []
    const output = this.#run(['test/simulation/seeds.ts', String(from), String(count), ...only], env)
    const lines = output.trim().split('\n')
    // A copy that does not even run shows nothing of the laws.
    if (lines.at(-1)?.startsWith('failed: ') !== true) throw new Error(output)
    return lines
  }

  #run(args: readonly string[], env: Readonly<Record<string, string>>): string {
    try {
      return execFileSync(process.execPath, args, { cwd: this.#dir, env: { ...process.env, NODE_COMPILE_CACHE: join(this.#dir, 'compiled'), ...env }, maxBuffer: 64 * 1024 * 1024 }).toString() // prettier-ignore
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
