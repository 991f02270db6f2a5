/**
 * Every byte of every file of a site's store is flipped, and every file is cut, small ones at every length: as an agent that ended leaves them,
 * and as one that was killed does, with commits in the write-ahead log. Small pages, so that it is every byte and not a sample.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, expect, test } from 'vitest'
import { openAgentStore } from '../../../src/adapters/store/agent-store.ts'
import { factsOf, fill, manifestAt, wrongIn, type Facts } from './facts.ts'

const HOME = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'flotilla-flips-'))
const PAGE_BYTES = 512
/** Larger ones are cut at every fourth byte: their checksums are over pages, frames and rows. */
const SMALL_BYTES = 1_024
const CUT_BYTES = 4
const MOST_MS = 20 * 60_000
afterAll(() => rmSync(HOME, { recursive: true, force: true }))

const FILES = ['agent.db', 'agent.db-wal', 'identity', 'floor', 'head']

interface Original {
  readonly files: ReadonlyMap<string, Buffer>
  readonly facts: Facts
  readonly once: readonly Facts[]
}

function original(how: 'ended' | 'killed'): Original {
  const dir = join(HOME, how)
  mkdirSync(dir)
  const small = new DatabaseSync(join(dir, 'agent.db'))
  small.exec(`PRAGMA page_size = ${PAGE_BYTES}; PRAGMA user_version = 0`)
  small.exec('CREATE TABLE t (a); DROP TABLE t')
  small.close()
  const first = openAgentStore(dir)
  const once = [...fill(first)]
  if (how === 'killed') first.close()
  const store = how === 'killed' ? openAgentStore(dir) : first
  if (how === 'killed') {
    once.push(factsOf(store))
    store.accept(manifestAt(4))
    once.push(factsOf(store))
    store.write({ inventory: new Map([['/ConfigMap/shop/a', null]]) })
  }
  const facts = factsOf(store)
  const read = (): Map<string, Buffer> =>
    new Map(FILES.filter((name) => existsSync(join(dir, name))).map((name) => [name, readFileSync(join(dir, name))]))
  const files = how === 'killed' ? read() : new Map<string, Buffer>()
  store.close()
  return { files: how === 'killed' ? files : read(), facts, once }
}

/** What is wrong with a store of which one file is these bytes. */
function judge(dir: string, { files, facts, once }: Original, name: string, bytes: Buffer): readonly string[] {
  rmSync(dir, { recursive: true, force: true })
  mkdirSync(dir)
  for (const [file, whole] of files) writeFileSync(join(dir, file), file === name ? bytes : whole)
  // Only keys that are damaged keep a site from going on: they come from the cluster. All else is rebuilt.
  return wrongIn(dir, facts, once, name === 'identity' ? 'may' : 'must')
}

const CASES = [
  { how: 'ended', names: ['agent.db', 'identity', 'floor', 'head'] },
  { how: 'killed', names: ['agent.db', 'agent.db-wal'] },
] as const

test.each(CASES)(
  'of an agent that was $how: no flip and no cut of $names changes a fact unsaid, or keeps it from being opened',
  ({ how, names }) => {
    const began = original(how)
    const dir = join(HOME, 'damaged')
    const wrong: string[] = []
    let judged = 0
    for (const name of names) {
      const whole = began.files.get(name)
      if (whole === undefined) throw new Error(`there is no ${name}`)
      for (let at = 0; at < whole.length; at++) {
        const flipped = Buffer.from(whole)
        flipped[at] = (flipped[at] ?? 0) ^ (1 << (at % 8))
        for (const what of judge(dir, began, name, flipped)) wrong.push(`${name}, byte ${at} flipped: ${what}`)
        judged += 1
        if (whole.length > SMALL_BYTES && at % CUT_BYTES !== 0) continue
        for (const what of judge(dir, began, name, whole.subarray(0, at))) wrong.push(`${name}, cut at ${at}: ${what}`)
        judged += 1
      }
    }
    const sizes = names.map((name) => `${name} ${began.files.get(name)?.length}`).join(', ')
    console.log(`store flips, ${how}: ${judged} damaged stores (${sizes} bytes), ${wrong.length} wrong`)
    expect(wrong).toEqual([])
  },
  MOST_MS,
)
