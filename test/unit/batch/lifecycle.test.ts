import { describe, expect, test } from 'vitest'
import type { JsonObject } from '../../../src/core/model/json.ts'
import { jobSpec, Site, START_MS, task } from './site.ts'

function gang(replicas: number, spec: JsonObject = {}): Site {
  return new Site(jobSpec({ tasks: [task('w', replicas)], ...spec }))
}

const failed = (action: string, more: JsonObject = {}) => ({ policies: [{ event: 'PodFailed', action, ...more }] })

describe('a job goes its way', () => {
  test('pods have stable names and the job runs once so many run as it needs', () => {
    const site = gang(3, { minAvailable: 2 }).step()
    expect(site.names).toEqual(['train-w-0', 'train-w-1', 'train-w-2'])
    expect(site.run('train-w-0').step().phase).toBe('Pending')
    expect(site.run('train-w-1').step().phase).toBe('Running')
  })

  test('it completes when all ended and enough succeeded, and keeps its pods for their logs', () => {
    const site = gang(3, { minAvailable: 2 }).started()
    site.succeed('train-w-0', 'train-w-1').fail('train-w-2').step()
    expect(site.phase).toBe('Completed')
    expect(site.names).toHaveLength(3)
    const whole = gang(3).started().succeed('train-w-0', 'train-w-1').fail('train-w-2').step()
    expect(whole.record).toMatchObject({ phase: 'Failed', because: { cause: 'PodFailed' } })
  })

  test('where the gang is as large as its tasks need, each task must have what it needs', () => {
    const tasks = [task('a', 2, { minAvailable: 1 }), task('b', 2, { minAvailable: 1 })]
    const site = new Site(jobSpec({ minAvailable: 2, tasks })).started()
    site.succeed('train-a-0', 'train-a-1').fail('train-b-0').fail('train-b-1').step()
    expect(site.record.because?.says).toContain('0 of task b succeeded, 1 are needed')
  })

  test('where none needs to be there, one that succeeds is enough, and none is a failure', () => {
    const job = (): Site => new Site(jobSpec({ tasks: [task('main', 2, { minAvailable: 0 })] })).started()
    expect(job().fail('train-main-0').succeed('train-main-1').step().phase).toBe('Completed')
    expect(job().fail('train-main-0').fail('train-main-1').step().phase).toBe('Failed')
  })

  test('with minSuccess it completes at once, and what still runs is ended', () => {
    const site = gang(3, { minAvailable: 3, minSuccess: 1 }).started().succeed('train-w-0').step()
    expect(site.phase).toBe('Completed')
    expect(site.pod('train-w-1').terminating).toBe(true)
  })

  test('a pod that ended before anyone saw it run counts all the same', () => {
    expect(gang(1).step().succeed().step().phase).toBe('Completed')
  })

  test('a step on an unchanged site changes nothing and returns the very same record', () => {
    const site = gang(2).started()
    const before = site.record
    site.later(1_000).step()
    expect(site.record).toBe(before)
    expect(site.last).toMatchObject({ create: [], delete: [], notes: [] })
  })

  test('a power cut between journal and pods: the same pods are made, in the same version', () => {
    const site = gang(2).step([], true)
    expect(site.names).toEqual([])
    site.step().step()
    expect(site.made).toEqual(['train-w-0@1', 'train-w-1@1'])
  })

  test('a completed index is not run again though its pod is gone', () => {
    const site = gang(2).started().succeed('train-w-0').step()
    site.pods.delete('train-w-0')
    expect(site.step().step().names).toEqual(['train-w-1'])
    expect(site.succeed('train-w-1').step().phase).toBe('Completed')
  })

  test('a failed pod stays failed though it was deleted', () => {
    const site = gang(2).started().fail('train-w-0').step()
    site.pods.delete('train-w-0')
    expect(site.step().names).toEqual(['train-w-1'])
    expect(site.succeed('train-w-1').step().record.because?.says).toContain('exit code 1')
  })
})

const ACTIONS: Readonly<Record<string, readonly [string, string, string]>> = {
  'AbortJob stops it until it is resumed': ['AbortJob', 'Aborting', 'Aborted'],
  'TerminateJob ends it': ['TerminateJob', 'Terminating', 'Terminated'],
  'CompleteJob ends it well': ['CompleteJob', 'Completing', 'Completed'],
  'RestartJob begins again': ['RestartJob', 'Restarting', 'Pending'],
}

describe('actions', () => {
  for (const [says, [action, during, after]] of Object.entries(ACTIONS))
    test(says, () => {
      const site = gang(2, failed(action)).started().fail('train-w-0').step()
      expect(site.phase).toBe(during)
      expect(site.pod('train-w-1').terminating).toBe(true)
      expect(site.settle().step().settle().step().phase).toBe(after)
    })

  test('ResumeJob leads from Aborted back to a new beginning, at no cost', () => {
    const site = gang(2)
      .started()
      .step([{ id: '1', action: 'AbortJob' }])
      .settle()
      .step()
    expect(site.phase).toBe('Aborted')
    expect(site.last?.wait?.reason).toBe('Suspended')
    site
      .step([{ id: '2', action: 'ResumeJob' }])
      .settle()
      .wake()
      .wake()
      .run()
      .step()
    expect(site.phase).toBe('Running')
    expect(site.record.retries).toBe(0)
    expect(site.made.slice(2)).toEqual(['train-w-0@2', 'train-w-1@2'])
  })

  test('an event of a pod of an earlier version does not count', () => {
    const site = gang(2, failed('RestartJob')).started().fail('train-w-0').step()
    expect(site.phase).toBe('Restarting')
    site.fail('train-w-1').step()
    expect(site.record.retries).toBe(1)
  })

  test('RestartTask makes the failed task anew and leaves the others', () => {
    const policies = [{ event: 'PodFailed', action: 'RestartTask' }]
    const site = new Site(jobSpec({ tasks: [task('a', 2, { policies }), task('b', 1)] })).started()
    site.fail('train-a-0').step()
    expect([...site.names]).toEqual(['train-a-1', 'train-b-0'])
    expect(site.pod('train-a-1').terminating).toBe(true)
    site.settle().wake()
    expect(site.made.slice(3)).toEqual(['train-a-0@2', 'train-a-1@2'])
    expect(site.record.retries).toBe(1)
  })

  test('RestartPod makes that pod anew', () => {
    const site = gang(2, failed('RestartPod')).started().fail('train-w-0').step()
    expect(site.names).toEqual(['train-w-1'])
    expect(site.wake().names).toEqual(['train-w-0', 'train-w-1'])
    expect(site.pod('train-w-0').version).toBe(2)
  })

  test('a command is carried out once, however often it is given', () => {
    const site = gang(1).started()
    site
      .step([{ id: 'a', action: 'RestartJob' }])
      .settle()
      .step()
      .wake()
      .run()
      .step([{ id: 'a', action: 'RestartJob' }])
    expect(site.phase).toBe('Running')
    expect(site.record.requeues).toBe(1)
  })

  test('nothing moves a job that is over', () => {
    for (const action of ['ResumeJob', 'RestartJob', 'AbortJob', 'TerminateJob'] as const)
      expect(
        gang(1)
          .started()
          .succeed()
          .step()
          .step([{ id: action, action }]).phase,
      ).toBe('Completed')
  })
})

describe('policies', () => {
  test("the first that matches wins, a task's before the job's", () => {
    const own = { policies: [{ event: 'PodFailed', action: 'CompleteJob' }] }
    const spec = { tasks: [task('w', 1, own), task('v', 1)], policies: [{ event: '*', action: 'AbortJob' }] }
    expect(new Site(jobSpec(spec)).started().fail('train-w-0').step().phase).toBe('Completing')
    expect(new Site(jobSpec(spec)).started().fail('train-v-0').step().phase).toBe('Aborting')
  })

  test('an exit code matches that code alone', () => {
    const spec = {
      policies: [
        { exitCode: 3, action: 'AbortJob' },
        { event: 'PodFailed', action: 'TerminateJob' },
      ],
    }
    expect(gang(2, spec).started().fail('train-w-0', 3).step().phase).toBe('Aborting')
    expect(gang(2, spec).started().fail('train-w-0', 4).step().phase).toBe('Terminating')
  })

  test('TaskCompleted comes once, when all of a task has completed', () => {
    const policies = [{ event: 'TaskCompleted', action: 'CompleteJob' }]
    const site = new Site(jobSpec({ tasks: [task('w', 2, { policies }), task('ps', 1)] })).started()
    expect(site.succeed('train-w-0').step().phase).toBe('Running')
    expect(site.succeed('train-w-1').step().phase).toBe('Completing')
    expect(site.settle().step().record.because?.cause).toBe('Succeeded')
  })

  test('TaskFailed comes when its containers restarted in place too often', () => {
    const policies = [{ event: 'TaskFailed', action: 'AbortJob' }]
    const site = new Site(jobSpec({ tasks: [task('w', 2, { policies, maxRetry: 4 })] })).started()
    expect(site.set('train-w-0', { restarts: 3 }).step().phase).toBe('Running')
    expect(site.set('train-w-1', { restarts: 1 }).step().phase).toBe('Aborting')
  })

  test('Unknown comes when nobody knows of a pod', () => {
    const site = gang(2, { policies: [{ event: 'Unknown', action: 'AbortJob' }] }).started()
    expect(site.set('train-w-0', { phase: 'Unknown' }).step().phase).toBe('Aborting')
  })

  test('PodPending acts after its timeout, and not if the pod runs by then', () => {
    const spec = { policies: [{ event: 'PodPending', action: 'TerminateJob', timeout: '5m' }] }
    const site = gang(1, spec).step().step()
    expect(site.last?.nextAtMs).toBe(START_MS + 300_000)
    expect(site.later(299_999).step().phase).toBe('Pending')
    expect(site.later(1).step().phase).toBe('Terminating')
    expect(gang(1, spec).step().later(200_000).run().step().later(600_000).step().phase).toBe('Running')
  })

  test('* is not PodPending unless it gives the pod time', () => {
    expect(
      gang(1, { policies: [{ event: '*', action: 'AbortJob' }] })
        .step()
        .step().phase,
    ).toBe('Pending')
  })

  test('a timeout lets an eviction cure itself', () => {
    const spec = { policies: [{ event: 'PodEvicted', action: 'AbortJob', timeout: '1m' }] }
    const cured = gang(2, spec).started().evict('train-w-0').step().wake().run().step().later(120_000).step()
    expect(cured.phase).toBe('Running')
    const not = gang(2, spec).started().evict('train-w-0').step().wake().later(120_000).step()
    expect(not.phase).toBe('Aborting')
  })
})

describe('retries', () => {
  test('a template that fails at once: three tries with growing pauses, then Failed', () => {
    const site = gang(1, failed('RestartJob')).step()
    const pauses: number[] = []
    for (let i = 0; i < 50 && site.phase !== 'Failed'; i++) {
      if (site.pods.has('train-w-0') && site.pod('train-w-0').phase === 'Pending') site.fail('train-w-0')
      const before = site.nowMs
      site.step().settle()
      if (site.pods.size === 0) site.wake()
      if (site.nowMs > before) pauses.push(site.nowMs - before)
    }
    expect(site.phase).toBe('Failed')
    expect(site.made).toEqual(['train-w-0@1', 'train-w-0@2', 'train-w-0@3'])
    expect(pauses).toEqual([10_000, 20_000])
    expect(site.record.because).toMatchObject({ cause: 'RetriesUsedUp' })
    expect(site.notes.at(-1)).toContain('3 of 3')
  })

  test('maxRetry 0 fails at the first failure and keeps the pod for its log', () => {
    const site = gang(1, { ...failed('RestartJob'), maxRetry: 0 })
      .started()
      .fail('train-w-0')
      .step()
    expect(site.phase).toBe('Failed')
    expect(site.names).toEqual(['train-w-0'])
  })
})

describe('what is done to a job costs it nothing', () => {
  const cases: Readonly<Record<string, (site: Site) => Site>> = {
    'an eviction with DisruptionTarget': (site) => site.evict('train-w-0'),
    'a pod somebody deleted': (site) => {
      site.pods.delete('train-w-0')
      return site
    },
    'a pod that a deletion ended': (site) =>
      site.set('train-w-0', { terminating: true, phase: 'Failed', exitCode: 143 }),
    'a refusal for cpu': (site) => site.set('train-w-0', { phase: 'Failed', reason: 'OutOfcpu' }),
    'a refusal for a device': (site) => site.set('train-w-0', { phase: 'Failed', reason: 'OutOfnvidia.com/gpu' }),
    'a refusal for node affinity': (site) => site.set('train-w-0', { phase: 'Failed', reason: 'NodeAffinity' }),
    'an admission error': (site) => site.set('train-w-0', { phase: 'Failed', reason: 'UnexpectedAdmissionError' }),
    'a node that vanished': (site) => site.set('train-w-0', { nodeGone: true }),
    'a node that shut down': (site) => site.set('train-w-0', { phase: 'Failed', reason: 'NodeShutdown' }),
  }
  for (const [says, happen] of Object.entries(cases))
    test(`${says}: made anew, no retry`, () => {
      const site = happen(gang(2, failed('AbortJob')).started())
        .step()
        .settle()
        .wake()
      expect(site.record).toMatchObject({ phase: 'Running', retries: 0 })
      expect(site.pod('train-w-0')).toMatchObject({ version: 2, phase: 'Pending' })
    })

  test('a kubelet that refuses again and again is asked ever more rarely', () => {
    const site = gang(1).step()
    const waits: number[] = []
    for (let i = 0; i < 8; i++) {
      site.set('train-w-0', { phase: 'Failed', reason: 'OutOfcpu' }).step()
      const before = site.nowMs
      site.wake()
      waits.push(site.nowMs - before)
    }
    expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000])
    expect(site.record.retries).toBe(0)
  })

  test('a job that lost its only pod is Pending again, and its time starts anew', () => {
    const site = gang(1, { timeLimit: '1h' }).started().later(3_000_000).evict('train-w-0').step()
    expect(site.phase).toBe('Pending')
    site.wake().run().step().later(3_000_000).step()
    expect(site.phase).toBe('Running')
  })

  test('an exit code of 0 while it is asked to go is a success', () => {
    expect(gang(1).started().set('train-w-0', { terminating: true, phase: 'Succeeded' }).step().phase).toBe('Completed')
  })
})

describe('gangs', () => {
  test('one that is not whole in time gives everything back before anything else', () => {
    const site = gang(4, { gangTimeout: '5m' }).step().run('train-w-0', 'train-w-1').step()
    expect(site.later(299_000).step().phase).toBe('Pending')
    site.later(1_000).step()
    expect(site.phase).toBe('Restarting')
    expect(site.names.filter((name) => !site.pod(name).terminating)).toEqual([])
    site.settle().wake().wake()
    expect(site.record).toMatchObject({ phase: 'Pending', retries: 0, requeues: 1 })
    expect(site.made.slice(4)).toHaveLength(4)
  })

  test('every pod that comes to run gives it time again', () => {
    const site = gang(3, { gangTimeout: '5m' }).step().run('train-w-0').step()
    site.later(250_000).run('train-w-1').step().later(250_000).step()
    expect(site.phase).toBe('Pending')
    expect(site.run().step().phase).toBe('Running')
    expect(site.record.gang).toBeNull()
  })

  test('a node that vanishes in the middle: the rest waits for the missing one, then goes back whole', () => {
    const site = gang(2, { gangTimeout: '5m' }).started().set('train-w-1', { nodeGone: true }).step().wake()
    expect(site.phase).toBe('Running')
    expect(site.pod('train-w-1').version).toBe(2)
    site.later(300_000).step()
    expect(site.record).toMatchObject({ phase: 'Restarting', because: { cause: 'GangTimeout' } })
  })

  test('a task waits for the ones it depends on, and the gang is no larger than what is made', () => {
    const site = new Site(jobSpec({ tasks: [task('ps', 1), task('w', 2, { dependsOn: { name: ['ps'] } })] })).step()
    expect(site.names).toEqual(['train-ps-0'])
    site.run().step()
    expect(site.names).toEqual(['train-ps-0', 'train-w-0', 'train-w-1'])
    expect(site.run().step().step().phase).toBe('Running')
  })
})

describe('time', () => {
  test('the time limit is kept, counted from the start, also over a power cut', () => {
    const site = gang(2, { timeLimit: '1h' }).later(500_000).started()
    expect(site.last?.nextAtMs).toBe(site.nowMs + 3_600_000)
    expect(site.later(3_599_999).step().phase).toBe('Running')
    expect(site.later(1).step().record.because?.cause).toBe('TimeLimit')
    expect(site.settle().step().phase).toBe('Terminated')
  })

  test('a deadline by the wall clock of the site ends it, running or not', () => {
    const site = gang(1, { deadline: '05:00' })
    // 13:00 in Copenhagen: 05:00 is tomorrow, 04:00 UTC.
    expect(site.record.deadlineMs).toBe(Date.UTC(2026, 0, 6, 4))
    site.gate = { open: false, wait: { reason: 'Dependency', detail: 'x' } }
    site
      .step()
      .later(16 * 3_600_000)
      .step()
    expect(site.record).toMatchObject({ phase: 'Terminated', because: { cause: 'Deadline' } })
  })

  test('some time after its end its pods go, and it is never run again', () => {
    const site = gang(1, { ttlSecondsAfterFinished: 60 }).started().succeed().step()
    expect(site.last?.nextAtMs).toBe(START_MS + 60_000)
    site.wake()
    expect(site.names).toEqual([])
    expect(site.step().record).toMatchObject({ phase: 'Completed', expired: true })
    expect(site.last?.create).toEqual([])
  })
})

describe('queues and gates', () => {
  test('a closed gate keeps a new job waiting, with its reason, and leaves one that runs alone', () => {
    const wait = { reason: 'Hold', detail: 'queue night is held' } as const
    const site = gang(2)
    site.around = { queue: { open: false, wait } }
    expect(site.step().names).toEqual([])
    expect(site.last?.wait).toEqual(wait)
    site.around = {}
    site.started()
    site.around = { queue: { open: false, wait } }
    expect(site.evict('train-w-0').step().wake().names).toEqual(['train-w-0', 'train-w-1'])
    expect(site.phase).toBe('Running')
  })

  test('a drained queue takes its jobs back to waiting, at no cost', () => {
    const site = gang(2).started()
    site.around = { drain: true, queue: { open: false, wait: { reason: 'Hold', detail: 'drained' } } }
    site.step().settle().step().settle().step()
    expect(site.record).toMatchObject({ phase: 'Pending', retries: 0, admitted: false })
    expect(site.names).toEqual([])
    site.around = {}
    expect(site.step().wake().names).toHaveLength(2)
  })
})

describe('arrays', () => {
  const array = (spec: JsonObject = {}) => new Site(jobSpec({ array: { range: '0-7%3' }, ...spec }))

  test('so many at once as they say, in order', () => {
    const site = array().started()
    expect(site.names).toEqual(['train-main-0', 'train-main-1', 'train-main-2'])
    site.succeed('train-main-1').step()
    expect(site.names).toContain('train-main-3')
    expect(site.record.done).toEqual({ main: '1' })
  })

  test('all must succeed', () => {
    const site = array({ array: { range: '1,3' } })
      .started()
      .succeed('train-main-1')
      .fail('train-main-3')
      .step()
    expect(site.phase).toBe('Failed')
    expect(
      array({ array: { range: '1,3' } })
        .started()
        .succeed()
        .step().phase,
    ).toBe('Completed')
  })

  test('each element has its own retries', () => {
    const site = array({ ...failed('RestartPod'), array: { range: '0-3' } }).started()
    for (let i = 0; i < 4; i++) site.fail(`train-main-${i}`)
    site.step().wake()
    expect(site.names).toHaveLength(4)
    expect(site.record.retries).toBe(0)
    for (let i = 0; i < 9; i++) {
      if (site.pods.get('train-main-0')?.phase === 'Pending') site.fail('train-main-0')
      site.step().wake()
    }
    expect(site.made.filter((name) => name.startsWith('train-main-0@'))).toHaveLength(3)
    expect(site.record.slots['main/0']).toMatchObject({ state: 'failed', because: { cause: 'RetriesUsedUp' } })
    expect(site.record.slots['main/1']?.state).toBe('pending')
  })

  test('each element has its own time', () => {
    const site = array({ timeLimit: '1h', array: { range: '0-1%1' } })
      .started()
      .later(3_600_000)
      .step()
    expect(site.record.slots['main/0']).toMatchObject({ state: 'failed', because: { cause: 'TimeLimit' } })
    site.settle().step().run().step().succeed('train-main-1').step()
    expect(site.record).toMatchObject({ phase: 'Failed', done: { main: '1' } })
  })

  test('a restart of the whole keeps what has completed', () => {
    const site = array({ array: { range: '0-1' } })
      .started()
      .succeed('train-main-0')
      .step()
    site
      .step([{ id: '1', action: 'RestartJob' }])
      .settle()
      .wake()
      .settle()
      .wake()
    expect(site.made).toEqual(['train-main-0@1', 'train-main-1@1', 'train-main-1@2'])
  })

  test('one element can be cancelled', () => {
    const site = array({ array: { range: '0-1' } }).started()
    site.step([{ id: '1', action: 'TerminateJob', target: { task: 'main', index: 1 } }])
    expect(site.phase).toBe('Running')
    expect(site.pod('train-main-1').terminating).toBe(true)
    expect(site.settle().succeed('train-main-0').step().record.because?.cause).toBe('Cancelled')
  })
})
