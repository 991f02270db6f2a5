/**
 * The agent's own upgrade on a real API server: two processes on one store, as two pods of one Deployment are. The new one crashes,
 * never reaches the hub, or is good; no workload is touched in any of it. One story, in order.
 */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startControlPlane, type ControlPlane } from '../kube/control-plane.ts'
import { configMap, deployment } from '../unit/agent/site.ts'
import { agentOn, boxView, bundleOf, HubAway, type Change } from './agent-rig.ts'
import { eventually } from './fleet.ts'

const SITE = 'box-1'
/** Long for those that are to come up on a busy machine, short for the one that never will. */
const CONFIRM_MS = 120_000
const SHORT_MS = 10_000

/** What is wrong with the versions that do not come up. */
const WRONG: Readonly<Record<string, readonly Change[]>> = {
  '0.2.0-crashes': [{ file: 'src/process/rehearse.ts', from: 'await agent.turn(until)', to: 'process.exit(7)' }],
  '0.2.1-crashes-later': [
    {
      file: 'src/process/run-agent.ts',
      from: `log.info({ site: running.site, version }, 'running')`,
      to: 'process.exit(7)',
    },
  ],
  '0.3.0-no-hub': [
    {
      file: 'src/process/rehearse.ts',
      from: 'await fetchTrust(',
      to: `throw new Fault('Unreachable', 'not this build');await (`,
    },
  ],
  '0.3.1-no-sync': [
    {
      file: 'src/process/agent.ts',
      from: 'const link = start.throughLink?.(direct) ?? direct',
      to: `const link = { close: () => direct.close(), blob: direct.blob, rest: async () => undefined, sync: async () => { throw new Fault('Unreachable', 'not this build') } }`,
    },
  ],
  '0.4.0': [],
}

let dir: string
let store: string
let plane: ControlPlane
let hub: HubAway
const bins = new Map<string, string>()
const running: ReturnType<typeof agentOn>[] = []

beforeAll(async () => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'flotilla-upgrade-'))
  store = path.join(dir, 'store')
  bins.set('0.1.0', await bundleOf(path.join(dir, '0.1.0', 'dist'), '0.1.0'))
  for (const [version, changes] of Object.entries(WRONG))
    bins.set(version, await bundleOf(path.join(dir, version, 'dist'), version, changes))
  plane = await startControlPlane()
  await plane.kubectl('create', 'namespace', 'shop')
  hub = await HubAway.start(dir)
}, 300_000)

afterAll(async () => {
  for (const { program } of running) await program.stop('SIGKILL')
  await hub?.leave()
  await plane?.stop()
  if (dir !== undefined) fs.rmSync(dir, { recursive: true, force: true })
})

function agent(version: string, name = version, data = store): ReturnType<typeof agentOn> {
  const confirmMs = String(version.endsWith('no-sync') ? SHORT_MS : CONFIRM_MS)
  const made = agentOn(dir, bins.get(version) ?? '', name, data, plane.kubeconfig, '--confirm-ms', confirmMs)
  running.push(made)
  return made
}

const view = () => boxView(bins.get('0.1.0') ?? '', store)
const objects = [configMap('settings'), deployment('till')]
/** Whatever touches them shows: the version of each object. */
const untouched = (): Promise<string> =>
  plane.kubectl(
    'get', 'configmap/settings', 'deployment/till', '-n', 'shop',
    '-o', 'jsonpath={range .items[*]}{.metadata.uid} {.metadata.resourceVersion}{"\\n"}{end}',
  ) // prettier-ignore
const leads = (version: string): Promise<unknown> =>
  eventually(
    `${version} leads`,
    () => {
      const { agent: it } = view()
      if (it.state === 'running' && it.version === version && it.confirmed) return true
      throw new Error(
        `${JSON.stringify(it)} ${running.map(({ program, log }) => `${program.name}: ${log().slice(-600)}`).join('\n')}`,
      )
    },
    90_000,
  )
/** It does the work: what is deleted by hand is there again. */
async function works(): Promise<void> {
  const name = 'canary'
  await plane.kubectl('delete', 'configmap', name, '-n', 'shop', '--ignore-not-found')
  await eventually(
    'what was deleted is made again',
    () => plane.kubectl('get', 'configmap', name, '-n', 'shop'),
    60_000,
  )
}

let before: string
let first: ReturnType<typeof agentOn>
let leader: ReturnType<typeof agentOn>

test('one agent runs, and is proved by its first turn and its first word with the hub', async () => {
  first = agent('0.1.0')
  first.program.start(['--join', hub.joinLine(SITE)])
  await eventually('it joined', () => hub.twin.seen.length > 0, 90_000)
  hub.publish(SITE, { till: objects, canary: [configMap('canary')] })
  await eventually(
    'all is applied',
    () => view().workloads.length === 2 && view().workloads.every((it) => it.applied === it.desired),
  )
  await leads('0.1.0')
  before = await untouched()
  const lease = JSON.parse(
    await plane.kubectl('get', 'lease', 'flotilla-agent', '-n', 'flotilla-system', '-o', 'json'),
  ) as {
    spec: { holderIdentity: string }
  }
  expect(lease.spec.holderIdentity).toContain(`_${first.program.pid}_`)
})

test('a new one that crashes before it is fit changes nothing', async () => {
  const next = agent('0.2.0-crashes')
  next.program.start()
  await eventually('it crashed', () => !next.program.running)
  await leads('0.1.0')
  await works()
  expect(await untouched()).toBe(before)
})

test('a new one that never reaches the hub is never given the store', async () => {
  const next = agent('0.3.0-no-hub')
  next.program.start()
  await eventually('it says why it is not fit', () => next.log().includes('not this build'))
  await leads('0.1.0')
  await works()
  await next.program.stop()
  expect(await untouched()).toBe(before)
})

test('a new one that crashes once it has the store loses it to the one before', async () => {
  const next = agent('0.2.1-crashes-later')
  next.program.start()
  await eventually('it was given the store, and crashed', () => !next.program.running, 90_000)
  await leads('0.1.0')
  expect(first.program.running).toBe(true)
  await works()
  expect(await untouched()).toBe(before)
})

test('a new one that does not reach the hub once it has the store gives it back', async () => {
  const next = agent('0.3.1-no-sync')
  next.program.start()
  await eventually('it was given the store', () => next.log().includes('"msg":"running"'), 90_000)
  await eventually('it gave up', () => !next.program.running, 90_000)
  await leads('0.1.0')
  await works()
  expect(await untouched()).toBe(before)
  const told = await eventually('the hub hears of both', () => {
    const upgrades = hub.twin.seen.flatMap(({ outbox }) => outbox).filter(({ body }) => body['kind'] === 'upgrade')
    const versions = [...new Set(upgrades.map(({ body }) => body['version']))]
    return versions.length === 2 && versions
  })
  expect(told).toEqual(['0.2.1-crashes-later', '0.3.1-no-sync'])
})

test('a good one is given the store, proves itself, and the one before may end', async () => {
  leader = agent('0.4.0')
  leader.program.start()
  await leads('0.4.0')
  expect(first.program.running).toBe(true)
  expect(await first.program.stop()).toBe(0)
  await works()
  expect(await untouched()).toBe(before)
  await eventually('the hub knows', () => hub.twin.seen.at(-1)?.agent === '0.4.0')
})

test('a second agent with the same identity, on a copy of the store, writes nothing', async () => {
  const copy = path.join(dir, 'copy')
  fs.cpSync(store, copy, { recursive: true, filter: (file) => !file.endsWith('.sock') })
  const second = agent('0.4.0', 'second', copy)
  second.program.start()
  const seen = await eventually('it says who may', () => {
    const it = boxView(bins.get('0.4.0') ?? '', copy)
    return it.conditions.find(({ reason }) => reason === 'Conflict') && it
  })
  expect(seen.agent.state).toBe('running')
  // The one that may is held for a moment: whatever is written now, the other one wrote.
  process.kill(leader.program.pid, 'SIGSTOP')
  try {
    await plane.kubectl('delete', 'configmap', 'canary', '-n', 'shop')
    await eventually('the other one sees that it is gone', () =>
      boxView(bins.get('0.4.0') ?? '', copy)
        .workloads.flatMap(({ objects: bad }) => bad)
        .some(({ ref }) => ref.name === 'canary'),
    )
    await expect(plane.kubectl('get', 'configmap', 'canary', '-n', 'shop')).rejects.toThrow('not found')
  } finally {
    process.kill(leader.program.pid, 'SIGCONT')
  }
  await eventually('it is made again', () => plane.kubectl('get', 'configmap', 'canary', '-n', 'shop'))
  expect(second.log()).toContain('another agent may write here')
  await second.program.stop()
  expect(await untouched()).toBe(before)
})

test('a store that is lost comes back with its keys and its floor from the cluster, without a token', async () => {
  const secret = await eventually('the copy is there', () =>
    plane.kubectl('get', 'secret', 'flotilla-agent-keys', '-n', 'flotilla-system', '-o', 'name'),
  )
  expect(secret).toContain('flotilla-agent-keys')
  const { siteId, floor } = view()
  for (const { program } of running) await program.stop()
  fs.rmSync(store, { recursive: true })
  // With the hub away nothing but the cluster can say who this is.
  await hub.leave()
  const again = agent('0.4.0', 'again')
  // The token of its Deployment is one that cannot be used now.
  again.program.start(['--join', hub.joinLine(SITE)])
  const seen = await eventually('it is who it was', () => {
    const it = view()
    return it.agent.state === 'running' && it
  })
  expect({ siteId: seen.siteId, floor: seen.floor }).toEqual({ siteId, floor })
  await hub.comeBack()
  await eventually(
    'it is where it was',
    () => {
      const { workloads } = view()
      return workloads.length === 2 && workloads.every((it) => it.applied === it.desired)
    },
    90_000,
  )
  expect((await untouched()).split('\n').map((line) => line.split(' ')[0])).toEqual(
    before.split('\n').map((line) => line.split(' ')[0]),
  )
})
