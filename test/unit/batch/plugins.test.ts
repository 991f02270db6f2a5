import { describe, expect, test } from 'vitest'
import { textOf } from '../../../src/core/batch/fields.ts'
import { schedulerJob } from '../../../src/core/batch/gang.ts'
import { jobObjects, podManifest } from '../../../src/core/batch/manifests.ts'
import { readPod } from '../../../src/core/batch/pods.ts'
import { isObject, type JsonObject } from '../../../src/core/model/json.ts'
import { jobSpec, Site, task } from './site.ts'

function envOf(site: Site, name: string, index: number): Readonly<Record<string, string>> {
  const pod = podManifest(site.spec, site.record, { name: `train-${name}-${index}`, task: name, index, version: 1 })
  const spec = pod['spec']
  const [container] = isObject(spec) && Array.isArray(spec['containers']) ? spec['containers'] : []
  const list = isObject(container) && Array.isArray(container['env']) ? container['env'].filter(isObject) : []
  return Object.fromEntries(list.map(({ name, value }) => [textOf(name) ?? '', textOf(value) ?? 'from a map']))
}

const tf = (): Site =>
  new Site(jobSpec({ tasks: [task('ps', 1), task('worker', 2)], plugins: { tensorflow: [], env: [] } }))

describe('plugins', () => {
  test('tensorflow: every pod knows the cluster and its own place in it', () => {
    expect(JSON.parse(envOf(tf(), 'worker', 1)['TF_CONFIG'] ?? '')).toEqual({
      cluster: { ps: ['train-ps-0.train:2222'], worker: ['train-worker-0.train:2222', 'train-worker-1.train:2222'] },
      task: { type: 'worker', index: 1 },
    })
  })

  test('tensorflow: roles by other names, and none for a job of one pod', () => {
    const named = jobSpec({
      tasks: [task('server', 1), task('w', 1)],
      plugins: { tensorflow: ['--ps=server', '--worker=w', '--port=9'] },
    })
    expect(JSON.parse(envOf(new Site(named), 'server', 0)['TF_CONFIG'] ?? '')).toMatchObject({
      cluster: { ps: ['train-server-0.train:9'], worker: ['train-w-0.train:9'] },
      task: { type: 'ps', index: 0 },
    })
    expect(envOf(new Site(jobSpec({ plugins: { tensorflow: [] } })), 'main', 0)['TF_CONFIG']).toBeUndefined()
  })

  test("pytorch: ranks after the master's", () => {
    const site = new Site(jobSpec({ tasks: [task('master', 1), task('worker', 3)], plugins: { pytorch: [] } }))
    expect(envOf(site, 'worker', 2)).toMatchObject({
      MASTER_ADDR: 'train-master-0.train',
      MASTER_PORT: '23456',
      RANK: '3',
      WORLD_SIZE: '4',
    })
    expect(envOf(site, 'master', 0)['RANK']).toBe('0')
  })

  test('mpi: the master has the host file; alone, it looks for nobody', () => {
    const site = new Site(jobSpec({ tasks: [task('master', 1), task('worker', 2)], plugins: { mpi: ['--slots=4'] } }))
    const [hosts] = jobObjects(site.spec, site.record)
    expect(hosts?.['data']).toMatchObject({ hostfile: 'train-worker-0.train slots=4\ntrain-worker-1.train slots=4\n' })
    expect(envOf(site, 'master', 0)).toMatchObject({ MPI_HOST: 'train-worker-0.train,train-worker-1.train' })
    expect(envOf(site, 'worker', 0)['MPI_HOST']).toBeUndefined()
    const alone = new Site(jobSpec({ tasks: [task('master', 1)], plugins: { mpi: [] } }))
    expect(envOf(alone, 'master', 0)).toMatchObject({ OMPI_MCA_plm: 'isolated', MPI_HOST: 'train-master-0.train' })
  })

  test('svc: a headless Service, the lists of hosts, names for the pods', () => {
    const site = tf()
    const [hosts, service] = jobObjects(site.spec, site.record)
    expect(hosts).toMatchObject({
      metadata: { name: 'train-svc' },
      data: {
        'worker.host': 'train-worker-0.train\ntrain-worker-1.train',
        VC_PS_HOSTS: 'train-ps-0.train',
        VC_WORKER_NUM: '2',
      },
    })
    expect(service).toMatchObject({
      metadata: { name: 'train' },
      spec: { clusterIP: 'None', selector: { 'flotilla.dev/job': 'train' } },
    })
    const pod = podManifest(site.spec, site.record, { name: 'train-ps-0', task: 'ps', index: 0, version: 1 })
    expect(pod['spec']).toMatchObject({
      hostname: 'train-ps-0',
      subdomain: 'train',
      schedulerName: 'flotilla',
      restartPolicy: 'Never',
    })
  })

  test('env and arrays tell the index; what the template sets itself stays', () => {
    expect(envOf(tf(), 'worker', 1)).toMatchObject({ VC_TASK_INDEX: '1', VK_TASK_INDEX: '1' })
    const env = [{ name: 'SLURM_ARRAY_TASK_ID', value: 'mine' }]
    const template = { spec: { containers: [{ name: 'main', image: 'i', env }] } }
    const site = new Site(jobSpec({ array: { range: '2-4' }, tasks: [task('main', 1, { template })] }))
    expect(envOf(site, 'main', 3)).toMatchObject({
      SLURM_ARRAY_TASK_ID: 'mine',
      SLURM_ARRAY_TASK_COUNT: '3',
      FLOTILLA_ARRAY_INDEX: '3',
    })
  })

  test('without plugins nothing is made beside the pods', () => {
    const site = new Site(jobSpec())
    expect(jobObjects(site.spec, site.record)).toEqual([])
  })
})

test('a pod that was made is read back as the one that was planned', () => {
  const site = tf()
  const pod = podManifest(site.spec, site.record, { name: 'train-worker-1', task: 'worker', index: 1, version: 7 })
  const status: JsonObject = {
    phase: 'Failed',
    conditions: [{ type: 'DisruptionTarget', status: 'True' }],
    containerStatuses: [
      { restartCount: 2, state: { terminated: { exitCode: 143, finishedAt: '2026-01-05T12:00:00Z' } } },
    ],
  }
  expect(readPod({ ...pod, status })).toMatchObject({
    name: 'train-worker-1', jobUid: 'job-1', task: 'worker', index: 1, version: 7, phase: 'Failed', disrupted: true, exitCode: 143, restarts: 2,
  }) // prettier-ignore
  expect(readPod({ metadata: { name: 'other' } })).toBeUndefined()
})

test('the scheduler is told of the gang as it is now: without what completed, without what waits its turn', () => {
  const site = new Site(
    jobSpec({ timeLimit: '1h', tasks: [task('ps', 1), task('w', 2, { dependsOn: { name: ['ps'] } })] }),
  ).step()
  expect(schedulerJob(site.spec, site.record)).toMatchObject({
    minMember: 1,
    minTaskMember: { ps: 1 },
    timeLimitMs: 3_600_000,
    queue: 'night',
  })
  site.run().step().step()
  expect(schedulerJob(site.spec, site.record)).toMatchObject({ minMember: 3, minTaskMember: { ps: 1, w: 2 } })
  site.run().step().succeed('train-w-0').step()
  expect(schedulerJob(site.spec, site.record)).toMatchObject({ minMember: 2, minTaskMember: { ps: 1, w: 1 } })
  const array = new Site(jobSpec({ array: { range: '0-3' } }))
  expect(schedulerJob(array.spec, array.record).minMember).toBe(0)
})
