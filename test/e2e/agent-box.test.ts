/** At the box, with the hub away: what can be seen, stopped and taken back there, on a real API server. One story, in order. */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { BoxView } from '../../src/core/api/box.ts'
import type { WhyView } from '../../src/core/api/types.ts'
import { startControlPlane, type ControlPlane } from '../kube/control-plane.ts'
import { configMap } from '../unit/agent/site.ts'
import { agentOn, atBox, boxView, bundleOf, HubAway } from './agent-rig.ts'
import { eventually } from './fleet.ts'

const SITE = 'box-1'
let dir: string
let bin: string
let store: string
let plane: ControlPlane
let hub: HubAway
let agent: ReturnType<typeof agentOn>

beforeAll(async () => {
  // A folder so deep that no socket's path could be so long.
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'flotilla-box-'))
  store = path.join(dir, 'a-folder-with-a-long-name-'.repeat(4), 'store')
  fs.mkdirSync(path.dirname(store))
  bin = await bundleOf(path.join(dir, 'bin', 'dist'), '0.1.0')
  plane = await startControlPlane()
  await plane.kubectl('create', 'namespace', 'shop')
  hub = await HubAway.start(dir)
  agent = agentOn(dir, bin, 'agent', store, plane.kubeconfig)
  agent.program.start(['--join', hub.joinLine(SITE)])
  await eventually('it joined', () => hub.twin.seen.length > 0, 90_000)
}, 300_000)

afterAll(async () => {
  await agent?.program.stop('SIGKILL')
  await hub?.leave()
  await plane?.stop()
  if (dir !== undefined) fs.rmSync(dir, { recursive: true, force: true })
})

const release = (a: string) => ({ till: [configMap('settings', { a }), configMap(`only-${a}`)] })
const data = async (): Promise<string> =>
  plane.kubectl('get', 'configmap', 'settings', '-n', 'shop', '-o', 'jsonpath={.data.a}').catch(() => 'absent')
const becomes = (value: string): Promise<unknown> =>
  eventually(
    `settings is ${value}`,
    async () => {
      const now = await data()
      if (now === value) return true
      throw new Error(`${now}; ${agent.log().slice(-2_000)}`)
    },
    60_000,
  )
const at = (...args: string[]): string => atBox(bin, store, ...args)
const view = (): BoxView => boxView(bin, store)
const till = () => view().workloads.find(({ workload }) => workload === 'till')

test('status says what runs, which generation, the floor and the last word of the hub', async () => {
  hub.publish(SITE, release('1'))
  await becomes('1')
  hub.publish(SITE, release('2'))
  await becomes('2')
  await eventually('it is settled', () => till()?.sync === 'Synced' && view().hub.link === 'Online')
  await hub.leave()
  const seen = await eventually('the link is seen to be away', () => {
    const now = view()
    return now.hub.link === 'Away' && now
  })
  expect(seen).toMatchObject({
    site: SITE,
    agent: { state: 'running', version: '0.1.0', confirmed: true },
    generation: { epoch: 1, counter: 2 },
    floor: { epoch: 1, counter: 2 },
    paused: null,
    objects: 2,
    workloads: [{ workload: 'till', sync: 'Synced', health: 'Healthy' }],
  })
  expect(seen.hub.fault?.reason).toBe('Unreachable')
  expect(seen.hub.lastWordMs).toBeGreaterThan(Date.now() - 600_000)
  expect(at('status')).toContain('till')
  expect(at('status', '-o', 'name')).toBe(`site/${SITE}\n`)
  expect(JSON.parse(at('why', 'till', '-o', 'json')) as WhyView).toMatchObject({ settled: true })
  expect(at('why', 'configmap/shop/settings')).toContain('is as it should be')
  const socket = path.join(store, 'agent.sock')
  expect(fs.statSync(socket).mode & 0o777).toBe(0o600)
})

test('paused, it corrects nothing, and says so; resumed, it does', async () => {
  at('pause', '--reason', 'a disk is replaced', '--for', '2h', '--by', 'kim')
  expect(view().paused).toMatchObject({ by: 'kim', reason: 'a disk is replaced' })
  await plane.kubectl('delete', 'configmap', 'settings', '-n', 'shop')
  await eventually('it saw that it is gone', () => till()?.objects.some(({ ref }) => ref.name === 'settings'))
  expect(at('why', 'till')).toContain('Paused')
  // Over a kill too.
  await agent.program.stop('SIGKILL')
  expect(view().agent.state).toBe('stopped')
  agent.program.start()
  await eventually('it saw it again', () => till()?.objects.some(({ ref }) => ref.name === 'settings'))
  expect(await data()).toBe('absent')
  at('resume')
  await becomes('2')
})

test('rolled back, the release before is there, over a kill; the status does not call it the one of the hub', async () => {
  const before = till()
  at('rollback', 'till', '--reason', 'the till hangs', '--by', 'kim')
  await becomes('1')
  const now = await eventually('it is told', () => {
    const seen = till()
    return seen?.waiting !== null && seen
  })
  expect(now).toMatchObject({ desired: before?.desired, rolledBack: { by: 'kim' }, sync: 'Waiting' })
  expect(now?.applied).not.toBe(now?.desired)
  await eventually('what only the newer one had is gone', async () =>
    (await plane.kubectl('get', 'configmaps', '-n', 'shop', '-o', 'name')).includes('only-2') ? undefined : true,
  )
  await agent.program.stop('SIGKILL')
  agent.program.start()
  await eventually('it runs again', () => view().agent.state === 'running' && till()?.sync === 'Waiting')
  expect(await data()).toBe('1')
  expect(() => at('rollback', 'till', '--reason', 'again')).toThrow(/already/)
})

test('with no agent running, what is said is kept and counts from its next start', async () => {
  await agent.program.stop()
  expect(view()).toMatchObject({
    agent: { state: 'stopped' },
    workloads: [{ workload: 'till', sync: 'Unknown', rolledBack: { by: 'kim' } }],
  })
  expect(at('resume', 'till')).toContain("the agent's next start")
  agent.program.start()
  await becomes('2')
})

test('the hub hears of all of it when it is back, word by word', async () => {
  at('rollback', 'till', '--reason', 'the till hangs', '--by', 'kim')
  await becomes('1')
  await hub.comeBack()
  const heard = await eventually('the hub is told', () => {
    const items = hub.twin.seen.flatMap(({ outbox }) => outbox)
    const words = [...new Map(items.map(({ seq, body }) => [seq, body])).values()]
    return words.length >= 5 && words.map(({ word }) => word)
  })
  expect(heard).toEqual(['pause', 'resume', 'rollback', 'resume', 'rollback'])
  const told = await eventually('and how it is', () =>
    hub.twin.seen
      .flatMap(({ observations }) => observations)
      .findLast(
        ({ waiting }) => waiting?.reason === 'Hold' && waiting.detail?.includes('rolled back at the box by kim'),
      ),
  )
  expect(told.applied?.digest).not.toBe(told.desired?.digest)
  expect(hub.twin.seen.at(-1)?.conditions).toContainEqual(
    expect.objectContaining({ type: 'Box', reason: 'RolledBack' }),
  )
  // A newer word about it ends what was said at the box.
  hub.publish(SITE, release('3'))
  await becomes('3')
  expect(till()?.rolledBack).toBeNull()
})
