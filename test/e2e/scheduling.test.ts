/** The scheduler of a site beside a real kube-scheduler, on a real API server with its controllers. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { first, startFaultProxy } from '../kube/fault-proxy.ts'
import { startControlPlane, type ControlPlane } from '../kube/control-plane.ts'
import { eventually } from './fleet.ts'
import { pod, put, read, startRoom, type RunningRoom } from './scheduling-rig.ts'

let plane: ControlPlane
let running: RunningRoom | undefined

beforeAll(async () => {
  plane = await startControlPlane(['--controller-manager', '--scheduler'])
  await plane.nodes(3, '4', '8Gi')
})
afterEach(async () => {
  await running?.stop()
  running = undefined
  const free = '{"metadata":{"finalizers":null}}'
  for (const { metadata } of (await read(plane, 'pods')).items)
    if (metadata.finalizers !== undefined)
      await plane.kubectl('patch', 'pod', metadata.name, '--type=merge', '-p', free)
  await plane.kubectl('delete', 'pods', '--all', '--grace-period=0', '--force', '--timeout=30s')
  await plane.kubectl('delete', 'pdb,pvc', '--all', '--timeout=30s')
  await plane.kubectl('delete', 'pv', '--all', '--timeout=30s')
})
afterAll(async () => plane?.stop())

const nodeOf = async (name: string): Promise<string> => (await read(plane, 'pod', name)).spec.nodeName ?? ''
const describe = (name: string): Promise<string> => plane.kubectl('describe', 'pod', name)
const conditionOf = async (
  name: string,
  type: string,
): Promise<{ status: string; reason: string; message: string } | undefined> =>
  // prettier-ignore
  (await read(plane, 'pod', name)).status.conditions?.find((one: { type: string }) => one.type === type)

/** Until it holds; with what the scheduler said, where it does not. */
async function until(what: string, look: () => Promise<boolean>): Promise<void> {
  try {
    await eventually(what, look, 60_000)
  } catch (error) {
    const pods = await plane.kubectl('get', 'pods', '-o', 'wide').catch(() => '')
    throw new Error(`${(error as Error).message}\n${pods}\n${running?.said.slice(-20).join('\n') ?? ''}`, {
      cause: error,
    })
  }
}

test('beside kube-scheduler: its pods count, and each binds its own', async () => {
  await put(plane, ...[0, 1, 2].map((k) => pod(`theirs-${k}`, '3', { schedulerName: 'default-scheduler' })))
  await until('kube-scheduler bound its pods', async () => (await nodeOf('theirs-0')) !== '' && (await nodeOf('theirs-1')) !== '' && (await nodeOf('theirs-2')) !== '') // prettier-ignore
  running = await startRoom(plane)
  await put(plane, pod('small', '1'), pod('large', '2'))
  await until('the small pod is bound', async () => (await nodeOf('small')) !== '')
  await until('kubectl describe says why the large one waits', async () =>
    (await describe('large')).includes('0/3 nodes are available: 3 Insufficient cpu.'),
  )
  const text = await describe('large')
  expect(text).toMatch(/Warning\s+FailedScheduling\s+\S+\s+flotilla\s+0\/3 nodes are available: 3 Insufficient cpu\. Nearest: node-\d lacks 1 cpu\./) // prettier-ignore
  expect(text).toMatch(/PodScheduled\s+False/)
  expect(await describe('small')).toMatch(/Normal\s+Scheduled\s+\S+\s+flotilla\s+Successfully assigned default\/small to node-\d/) // prettier-ignore
  const told = await conditionOf('large', 'PodScheduled')
  expect(told).toMatchObject({ status: 'False', reason: 'Unschedulable' })
  // A pod of the other goes, and ours takes its room: no time passes by itself.
  await plane.kubectl('delete', 'pod', 'theirs-1', '--grace-period=0', '--force')
  await until('the large pod is bound in the room that came', async () => (await nodeOf('large')) !== '')
  expect((await read(plane, 'pod', 'theirs-0')).metadata.deletionTimestamp).toBeUndefined()
  expect(running.said.filter((line) => line.startsWith('error'))).toEqual([])
})

test('a gate is waited for, and what a pod is nominated to is written into it', async () => {
  running = await startRoom(plane, { core: { minRunMs: 0 } })
  await put(plane, pod('gated', '1', { schedulingGates: [{ name: 'example.com/later' }] }))
  await put(plane, {
    apiVersion: 'scheduling.k8s.io/v1',
    kind: 'PriorityClass',
    metadata: { name: 'high' },
    value: 1000,
  })
  await put(plane, ...[0, 1, 2].map((k) => pod(`low-${k}`, '3', {}, { labels: { app: 'low' }, finalizers: ['example.com/stay'] }))) // prettier-ignore
  await until('the low ones run', async () => (await read(plane, 'pods', '-l', 'app=low')).items.every((one: any) => one.status.phase === 'Running')) // prettier-ignore
  expect(await nodeOf('gated')).toBe('')
  expect((await conditionOf('gated', 'PodScheduled'))?.reason).toBe('SchedulingGated')
  await plane.kubectl('patch', 'pod', 'gated', '--type=json', '-p', '[{"op":"remove","path":"/spec/schedulingGates"}]')
  await until('the pod whose gate was lifted is bound', async () => (await nodeOf('gated')) !== '')

  // Those that give way are held by a finalizer, so that their conditions can be read.
  await put(plane, ...[0, 1, 2].map((k) => pod(`high-${k}`, '3', { priorityClassName: 'high' })))
  await until('a pod is nominated', async () => (await read(plane, 'pods')).items.some((one: any) => (one.status.nominatedNodeName ?? '') !== '')) // prettier-ignore
  await until('the victims are marked', async () => (await read(plane, 'pods', '-l', 'app=low')).items.filter((one: any) => one.metadata.deletionTimestamp !== undefined && one.status.conditions.some((c: any) => c.type === 'DisruptionTarget' && c.status === 'True')).length === 3) // prettier-ignore
  for (const k of [0, 1, 2]) await plane.kubectl('patch', 'pod', `low-${k}`, '--type=merge', '-p', '{"metadata":{"finalizers":null}}') // prettier-ignore
  await until('all of the high ones are bound', async () => (await nodeOf('high-0')) !== '' && (await nodeOf('high-1')) !== '' && (await nodeOf('high-2')) !== '') // prettier-ignore
  const events = await read(plane, 'events', '--field-selector', 'reason=Preempted')
  expect(events.items.length).toBeGreaterThanOrEqual(3)
})

test('a disruption budget is honoured, and the pod says what it waits for', async () => {
  running = await startRoom(plane, { core: { minRunMs: 0 } })
  await put(
    plane,
    { apiVersion: 'scheduling.k8s.io/v1', kind: 'PriorityClass', metadata: { name: 'high' }, value: 1000 },
    { apiVersion: 'policy/v1', kind: 'PodDisruptionBudget', metadata: { name: 'keep', namespace: 'default' }, spec: { minAvailable: 3, selector: { matchLabels: { app: 'kept' } } } }, // prettier-ignore
    ...[0, 1, 2].map((k) => pod(`kept-${k}`, '3', {}, { labels: { app: 'kept' } })),
  )
  await until(
    'they run, and the budget knows',
    async () => (await read(plane, 'pdb', 'keep')).status.currentHealthy === 3,
  )
  await put(plane, pod('high', '2', { priorityClassName: 'high' }))
  await until('it waits and says so', async () => (await describe('high')).includes('3 Insufficient cpu'))
  await plane.kubectl('patch', 'pdb', 'keep', '--type=merge', '-p', '{"spec":{"minAvailable":2}}')
  await until('one gives way now that the budget allows it', async () => (await nodeOf('high')) !== '')
  const left = (await read(plane, 'pods', '-l', 'app=kept')).items.filter((one: any) => one.metadata.deletionTimestamp === undefined) // prettier-ignore
  expect(left).toHaveLength(2)
})

test('a local volume is kept for the claim before the pod goes to its node; a provisioner is told the node', async () => {
  running = await startRoom(plane)
  const local = (name: string, node: string) => ({
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name },
    spec: {
      capacity: { storage: '1Gi' },
      accessModes: ['ReadWriteOnce'],
      persistentVolumeReclaimPolicy: 'Retain',
      storageClassName: 'local',
      local: { path: '/mnt' },
      nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: [node] }] }] } }, // prettier-ignore
    },
  })
  const claim = (name: string, storageClassName: string) => ({
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name, namespace: 'default' },
    spec: { accessModes: ['ReadWriteOnce'], storageClassName, resources: { requests: { storage: '500Mi' } } },
  })
  const using = (name: string, claimName: string) =>
    pod(name, '100m', { volumes: [{ name: 'data', persistentVolumeClaim: { claimName } }] })
  const storage = (name: string, provisioner: string) => ({
    apiVersion: 'storage.k8s.io/v1',
    kind: 'StorageClass',
    metadata: { name },
    provisioner,
    volumeBindingMode: 'WaitForFirstConsumer',
  })
  await put(
    plane,
    storage('local', 'kubernetes.io/no-provisioner'),
    storage('made', 'example.com/maker'),
    local('pv-a', 'node-1'),
    local('pv-b', 'node-2'),
    claim('one', 'local'),
    claim('two', 'local'),
    claim('three', 'local'),
    claim('new', 'made'),
    using('with-one', 'one'),
    using('with-two', 'two'),
    using('with-new', 'new'),
  )
  await until('both have their volume and its node', async () => {
    const nodes = [await nodeOf('with-one'), await nodeOf('with-two')].toSorted()
    return nodes[0] === 'node-1' && nodes[1] === 'node-2'
  })
  for (const name of ['one', 'two']) {
    const { volumeName } = (await read(plane, 'pvc', name)).spec
    expect(await nodeOf(`with-${name}`)).toBe(volumeName === 'pv-a' ? 'node-1' : 'node-2')
    expect((await read(plane, 'pv', volumeName)).metadata.annotations['pv.kubernetes.io/bound-by-controller']).toBe(
      'yes',
    )
  }
  await put(plane, using('with-three', 'three'))
  await until('no volume is left, and it says so', async () => (await describe('with-three')).includes("3 node(s) didn't find available persistent volumes to bind")) // prettier-ignore
  // The provisioner's part, played here: it makes a volume where it was told to.
  const selected = async (): Promise<string> => (await read(plane, 'pvc', 'new')).metadata.annotations?.['volume.kubernetes.io/selected-node'] ?? '' // prettier-ignore
  await until('the provisioner is told a node', async () => (await selected()) !== '')
  const node = await selected()
  expect(await nodeOf('with-new')).toBe('')
  const made = local('pv-made', node)
  await put(plane, { ...made, spec: { ...made.spec, storageClassName: 'made', claimRef: { namespace: 'default', name: 'new' } } }) // prettier-ignore
  await until('the pod follows its volume', async () => (await nodeOf('with-new')) === node)
  await put(plane, local('pv-c', 'node-0'))
  await until('a volume that appears helps the one that waited', async () => (await nodeOf('with-three')) === 'node-0')
})

test('a bind whose answer is lost is asked for before its room is given to another; refused ones are tried again', async () => {
  await using proxy = await startFaultProxy(plane.kubeconfig)
  const isBind = (method: string, path: string): boolean => method === 'POST' && path.endsWith('/binding')
  let lost = 2
  let refused = 2
  let broken = 2
  proxy.judge((method, path) => {
    if (!isBind(method, path)) return undefined
    if (lost-- > 0) return { lost: 'cut' }
    if (refused-- > 0) return { answer: 500 }
    return broken-- > 0 ? { broken: true } : undefined
  })
  running = await startRoom(plane, {}, { through: proxy.credentials })
  const names = Array.from({ length: 12 }, (_, k) => `pod-${k}`)
  await put(plane, ...names.map((name) => pod(name, '1')))
  await until('all are bound', async () => (await read(plane, 'pods')).items.every((one: any) => one.spec.nodeName))
  const used = new Map<string, number>()
  for (const one of (await read(plane, 'pods')).items)
    used.set(one.spec.nodeName, (used.get(one.spec.nodeName) ?? 0) + 1)
  expect([...used.values()]).toEqual([4, 4, 4])
  expect(running.room.counts().bindsFailed).toBeGreaterThanOrEqual(2)
})

test('with the API server away nothing is decided; when it is back everything goes on, by what is there then', async () => {
  running = await startRoom(plane)
  await put(plane, pod('before', '1'))
  await until('it is bound', async () => (await nodeOf('before')) !== '')
  await plane.cut()
  await eventually('the scheduler knows', () => running?.room.trouble() !== null)
  await plane.restore()
  await put(plane, pod('after', '1'))
  await until('it goes on', async () => (await nodeOf('after')) !== '')
  // A restart keeps nothing, and needs nothing.
  await running.stop()
  running = await startRoom(plane)
  await put(plane, ...Array.from({ length: 10 }, (_, k) => pod(`more-${k}`, '1')))
  await until('twelve fit, and no node holds more than it has', async () => (await read(plane, 'pods')).items.every((one: any) => one.spec.nodeName)) // prettier-ignore
  const used = new Map<string, number>()
  for (const one of (await read(plane, 'pods')).items)
    used.set(one.spec.nodeName, (used.get(one.spec.nodeName) ?? 0) + 1)
  expect([...used.values()]).toEqual([4, 4, 4])
})

test('a watch that breaks, a slow answer and a site that is another agent’s do no harm', async () => {
  await using proxy = await startFaultProxy(plane.kubeconfig)
  let mine = false
  running = await startRoom(plane, {}, { through: proxy.credentials, mayWrite: () => mine })
  await put(plane, pod('one', '1'))
  await eventually('it looks whether the site is its own', () => running !== undefined)
  expect(await nodeOf('one')).toBe('')
  expect(proxy.asked.filter(({ what }) => !what.startsWith('GET'))).toEqual([])
  mine = true
  await until('it binds once the site is its own', async () => (await nodeOf('one')) !== '')
  proxy.cutAll()
  proxy.judge(first(3, (method, path) => method === 'GET' && path === '/api/v1/pods', { answer: 503 }))
  await put(plane, pod('two', '1'))
  await until('it lists again and goes on', async () => (await nodeOf('two')) !== '')
})
