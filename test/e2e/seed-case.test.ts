/**
 * The case that the field is measured by: 4 GPUs, two TensorFlow jobs of 4 workers each, created interleaved. A scheduler that
 * goes pod by pod gives each job two and both wait for ever; ours runs one after the other.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { JsonObject } from '../../src/core/model/json.ts'
import type { Manifest } from '../../src/core/model/object.ts'
import { type ControlPlane, startControlPlane } from '../kube/control-plane.ts'
import { told } from '../unit/agent/batch-site.ts'
import { put, read, startRoom } from './scheduling-rig.ts'
import { liveSite } from './site-rig.ts'

const GPU = 'nvidia.com/gpu'
const DEADLINE_MS = 120_000

let plane: ControlPlane

beforeAll(async () => {
  plane = await startControlPlane(['--controller-manager', '--scheduler'])
  // Two nodes of two GPUs each, and one beside them that has none and more room.
  await plane.nodes(3, '16', '32Gi')
  for (const node of ['node-0', 'node-1'])
    await plane.kubectl('patch', 'node', node, '--subresource=status', '--type=merge', '-p', JSON.stringify({ status: { capacity: { [GPU]: '2' }, allocatable: { [GPU]: '2' } } })) // prettier-ignore
  for (const namespace of ['kube', 'ours'])
    await put(plane, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } })
}, 300_000)
afterAll(async () => plane?.stop(), 120_000)

interface PodSeen {
  readonly job: string
  readonly task: string
  readonly name: string
  readonly node: string | undefined
  readonly phase: string
  readonly env: string
}

async function podsIn(namespace: string): Promise<readonly PodSeen[]> {
  const { items } = await read(plane, 'pods', '-n', namespace)
  return (items as readonly any[]).map((pod) => ({
    job: pod.metadata.labels['flotilla.dev/job'],
    task: pod.metadata.labels['flotilla.dev/task'],
    name: pod.metadata.name,
    node: pod.spec.nodeName,
    phase: pod.status.phase,
    env: pod.spec.containers[0].env?.find((one: { name: string }) => one.name === 'TF_CONFIG')?.value ?? '',
  }))
}

/** Looks until it holds; what was last seen stands in the error. */
async function eventually<T>(look: () => Promise<T>, holds: (seen: T) => boolean, what: string): Promise<T> {
  const endMs = Date.now() + DEADLINE_MS
  for (;;) {
    const seen = await look()
    if (holds(seen)) return seen
    if (Date.now() > endMs) throw new Error(`${what}: not within ${DEADLINE_MS} ms; last seen ${JSON.stringify(seen)}`)
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}

const worker = (scheduler: string): JsonObject => ({
  schedulerName: scheduler,
  terminationGracePeriodSeconds: 0,
  containers: [
    { name: 'main', image: 'none', resources: { requests: { cpu: '1', [GPU]: '1' }, limits: { [GPU]: '1' } } },
  ],
})
const server: JsonObject = {
  terminationGracePeriodSeconds: 0,
  containers: [{ name: 'main', image: 'none', resources: { requests: { cpu: '1' } } }],
}

function tfJob(name: string): Manifest {
  const spec = {
    namespace: 'ours',
    queue: 'default',
    plugins: { tensorflow: [] },
    tasks: [
      { name: 'ps', replicas: 1, template: { spec: server } },
      { name: 'worker', replicas: 4, template: { spec: worker('flotilla') } },
    ],
  }
  return { apiVersion: 'flotilla.dev/v1alpha1', kind: 'BatchJob', metadata: { name, namespace: 'ours' }, spec }
}

test('kube-scheduler gives each job half of the GPUs, and both wait for ever', async () => {
  // One after the other: a, b, a, b, as two controllers that work at the same time make them.
  for (let i = 0; i < 4; i++)
    for (const job of ['a', 'b']) {
      const labels = { 'flotilla.dev/job': job, 'flotilla.dev/task': 'worker' }
      const metadata = { name: `${job}-worker-${i}`, namespace: 'kube', labels }
      await put(plane, { apiVersion: 'v1', kind: 'Pod', metadata, spec: worker('default-scheduler') })
    }
  const bound = (pods: readonly PodSeen[], job: string): number => pods.filter((pod) => pod.job === job && pod.node !== undefined).length // prettier-ignore
  await eventually(() => podsIn('kube'), (pods) => bound(pods, 'a') === 2 && bound(pods, 'b') === 2, 'two of each') // prettier-ignore
  // Nothing moves any more: it said of each of the others that they do not fit.
  const stuck = (items: readonly any[]): number => items.filter(({ status }) => status.conditions?.some((one: any) => one.type === 'PodScheduled' && one.reason === 'Unschedulable')).length // prettier-ignore
  await eventually(async () => (await read(plane, 'pods', '-n', 'kube')).items, (items) => stuck(items) === 4, 'four that fit nowhere') // prettier-ignore
  await plane.kubectl('delete', 'pods', '-n', 'kube', '--all', '--grace-period=0', '--force')
  await eventually(
    () => podsIn('kube'),
    (pods) => pods.length === 0,
    'all gone',
  )
}, 600_000)

test('ours runs one job, then the other, servers beside their workers, each with its place in the cluster', async () => {
  await using site = await liveSite(plane.kubeconfig, { set: 'seed' })
  await site.publish(told(tfJob('a'), tfJob('b')))
  const stop = site.run()
  await using room = await startRoom(plane, {}, { batch: site.agent.batch })
  try {
    const placed = (pods: readonly PodSeen[]): readonly PodSeen[] => pods.filter(({ node }) => node !== undefined)
    const evidence = (what: string): string => `${what}; the scheduler said: ${room.said.slice(-5).join(' | ')}`
    let first = ''
    for (const turn of [1, 2]) {
      const pods = await eventually(
        () => podsIn('ours'),
        (seen) => new Set(seen.map(({ job }) => job)).size >= 3 - turn && placed(seen).filter(({ job, phase }) => job !== first && phase === 'Running').length === 5, // prettier-ignore
        evidence(`job ${turn} as a whole`),
      )
      const running = placed(pods).filter(({ job }) => job !== first)
      const job = running[0]?.job ?? ''
      // All of one and nothing of the other: no GPU is held by a job that cannot run.
      expect(running.map(({ name }) => name).toSorted()).toEqual([`${job}-ps-0`, ...[0, 1, 2, 3].map((i) => `${job}-worker-${i}`)]) // prettier-ignore
      expect(new Set(running.filter(({ task }) => task === 'worker').map(({ node }) => node))).toEqual(new Set(['node-0', 'node-1'])) // prettier-ignore
      expect(running.find(({ task }) => task === 'ps')?.node).not.toBe('node-2')
      for (const pod of running) {
        const index = Number(pod.name.split('-').at(-1))
        expect(JSON.parse(pod.env)).toEqual({
          cluster: {
            ps: [`${job}-ps-0.${job}:2222`],
            worker: [0, 1, 2, 3].map((i) => `${job}-worker-${i}.${job}:2222`),
          },
          task: { type: pod.task, index },
        })
      }
      expect((await read(plane, 'service', job, '-n', 'ours')).spec.clusterIP).toBe('None')
      first = job
      const done = JSON.stringify({ status: { phase: 'Succeeded' } })
      for (const { name } of running)
        await plane.kubectl('patch', 'pod', name, '-n', 'ours', '--subresource=status', '--type=merge', '-p', done)
    }
    await eventually(
      async () => [...site.agent.batch.state().journal.jobs().values()].map(({ record }) => record.phase),
      (phases) => phases.join() === 'Completed,Completed',
      'both complete',
    )
  } finally {
    await stop()
  }
}, 600_000)
