import { describe, expect, test } from 'vitest'
import type { JsonObject } from '../../../src/core/model/json.ts'
import type { Manifest } from '../../../src/core/model/object.ts'
import { batchJob, type BatchSite, batchSite, task } from './batch-site.ts'
import { SIGNAL } from './site.ts'

const HOUR = 3_600_000

interface Shown {
  readonly name: string
  /** By which others find it. */
  readonly host: string
  readonly env: Readonly<Record<string, string>>
  readonly ports: readonly number[]
  /** Where each ConfigMap is mounted. */
  readonly mounts: Readonly<Record<string, string>>
}

interface PodSpec {
  readonly hostname?: string
  readonly subdomain?: string
  readonly volumes?: readonly { readonly name: string; readonly configMap?: { readonly name: string } }[]
  readonly containers: readonly {
    readonly env?: readonly { readonly name: string; readonly value?: string }[]
    readonly ports?: readonly { readonly containerPort: number }[]
    readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string }[]
  }[]
}

async function listOf(site: BatchSite, kind: string): Promise<readonly Manifest[]> {
  return (await site.cluster.list({ apiVersion: 'v1', kind, namespace: 'shop' }, SIGNAL)).items
}

async function shownOf(site: BatchSite): Promise<readonly Shown[]> {
  return (await listOf(site, 'Pod')).map(({ metadata, spec }) => {
    const { hostname, subdomain, volumes = [], containers } = spec as unknown as PodSpec
    const { env = [], ports = [], volumeMounts = [] } = containers[0] ?? {}
    const mapOf = (volume: string): string => volumes.find(({ name }) => name === volume)?.configMap?.name ?? 'none'
    return {
      name: metadata.name,
      host: `${hostname}.${subdomain}`,
      env: Object.fromEntries(env.flatMap(({ name, value }) => (value === undefined ? [] : [[name, value]]))),
      ports: ports.map(({ containerPort }) => containerPort),
      mounts: Object.fromEntries(volumeMounts.map(({ name, mountPath }) => [mountPath, mapOf(name)])),
    }
  })
}

/** What stands beside the pods: the headless Service of the job, and its ConfigMap. */
async function besideOf(site: BatchSite): Promise<{ readonly services: JsonObject; readonly maps: JsonObject }> {
  const services = (await listOf(site, 'Service')).map(({ metadata, spec }) => [metadata.name, spec])
  const maps = (await listOf(site, 'ConfigMap'))
    .filter(({ metadata }) => metadata.name !== 'kube-root-ca.crt')
    .map(({ metadata, data }) => [metadata.name, data])
  return { services: Object.fromEntries(services) as JsonObject, maps: Object.fromEntries(maps) as JsonObject }
}

const slow = { sim: { controllers: { delays: { jobMs: HOUR } } } } as const

describe('what frameworks are given at a site', () => {
  test('pytorch: one address for all, a rank for each, and names that lead to the pods', async () => {
    const site = batchSite(slow)
    await site.publish(batchJob('train', { tasks: [task('master'), task('worker', 2)], plugins: { pytorch: [] } }))
    await site.pass(3_000)
    const pods = await shownOf(site)
    expect(pods.map(({ name, host, env }) => `${name} ${host} ${env['RANK']}`)).toEqual([
      'train-master-0 train-master-0.train 0',
      'train-worker-0 train-worker-0.train 1',
      'train-worker-1 train-worker-1.train 2',
    ])
    for (const { env, ports } of pods) {
      expect(env).toMatchObject({ MASTER_ADDR: 'train-master-0.train', MASTER_PORT: '23456', WORLD_SIZE: '3' })
      expect(ports).toEqual([23_456])
    }
    const { services, maps } = await besideOf(site)
    expect(services['train']).toMatchObject({
      clusterIP: 'None',
      selector: { 'flotilla.dev/job': 'train' },
      publishNotReadyAddresses: true,
    })
    expect(maps['train-svc']).toMatchObject({
      VC_MASTER_HOSTS: 'train-master-0.train',
      VC_WORKER_HOSTS: 'train-worker-0.train,train-worker-1.train',
      VC_WORKER_NUM: '2',
    })
  })

  test('pytorch: by the names and the port that the job says; what a template sets itself stands', async () => {
    const site = batchSite(slow)
    const own = task('hand', 1)
    const template = { spec: { schedulerName: 'default-scheduler', containers: [{ name: 'main', image: 'task:1', env: [{ name: 'MASTER_ADDR', value: 'me' }] }] } } // prettier-ignore
    await site.publish(
      batchJob('train', {
        tasks: [task('head'), { ...own, template }],
        plugins: { pytorch: ['--master=head', '--worker=hand', '--port=29500'] },
      }),
    )
    await site.pass(3_000)
    const [hand, head] = await shownOf(site)
    expect(head?.env).toMatchObject({ MASTER_ADDR: 'train-head-0.train', MASTER_PORT: '29500', RANK: '0' })
    expect(hand?.env).toMatchObject({ MASTER_ADDR: 'me', MASTER_PORT: '29500', RANK: '1', WORLD_SIZE: '2' })
  })

  test('mpi: the master has the host file of the workers, and the workers have a port to be reached at', async () => {
    const site = batchSite(slow)
    await site.publish(
      batchJob('solve', { tasks: [task('master'), task('worker', 2)], plugins: { mpi: ['--slots=4'] } }),
    )
    await site.pass(3_000)
    const [master, first, second] = await shownOf(site)
    expect(master).toMatchObject({
      host: 'solve-master-0.solve',
      env: {
        MPI_HOST: 'solve-worker-0.solve,solve-worker-1.solve',
        OMPI_MCA_orte_default_hostfile: '/etc/mpi/hostfile',
        PRTE_MCA_prte_default_hostfile: '/etc/mpi/hostfile',
        HYDRA_HOST_FILE: '/etc/mpi/hostfile',
      },
      mounts: { '/etc/mpi': 'solve-svc', '/etc/volcano': 'solve-svc' },
    })
    expect(master?.env).not.toHaveProperty('OMPI_MCA_plm')
    for (const worker of [first, second]) {
      expect(worker?.ports).toEqual([22])
      expect(worker?.env).toEqual({})
      expect(worker?.mounts).not.toHaveProperty('/etc/mpi')
    }
    const { services, maps } = await besideOf(site)
    expect(services['solve']).toMatchObject({ clusterIP: 'None', selector: { 'flotilla.dev/job': 'solve' } })
    expect(maps['solve-svc']).toMatchObject({
      hostfile: 'solve-worker-0.solve slots=4\nsolve-worker-1.solve slots=4\n',
    })
  })

  test('a pod that is made anew has the rank and the name that it had', async () => {
    const site = batchSite(slow)
    await site.publish(batchJob('train', { tasks: [task('master'), task('worker', 2)], plugins: { pytorch: [] } }))
    await site.pass(3_000)
    const before = await shownOf(site)
    const ref = { group: '', kind: 'Pod', namespace: 'shop', name: 'train-worker-1' }
    await site.cluster.delete({ apiVersion: 'v1', kind: 'Pod' }, ref, { gracePeriodSeconds: 0 }, SIGNAL)
    await site.pass(5 * 60_000)
    expect(site.made.filter((name) => name === 'train-worker-1')).toHaveLength(2)
    expect(await shownOf(site)).toEqual(before)
  })

  test('a framework without a task that leads is refused by its name, and nothing is made', async () => {
    const site = batchSite()
    await site.publish(batchJob('train', { tasks: [task('worker', 2)], plugins: { mpi: [] } }))
    await site.pass(3_000)
    expect(site.made).toEqual([])
    const seen = site.agent.status().workloads.find(({ workload }) => workload === 'batchjob.train')
    expect(seen?.objects[0]?.message).toContain('has no task master')
  })
})
