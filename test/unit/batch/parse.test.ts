import { describe, expect, test } from 'vitest'
import { formatRanges, parseArray, readRanges } from '../../../src/core/batch/arrays.ts'
import { dependencyCircles, dependencyGate, factOf, JobFacts } from '../../../src/core/batch/dependencies.ts'
import { parseBatchJob } from '../../../src/core/batch/parse.ts'
import { parseBatchQueue, queueGate, QueueTree, withQueueLimits } from '../../../src/core/batch/queue.ts'
import type { JobPhase } from '../../../src/core/batch/types.ts'
import type { Json, JsonObject } from '../../../src/core/model/json.ts'
import { jobDocument, jobSpec, Site, START_MS, task } from './site.ts'

const asking = (cpu: Json): JsonObject =>
  task('w', 1, { template: { spec: { containers: [{ name: 'm', image: 'i', resources: { requests: { cpu } } }] } } })

const REFUSED: Readonly<Record<string, readonly [JsonObject, string]>> = {
  'two tasks of one name': [{ tasks: [task('w', 1), task('w', 2)] }, 'two tasks of the name w'],
  'no task': [{ tasks: [] }, 'is empty'],
  'more members than pods': [{ minAvailable: 3, tasks: [task('w', 2)] }, '3 is above the number of pods, 2'],
  'a task that can never be whole': [{ tasks: [task('w', 2, { minAvailable: 3 })] }, 'above the replicas, 2'],
  'minSuccess above all pods': [{ minSuccess: 2 }, 'never be reached'],
  'tasks in a circle': [
    { tasks: [task('a', 1, { dependsOn: { name: ['b'] } }), task('b', 1, { dependsOn: { name: ['a'] } })] },
    'a -> b -> a',
  ],
  'a task that waits for itself': [{ tasks: [task('a', 1, { dependsOn: { name: ['a'] } })] }, 'depends on itself'],
  'a task that waits for nobody known': [
    { tasks: [task('a', 1, { dependsOn: { name: ['z'] } })] },
    'no task of this job',
  ],
  'an unknown event': [{ policies: [{ event: 'PodDied', action: 'AbortJob' }] }, '"PodDied" is no event'],
  'an unknown action': [{ policies: [{ event: 'PodFailed', action: 'Explode' }] }, '"Explode" is no action'],
  'a policy for nothing': [{ policies: [{ action: 'AbortJob' }] }, 'needs an event or an exitCode'],
  'an event and an exit code': [{ policies: [{ event: 'PodFailed', exitCode: 1, action: 'AbortJob' }] }, 'both'],
  'exit code 0': [{ policies: [{ exitCode: 0, action: 'AbortJob' }] }, 'no failure'],
  'the same event twice': [
    {
      policies: [
        { event: 'PodFailed', action: 'AbortJob' },
        { event: 'PodFailed', action: 'RestartJob' },
      ],
    },
    'PodFailed twice',
  ],
  'PodPending at once': [{ policies: [{ event: 'PodPending', action: 'AbortJob' }] }, 'needs a timeout'],
  'a job that waits for itself': [{ dependency: [{ afterok: ['train'] }] }, 'this job itself'],
  'a gang as an array': [{ array: { range: '0-3' }, tasks: [task('w', 2)] }, 'an array element is one pod'],
  'too many pods': [{ tasks: [task('w', 10_001)] }, '10000 is the limit'],
  'a deadline in words': [{ deadline: 'soon' }, 'no time of day'],
  'a framework without its leader': [{ plugins: { pytorch: [] } }, 'has no task master'],
  'a negative request': [{ tasks: [asking('-1')] }, '-1 is negative'],
  'an unknown unit': [{ tasks: [asking('5 apples')] }, '"5 apples" is no quantity'],
  'a request that is a list': [{ tasks: [asking([])] }, '[] is no quantity'],
  'an unknown flag': [{ plugins: { svc: ['--colour=red'] } }, 'does not know --colour'],
}

describe('jobs are refused with all their reasons', () => {
  for (const [says, [spec, because]] of Object.entries(REFUSED))
    test(says, () => {
      const parsed = parseBatchJob(jobDocument(spec))
      expect(parsed.ok ? 'taken' : parsed.refused.map((one) => one.because).join('; ')).toContain(because)
    })

  test("what is left out has Volcano's defaults", () => {
    const spec = jobSpec({ tasks: [task('ps', 1), task('w', 4)] })
    expect(spec).toMatchObject({
      minAvailable: 5,
      maxRetry: 3,
      minSuccess: null,
      preemptible: false,
      namespace: 'default',
    })
    expect(spec.tasks[1]).toMatchObject({ minAvailable: 4 })
  })
})

describe('arrays', () => {
  const taken: Readonly<Record<string, readonly [readonly number[], number | null]>> = {
    '0-7%4': [[0, 1, 2, 3, 4, 5, 6, 7], 4],
    '1,3,5-9': [[1, 3, 5, 6, 7, 8, 9], null],
    '0-15:4': [[0, 4, 8, 12], null],
    '5,1,1-2': [[1, 2, 5], null],
  }
  for (const [text, [indexes, maxParallel]] of Object.entries(taken))
    test(`${text} is read`, () => expect(parseArray(text)).toEqual({ ok: true, array: { indexes, maxParallel } }))
  for (const text of ['', 'a', '7-0', '0-7%0', '0-7%', '0-7%2%3', '1,,2', '0-7:0', '-1', '0-99999', '1000000', '1.5'])
    test(`"${text}" is refused`, () => expect(parseArray(text).ok).toBe(false))
  test('ranges are written as short as can be and read back', () => {
    expect(formatRanges([9, 1, 2, 3, 7])).toBe('1-3,7,9')
    expect([...readRanges('1-3,7,9')]).toEqual([1, 2, 3, 7, 9])
  })
})

describe('dependencies', () => {
  const gate = (dependency: readonly JsonObject[], phase: JobPhase | undefined) => {
    const spec = jobSpec({ dependency })
    const { record } = new Site(spec)
    const fact = { namespace: 'default', name: 'first', uid: 'u', group: 'train', createdMs: START_MS - 1 }
    const facts = new JobFacts(phase === undefined ? [] : [{ ...fact, phase }])
    const found = dependencyGate(spec, record, facts, new Map())
    return found.open ? 'open' : `${found.never === true ? 'never' : 'wait'}: ${found.wait.detail}`
  }
  const cases: readonly (readonly [string, JobPhase | undefined, string])[] = [
    ['afterok', 'Completed', 'open'],
    ['afterok', 'Failed', 'never'],
    ['afterok', 'Running', 'wait: afterok:first, which is Running'],
    ['afterok', 'Aborted', 'wait'],
    ['afternotok', 'Failed', 'open'],
    ['afternotok', 'Terminated', 'open'],
    ['afternotok', 'Completed', 'never'],
    ['afterany', 'Failed', 'open'],
    ['afterany', 'Pending', 'wait'],
    ['afterany', undefined, 'wait: afterany:first, which is not on this site'],
  ]
  for (const [kind, phase, expected] of cases)
    test(`${kind} of a job that is ${phase ?? 'not there'}: ${expected}`, () => {
      expect(gate([{ [kind]: ['first'] }], phase)).toMatch(new RegExp(`^${expected}`))
    })
  test('singleton waits for an older job of its name', () => {
    expect(gate([{ singleton: true }], 'Running')).toContain('singleton: first is Running')
    expect(gate([{ singleton: true }], 'Failed')).toBe('open')
  })
  test('a circle of jobs never starts and says so, one that waits for it is only waiting', () => {
    const after = (name: string, ...jobs: readonly string[]) => jobSpec({ dependency: [{ afterok: jobs }] }, name)
    const specs = [
      after('a', 'b'),
      after('b', 'c'),
      after('c', 'a'),
      after('d', 'a'),
      after('e', 'z'),
      jobSpec({}, 'z'),
    ]
    const circles = dependencyCircles(specs)
    expect([...circles.keys()].toSorted()).toEqual(['default/a', 'default/b', 'default/c'])
    expect(circles.get('default/a')).toContain('a -> b -> c -> a')
    const { record } = new Site(specs[0] as (typeof specs)[0])
    expect(
      dependencyGate(
        specs[0] as (typeof specs)[0],
        record,
        new JobFacts([factOf(specs[0] as (typeof specs)[0], record)]),
        circles,
      ),
    ).toMatchObject({ never: true })
  })
})

describe('queues', () => {
  const queue = (name: string, spec: JsonObject = {}) => {
    const parsed = parseBatchQueue({ metadata: { name }, spec })
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.refused))
    return parsed.value
  }
  const says = (spec: JsonObject, ...queues: readonly ReturnType<typeof queue>[]) => {
    const { queue: gate, drain } = queueGate(jobSpec({ queue: 'night', ...spec }), new QueueTree(queues))
    return gate.open ? 'open' : `${gate.wait.reason}: ${gate.wait.detail}${drain ? ' (drain)' : ''}`
  }
  test('a queue that is not there keeps new jobs waiting', () => {
    expect(says({}, queue('day'))).toBe('Hold: queue night is not on this site')
    expect(says({}, queue('night'))).toBe('open')
  })
  test('held and drained, also from above', () => {
    expect(says({}, queue('night', { stopPolicy: 'Hold' }))).toBe('Hold: queue night is held')
    expect(says({}, queue('night', { parent: 'all' }), queue('all', { stopPolicy: 'HoldAndDrain' }))).toContain(
      '(drain)',
    )
  })
  test('only leaves take jobs; circles and missing parents are said', () => {
    expect(says({}, queue('night'), queue('deep', { parent: 'night' }))).toContain('only leaf queues')
    const tree = new QueueTree([
      queue('a', { parent: 'b' }),
      queue('b', { parent: 'a' }),
      queue('c', { parent: 'x' }),
      queue('d'),
    ])
    expect([...tree.problems()]).toEqual([
      ['a', 'its parents run in a circle: a -> b -> a'],
      ['b', 'its parents run in a circle: b -> a -> b'],
      ['c', 'its parent x is not on this site'],
    ])
  })
  test("a time limit above the queue's waits; without one it has the queue's", () => {
    const short = queue('night', { limits: { maxTime: '1h' } })
    expect(says({ timeLimit: '2h' }, short)).toContain('QueueLimit')
    expect(withQueueLimits(jobSpec(), new QueueTree([short])).timeLimitMs).toBe(3_600_000)
  })
  test('amounts that cannot be are refused', () => {
    for (const spec of [
      { deserved: { cpu: '-1' } },
      { capability: { cpu: 'much' } },
      { guarantee: { cpu: 4 }, deserved: { cpu: 2 } },
      { parent: 'q' },
    ])
      expect(parseBatchQueue({ metadata: { name: 'q' }, spec }).ok).toBe(false)
  })
})
