/** Bad days of a site's scheduler, on a real API server: rivals, a slow server, a kill in the middle, things that vanish while they are decided about. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { startControlPlane, type ControlPlane } from '../kube/control-plane.ts'
import { first, startFaultProxy, type FaultProxy } from '../kube/fault-proxy.ts'
import { eventually } from './fleet.ts'
import { pod, put, read, startRoom, type RunningRoom } from './scheduling-rig.ts'

const NODES = 3
const CPUS = 4

let plane: ControlPlane
let rooms: RunningRoom[] = []
let proxy: FaultProxy | undefined

beforeAll(async () => {
  plane = await startControlPlane(['--controller-manager'])
  await plane.nodes(NODES, String(CPUS), '8Gi')
})
afterEach(async () => {
  for (const one of rooms) await one.stop()
  rooms = []
  await proxy?.[Symbol.asyncDispose]()
  proxy = undefined
  await plane.kubectl('delete', 'pods', '--all', '--grace-period=0', '--force', '--timeout=60s')
})
afterAll(async () => plane?.stop())

const isBind = (method: string, path: string): boolean => method === 'POST' && path.endsWith('/binding')

async function start(...given: Parameters<typeof startRoom> extends [ControlPlane, ...infer Rest] ? Rest : never) {
  const running = await startRoom(plane, ...given)
  rooms.push(running)
  return running
}

async function through(): Promise<FaultProxy> {
  proxy = await startFaultProxy(plane.kubeconfig)
  return proxy
}

/** Until it holds; with what there was, where it does not. */
async function until(what: string, look: () => Promise<boolean> | boolean): Promise<void> {
  try {
    await eventually(what, look, 90_000)
  } catch (error) {
    const pods = await plane.kubectl('get', 'pods', '-o', 'wide').catch(() => '')
    const said = rooms.flatMap(({ said: lines }) => lines.slice(-15)).join('\n')
    throw new Error(`${(error as Error).message}\n${pods}\n${said}`, { cause: error })
  }
}

interface Standing {
  readonly name: string
  readonly node: string
}
async function standing(): Promise<readonly Standing[]> {
  const { items } = (await read(plane, 'pods')) as { items: readonly { metadata: { name: string }; spec: { nodeName?: string } }[] } // prettier-ignore
  return items.map(({ metadata, spec }) => ({ name: metadata.name, node: spec.nodeName ?? '' }))
}
const bound = async (): Promise<number> => (await standing()).filter(({ node }) => node !== '').length
const nodeOf = async (name: string): Promise<string> => (await standing()).find((one) => one.name === name)?.node ?? ''

async function perNode(): Promise<readonly number[]> {
  const counts = new Map<string, number>()
  for (const { node } of await standing()) if (node !== '') counts.set(node, (counts.get(node) ?? 0) + 1)
  return [...counts.values()].toSorted((a, b) => a - b)
}

test('two schedulers of one name: every pod is bound once, and what the rival bound takes room from both', async () => {
  const one = await start()
  const other = await start({ seed: 'rival' })
  await put(plane, ...Array.from({ length: 24 }, (_, k) => pod(`small-${k}`, '250m')))
  await until('all are bound', async () => (await bound()) === 24)
  const events = await read(plane, 'events', '--field-selector', 'reason=Scheduled')
  const told = events.items.map((event: { involvedObject: { name: string } }) => event.involvedObject.name)
  expect(new Set(told).size).toBe(24)
  // Both know the whole: of twelve CPUs six are taken.
  await put(plane, ...Array.from({ length: NODES * CPUS - 6 + 2 }, (_, k) => pod(`more-${k}`, '1')))
  await until('what fits is bound, and the rest says why not', async () => {
    const rest = (await standing()).filter(({ node }) => node === '')
    const said = await Promise.all(rest.map(({ name }) => plane.kubectl('describe', 'pod', name)))
    return rest.length >= 1 && said.every((text) => text.includes('Insufficient cpu'))
  })
  expect(one.room.counts().bound + other.room.counts().bound).toBeGreaterThanOrEqual(24)
  for (const { said } of rooms) expect(said.filter((line) => line.startsWith('error'))).toEqual([])
})

test('stopped in the middle of a burst and begun anew: what is bound stays, what is not goes on, no node takes more than it has', async () => {
  const slow = await through()
  slow.judge((method, path) => (isBind(method, path) ? { lateMs: 300 } : undefined))
  await put(plane, ...Array.from({ length: 14 }, (_, k) => pod(`pod-${k}`, '1')))
  const killed = await start({ parallelBinds: 2 }, { through: slow.credentials })
  await until('some are bound', async () => (await bound()) >= 3)
  await killed.stop()
  rooms = []
  const atStop = (await standing()).filter(({ node }) => node !== '')
  expect(atStop.length).toBeLessThan(NODES * CPUS)
  await start()
  await until('twelve are bound', async () => (await bound()) === NODES * CPUS)
  expect(await perNode()).toEqual([CPUS, CPUS, CPUS])
  const now = await standing()
  for (const { name, node } of atStop) expect(now.find((one) => one.name === name)?.node).toBe(node)
})

test('a slow API server: binds go beside each other and nothing is decided twice', async () => {
  const slow = await through()
  slow.judge((method) => (method === 'GET' ? undefined : { lateMs: 700 }))
  const { room } = await start({}, { through: slow.credentials })
  await put(plane, ...Array.from({ length: 12 }, (_, k) => pod(`pod-${k}`, '1')))
  await until('all are bound', async () => (await bound()) === 12)
  expect(await perNode()).toEqual([CPUS, CPUS, CPUS])
  const binds = slow.asked.filter(({ what }) => what.startsWith('POST') && what.endsWith('/binding'))
  expect(binds).toHaveLength(12)
  // One after the other they would have taken twelve times as long as one.
  const between = (binds.at(-1)?.atMs ?? 0) - (binds[0]?.atMs ?? 0)
  expect(between).toBeLessThan(11 * 700)
  expect(room.counts().bindsFailed).toBe(0)
})

test('a pod that is deleted while it is bound, and comes again by the same name, is another pod', async () => {
  const slow = await through()
  let held = 0
  slow.judge((method, path) => (isBind(method, path) && held++ === 0 ? { lateMs: 2_500 } : undefined))
  const { room } = await start({}, { through: slow.credentials })
  await put(plane, pod('twice', '3'))
  await until('its bind is on its way', () => held === 1)
  await plane.kubectl('delete', 'pod', 'twice', '--grace-period=0', '--force')
  await put(plane, pod('twice', '4'), pod('big-0', '4'), pod('big-1', '4'))
  await until('all three stand, each on a node of its own', async () => (await bound()) === 3)
  await until('the late bind was refused: it was meant for the first of that name', () => room.counts().bindsFailed === 1) // prettier-ignore
  expect(await perNode()).toEqual([1, 1, 1])
  expect(room.counts().bound).toBe(3)
})

test('a node that goes while pods are sent to it: those not yet bound are placed elsewhere or wait, and say so', async () => {
  const slow = await through()
  slow.judge((method, path) => (isBind(method, path) ? { lateMs: 1_000 } : undefined))
  const extra = {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: 'extra', labels: { 'kubernetes.io/hostname': 'extra', extra: 'yes' } },
  }
  await put(plane, extra)
  await plane.kubectl('patch', 'node', 'extra', '--subresource=status', '--type=merge', '-p', '{"status":{"allocatable":{"cpu":"8","memory":"8Gi","pods":"20"},"capacity":{"cpu":"8","memory":"8Gi","pods":"20"},"conditions":[{"type":"Ready","status":"True","reason":"x","message":"x"}]}}') // prettier-ignore
  await plane.kubectl('taint', 'nodes', 'extra', 'node.kubernetes.io/not-ready-', 'node.kubernetes.io/not-ready:NoSchedule-').catch(() => '') // prettier-ignore
  const tolerations = [{ operator: 'Exists' }]
  await start({ parallelBinds: 1 }, { through: slow.credentials })
  await put(plane, ...Array.from({ length: 6 }, (_, k) => pod(`picky-${k}`, '1', { nodeSelector: { extra: 'yes' }, tolerations }))) // prettier-ignore
  await until('the first is bound', async () => (await bound()) >= 1)
  await plane.kubectl('delete', 'node', 'extra')
  await until('the others wait and say why', async () => {
    const rest = (await standing()).filter(({ node }) => node === '')
    const said = await Promise.all(rest.map(({ name }) => plane.kubectl('describe', 'pod', name)))
    return rest.length >= 1 && said.every((text) => /0\/3 nodes are available: 3 node\(s\) didn't match/.test(text))
  })
})

test('a watch that has expired, and one that is refused for a while: everything is read anew, and what happened meanwhile counts', async () => {
  const ill = await through()
  const { room } = await start({}, { through: ill.credentials })
  await put(plane, pod('before', '1'))
  await until('it is bound', async () => (await nodeOf('before')) !== '')
  // The pods are asked for anew from then on; twice what they asked for is no longer known.
  ill.judge(first(2, (method, path) => method === 'GET' && path === '/api/v1/pods', { answer: 410, body: { reason: 'Expired' } })) // prettier-ignore
  ill.cutAll()
  await put(plane, ...Array.from({ length: 11 }, (_, k) => pod(`after-${k}`, '1')))
  await until('all are bound', async () => (await bound()) === 12)
  expect(await perNode()).toEqual([CPUS, CPUS, CPUS])
  expect(room.counts().restarts).toBe(0)
})

test('a right to bind that is lacking is said of the pod and of the site, and binding goes on once it is given', async () => {
  const ill = await through()
  let denied = true
  const body = { reason: 'Forbidden', message: 'pods "one" is forbidden: cannot create resource "pods/binding"' }
  ill.judge((method, path) => (denied && isBind(method, path) ? { answer: 403, body } : undefined))
  const { room } = await start({}, { through: ill.credentials })
  await put(plane, pod('one', '1'))
  await until('the pod says it', async () => /SchedulerError|Binding failed \(Forbidden\)/.test(await plane.kubectl('describe', 'pod', 'one'))) // prettier-ignore
  expect(room.trouble()).toMatchObject({ reason: 'Forbidden' })
  denied = false
  await until('it is bound', async () => (await nodeOf('one')) !== '')
  await until('and nothing is in the way', () => room.trouble() === null)
})
