/** `node test/simulation/mutants.ts [seeds]`: each planted bug, in a copy of the sources, and the seed that found it. */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

interface Mutant {
  readonly bug: string
  readonly file: string
  readonly from: string
  readonly to: string
}

const MUTANTS: readonly Mutant[] = [
  { bug: 'the floor is not raised', file: 'src/adapters/store/agent-store.ts', from: "{ group: 'meta', key: 'floor', value: encode(floor) },\n        ...dropped", to: '...dropped' }, // prettier-ignore
  { bug: 'every blob is swept', file: 'src/agent/sync.ts', from: 'store.sweep(keep)', to: 'store.sweep(new Set())' },
  { bug: 'what comes is not stored', file: 'src/agent/sync.ts', from: 'await stage(manifest, answer.blobs, link, store, signal)', to: 'void stage' }, // prettier-ignore
  { bug: 'a new manifest rings no bell and is not kept', file: 'src/agent/sync.ts', from: 'store.accept({ envelope, generation, body, acceptedAtMs: clock.nowMs(), ...kept })', to: 'void kept' }, // prettier-ignore
  { bug: 'reports count as heard before they are', file: 'src/agent/sync.ts', from: 'outbox.acknowledged(answer.head.ack, answer.head.ackOutbox)', to: 'outbox.acknowledged(sent.seq + 1000, 1000)' }, // prettier-ignore
  { bug: 'the hub forgets to write', file: 'src/adapters/store/hub-store.ts', from: 'await guarded(() => db.transaction().execute((tx) => writeChange(tx, change)))', to: 'void db' }, // prettier-ignore
]

const seeds = Number(process.argv[2] ?? 20)
const root = join(import.meta.dirname, '../..')
let missed = 0
for (const { bug, file, from, to } of MUTANTS) {
  const dir = mkdtempSync(join(tmpdir(), 'flotilla-mutant-'))
  try {
    for (const part of ['src', 'test/unit', 'test/simulation', 'package.json', 'schemas']) cpSync(join(root, part), join(dir, part), { recursive: true }) // prettier-ignore
    symlinkSync(join(root, 'node_modules'), join(dir, 'node_modules'))
    const text = readFileSync(join(dir, file), 'utf8')
    if (!text.includes(from)) throw new Error(`${bug}: ${file} does not say so any more`)
    writeFileSync(join(dir, file), text.replace(from, to))
    console.log(`${bug.padEnd(50)} ${foundBy(dir)}`)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}
process.exitCode = missed > 0 ? 1 : 0

function foundBy(dir: string): string {
  try {
    execFileSync(process.execPath, ['test/simulation/seeds.ts', '1', String(seeds)], { cwd: dir, env: { ...process.env, FIRST: '1' } }) // prettier-ignore
    missed += 1
    return `not found in ${seeds} seeds`
  } catch (error) {
    const { stdout } = error as { readonly stdout?: Buffer }
    const lines = (stdout?.toString() ?? '').trim().split('\n')
    // A copy that does not even run shows nothing of the laws.
    if (lines.at(-1)?.startsWith('failed: ') !== true) throw error
    return `${lines.length - 1} seeds: ${(lines.at(-2) ?? '').slice(0, 120)}`
  }
}
