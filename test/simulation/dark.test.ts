/** A site that is alone for three days: no hub, two power cuts, a clock that jumps by ten years. Nothing that runs there is made anew. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openAgentStore } from '../../src/adapters/store/agent-store.ts'
import { createAgent } from '../../src/agent/agent.ts'
import { VirtualClock } from '../../src/sim/clock.ts'
import { SimCluster, type SimRequest } from '../../src/sim/cluster.ts'
import { configMap, deployment, HubStub, IDENTITY, job, SIGNAL } from '../unit/agent/site.ts'
import { NOW_MS } from '../unit/protocol/fixed.ts'
import { silent } from './hub-machine.ts'

const HOUR = 3_600_000
const DECADE = 10 * 365 * 24 * HOUR
const WRITES = new Set<SimRequest['verb']>(['create', 'apply', 'patch', 'delete'])

test('72 hours dark with two power cuts change no pod, and write nothing', async () => {
  const dir = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'flotilla-dark-'))
  const written: string[] = []
  const clock = new VirtualClock(NOW_MS)
  const cluster = new SimCluster({
    clock,
    seed: 1,
    onRequest: ({ verb, kind, ref, dryRun }) => {
      if (WRITES.has(verb) && !dryRun) written.push(`${verb} ${kind} ${ref?.name}`)
    },
  })
  // Its own time: it is the site's clock that jumps.
  const hub = new HubStub(() => NOW_MS + clock.monotonicMs())
  let boots = 0
  /** As a machine that got its power: another boot, the same disk. */
  const boot = (): (() => Promise<void>) => {
    const store = openAgentStore(dir)
    if (store.identity() === null) store.saveIdentity(IDENTITY)
    const bootMs = clock.monotonicMs()
    const machine = { bootId: `boot ${++boots}`, uptimeMs: () => clock.monotonicMs() - bootMs }
    const agent = createAgent({ cluster, link: hub, store, clock, log: silent, machine, random: () => 0.5 }, { version: '0.1.0' }) // prettier-ignore
    const stop = new AbortController()
    const done = agent.run(stop.signal)
    return async () => {
      stop.abort()
      await done
      store.close()
    }
  }
  const pods = async (): Promise<readonly string[]> => {
    const { items } = await cluster.list({ apiVersion: 'v1', kind: 'Pod' }, SIGNAL)
    return items.map(({ metadata }) => `${metadata.name} ${metadata.uid}`).toSorted()
  }
  let cut = boot()
  const power = async (outMs: number): Promise<void> => {
    await cut()
    cluster.power('down')
    await clock.advance(outMs)
    cluster.power('up')
    cut = boot()
  }
  hub.publish({
    till: { objects: [configMap('settings'), deployment('till'), deployment('kitchen'), job('load')] },
    menu: { objects: [configMap('menu'), deployment('menu')], dependsOn: [{ name: 'till' }] },
  })
  await clock.advance(HOUR)
  const before = await pods()
  expect(before.length).toBeGreaterThanOrEqual(6)
  written.length = 0
  hub.reachable = false
  const darkMs = clock.monotonicMs()
  await clock.advance(20 * HOUR)
  await power(10 * 60_000)
  await clock.advance(10 * HOUR)
  clock.jump(DECADE)
  await clock.advance(10 * HOUR)
  await power(8 * HOUR)
  clock.jump(-2 * DECADE)
  await clock.advance(72 * HOUR - (clock.monotonicMs() - darkMs))
  expect(await pods()).toEqual(before)
  expect(written).toEqual([])
  hub.reachable = true
  await clock.advance(HOUR)
  expect(await pods()).toEqual(before)
  expect(written).toEqual([])
  expect(hub.heard.at(-1)?.conditions).toEqual([])
  expect(boots).toBe(3)
  await cut()
  rmSync(dir, { recursive: true, force: true })
})
