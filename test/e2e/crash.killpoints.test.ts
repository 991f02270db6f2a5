/**
 * A site's process, the real agent on a real SQLite store, is killed with SIGKILL before and after every store write, every file
 * that is synced or renamed, and every call to cluster and hub of a turn over 60 objects. Another one goes on from its files.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bundle, type Tell } from './killpoints/bundle.ts'
import { MISTAKES } from './killpoints/mistakes.ts'
import { differs, type Story } from './killpoints/run.ts'
import type { KillAt } from './killpoints/steps.ts'

/** In memory where there is such a place: what is shown here is order; broken disks are in disk-faults.test.ts. */
const HOME = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'flotilla-kill-'))
const AT_ONCE = 2
const OBJECTS = 60
const MOST_MS = 20 * 60_000

let tell: Tell
let calm: Story
beforeAll(async () => {
  tell = await bundle(HOME)
  calm = await tell({ step: 0, when: 'before' })
}, MOST_MS)
afterAll(() => rmSync(HOME, { recursive: true, force: true }))

/** Before and after each. Where one kind of step follows another comes first: there orders are wrong or right. */
function everyPoint(steps: readonly string[]): readonly KillAt[] {
  const kind = (i: number): string | undefined => steps[i]?.split(' ').slice(0, 2).join(' ')
  const all = steps.map((_, i) => ({ step: i + 1, turns: kind(i) !== kind(i - 1) || kind(i) !== kind(i + 1) }))
  return [...all.filter(({ turns }) => turns), ...all.filter(({ turns }) => !turns)].flatMap(({ step }) => [
    { step, when: 'before' as const },
    { step, when: 'after' as const },
  ])
}

/** What is wrong where a process is killed there; `killed` says whether it was. */
async function kill(
  tell: Tell,
  at: KillAt,
  undisturbed: Story,
): Promise<{ readonly killed: boolean; readonly wrong: readonly string[] }> {
  const { end, left, signal, unheard } = await tell(at)
  return { killed: signal === 'SIGKILL', wrong: [...left, ...differs(undisturbed.end, end, unheard)] }
}

async function each<T>(list: readonly T[], work: (it: T) => Promise<void>): Promise<void> {
  let next = 0
  const worker = async (): Promise<void> => {
    for (let it = list[next++]; it !== undefined; it = list[next++]) await work(it)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
}

test('the turn has sixty objects and every kind of step', () => {
  const { inventory } = calm.end
  expect(inventory.length).toBe(OBJECTS)
  expect(inventory.filter((line) => !line.includes(' owned ') || !line.includes(' true '))).toEqual([])
  expect(calm.signal).toBeNull()
  const kinds = new Set(calm.steps.map((name) => name.split(' ').slice(0, 2).join(' ')))
  for (const kind of ['store commit', 'file sync', 'file rename', 'link sync', 'link blob'])
    expect(kinds).toContain(kind)
  for (const verb of ['list', 'get', 'apply', 'patch', 'delete']) expect(kinds).toContain(`cluster ${verb}`)
})

test(
  'killed before and after every one of its steps, it is at its last commit, and ends where an undisturbed one ends',
  async () => {
    const points = everyPoint(calm.steps)
    const wrong: string[] = []
    let killed = 0
    const began = performance.now()
    await each(points, async (at) => {
      const done = await kill(tell, at, calm)
      if (done.killed) killed += 1
      else wrong.push(`not killed ${at.when} step ${at.step}`)
      wrong.push(...done.wrong.map((what) => `${at.when} step ${at.step} (${calm.steps[at.step - 1]}): ${what}`))
    })
    const kinds = Object.entries(Object.groupBy(calm.steps, (name) => name.split(' ').slice(0, 2).join(' ')))
    console.log(`crash.killpoints: ${calm.steps.length} steps of a turn over ${OBJECTS} objects (${kinds.map(([kind, all]) => `${kind} ${all?.length}`).join(', ')}); ${killed} kills, each ended by SIGKILL, ${Math.round(performance.now() - began)} ms`) // prettier-ignore
    expect(wrong).toEqual([])
    expect(killed).toBe(points.length)
  },
  MOST_MS,
)

describe('an order that is wrong is found', () => {
  const table: string[] = []
  afterAll(() => console.log(`crash.killpoints, planted mistakes:\n${table.join('\n')}`))

  test.each(MISTAKES)(
    '$mistake',
    async (mistake) => {
      const mistaken = await bundle(HOME, mistake)
      const undisturbed = await mistaken({ step: 0, when: 'before' })
      // Without a kill nothing is to be seen of it.
      expect({ ...undisturbed.end, writes: calm.end.writes }).toEqual(calm.end)
      let found: { readonly at: string; readonly what: string } | undefined
      let kills = 0
      await each(everyPoint(undisturbed.steps), async (at) => {
        if (found !== undefined) return
        const { wrong } = await kill(mistaken, at, undisturbed)
        kills += 1
        const [what] = wrong
        if (what !== undefined) found ??= { at: `${at.when} ${undisturbed.steps[at.step - 1]}`, what }
      })
      table.push(`  ${mistake.mistake} | found by kill ${kills}, ${found?.at}: ${found?.what.slice(0, 120)}`)
      expect(found).toBeDefined()
    },
    MOST_MS,
  )
})
