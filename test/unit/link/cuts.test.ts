/** A change of 200 objects over a link that is cut: real hub, real agent, a TCP relay that resets after so many bytes. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openAgentStore } from '../../../src/adapters/store/agent-store.ts'
import { Fault } from '../../../src/core/model/fault.ts'
import { shops } from '../hub/files.ts'
import { never } from '../hub/rig.ts'
import { OneSite, soon, type Box } from './one-site.ts'
import { cuttingRelay } from './relay.ts'

const OBJECTS = 200
const KIB = 1_024
/** Exchanges after which a link that lets so much through must have brought everything. */
const MOST_EXCHANGES = 60

/** Noise that does not compress to nothing, and is the same on every run. */
function noise(seed: number, length: number): string {
  let state = seed * 2_654_435_761
  let text = ''
  while (text.length < length) {
    state = (Math.imul(state ^ (state >>> 15), 2_246_822_519) + 0x9e3779b9) | 0
    text += (state >>> 0).toString(36)
  }
  return text.slice(0, length)
}

function objects(tag: string): Record<string, string> {
  const one = (i: number): string =>
    `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: part-${i} }\ndata: { tag: "${tag}", text: "${noise(i + (tag === '2' ? 1_000 : 0), 400)}" }\n`
  return Object.fromEntries(Array.from({ length: OBJECTS }, (_, i) => [`apps/web/base/part-${i}.yaml`, one(i)]))
}

/** A site at version 1, its link closed; the hub wants version 2 of all 200 objects. */
async function waiting(): Promise<{ world: OneSite; dir: string }> {
  const world = await OneSite.open()
  world.rig.git.commit({ ...shops({ sites: ['s1'] }), ...objects('1') })
  await world.rig.settle()
  const box = await world.join()
  for (let i = 0; i < 3; i++) {
    await box.agent.exchange(soon())
    await world.rig.decide()
  }
  await box.agent.exchange(soon())
  const before = box.store.floor()!.generation.counter
  world.rig.git.commit({ ...shops({ sites: ['s1'], tag: '2' }), ...objects('2') })
  await world.rig.hub.turns.source(never)
  await world.rig.decide()
  await box.close()
  expect(before).toBeGreaterThan(0)
  return { world, dir: box.dir }
}

interface Passed {
  readonly exchanges: number
  readonly connections: number
}

/** Over a copy of the site's disk and a relay of its own, until it has what the hub wants. */
async function converge(world: OneSite, from: string, cutAfter: (connection: number) => number): Promise<Passed> {
  const dir = mkdtempSync(join(tmpdir(), 'flotilla-cut-'))
  cpSync(from, dir, { recursive: true })
  await using relay = await cuttingRelay(world.server.port, cutAfter)
  const store = openAgentStore(dir)
  const before = store.floor()!.generation.counter
  store.saveIdentity({ ...store.identity()!, hubUrl: relay.url })
  store.close()
  const box: Box = world.start(dir)
  try {
    for (let exchanges = 1; exchanges <= MOST_EXCHANGES; exchanges++) {
      const cut = await box.agent.exchange(soon()).then(
        () => undefined,
        (error: unknown) => error,
      )
      if (cut !== undefined) expect(cut instanceof Fault ? cut.reason : cut).toMatch(/^(Unreachable|Timeout)$/)
      const floor = box.store.floor()!.generation.counter
      // Whole or not at all: what is in force has every byte of it here.
      if (floor > before) {
        expect(missing(box)).toBe(0)
        return { exchanges, connections: relay.connections }
      }
    }
    throw new Error('the change never arrived')
  } finally {
    await box.close()
    rmSync(dir, { recursive: true, force: true })
  }
}

function missing(box: Box): number {
  const { entries } = JSON.parse(Buffer.from(box.store.manifests()[0]!.envelope.payload).toString()) as {
    entries: { release: `sha256:${string}` }[]
  }
  let count = 0
  for (const { release } of entries) {
    const bytes = box.store.blob('release', release)
    if (bytes === undefined) return OBJECTS
    const { objects: named } = JSON.parse(Buffer.from(bytes).toString()) as { objects: { blob: `sha256:${string}` }[] }
    expect(named.length).toBe(OBJECTS + 1)
    count += named.filter(({ blob }) => box.store.blob('object', blob) === undefined).length
  }
  return count
}

test('cut once, at every KiB of the transfer: whole at the next exchange', async () => {
  const { world, dir } = await waiting()
  await using _ = world
  let cuts = 0
  for (let atKib = 1; ; atKib++) {
    const passed = await converge(world, dir, (connection) => (connection === 0 ? atKib * KIB : Infinity))
    if (passed.connections === 1) break
    expect(passed.exchanges).toBeLessThanOrEqual(3)
    cuts++
  }
  console.log(`cut at each of ${cuts} KiB`)
  expect(cuts).toBeGreaterThan(30)
}, 180_000)

test.each([8, 16, 32, 64])(
  'every connection is cut after %d KiB: it arrives all the same',
  async (kib) => {
    const { world, dir } = await waiting()
    await using _ = world
    const passed = await converge(world, dir, () => kib * KIB)
    console.log(`${kib} KiB a connection: ${passed.connections} connections, ${passed.exchanges} exchanges`)
  },
  120_000,
)
