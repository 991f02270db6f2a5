import { describe, expect, test } from 'vitest'
import { parseBatchJob } from '../../../src/core/batch/parse.ts'
import { parseSbatch } from '../../../src/core/batch/sbatch.ts'
import type { SlurmJob, SlurmNodes } from '../../../src/core/batch/slurm-columns.ts'
import { formatSacct, formatSinfo, formatSqueue, squeueLayout } from '../../../src/core/batch/slurm-format.ts'
import { hostList, readHostList } from '../../../src/core/batch/slurm-hosts.ts'
import { type Placed, slurmReason } from '../../../src/core/batch/slurm-reason.ts'
import { readSlurmState, slurmCode, slurmExitCode } from '../../../src/core/batch/slurm-state.ts'
import { formatUsed, readLimit, readMoment } from '../../../src/core/batch/slurm-time.ts'
import { isObject, type JsonObject } from '../../../src/core/model/json.ts'
import { jobSpec, Site, START_MS } from './site.ts'

const ZONE = 'Europe/Copenhagen'
const SITE = {
  nowMs: START_MS,
  timeZone: ZONE,
  queue: 'night',
  image: 'registry.example/tools:1',
  targets: [],
  name: 'train.sh',
}
const sbatch = (lines: string, more: object = {}) =>
  parseSbatch(`#!/bin/bash\n${lines}\necho "$HOME $$ $(date)"\n`, { ...SITE, ...more })
const taken = (lines: string, more: object = {}): JsonObject => {
  const parsed = sbatch(lines, more)
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.refused))
  return parsed.value.document
}
const containerOf = (document: JsonObject): JsonObject => {
  const parsed = parseBatchJob(document)
  const spec = parsed.ok ? parsed.value.tasks[0]?.template['spec'] : undefined
  const [container] = isObject(spec) && Array.isArray(spec['containers']) ? spec['containers'] : []
  return isObject(container) ? container : {}
}
const refused = (lines: string): string => {
  const parsed = sbatch(lines)
  return parsed.ok ? 'taken' : parsed.refused.map((one) => `${one.path} ${one.because}`).join('; ')
}

describe('sbatch', () => {
  test('a script becomes a job that the parser takes', () => {
    const document = taken(
      '#SBATCH --job-name=My_Train.v2 -n 4 -c 8 # four of them\n#SBATCH --mem=16G --gres=gpu:1\n#SBATCH -t 1-02:30\n#SBATCH -p gpu\n#SBATCH --dependency=afterok:prep:fetch,singleton --requeue',
    )
    expect(document).toMatchObject({
      metadata: { name: 'my-train-v2' },
      spec: {
        queue: 'gpu',
        timeLimit: '1d2h30m',
        preemptible: true,
        dependency: [{ afterok: ['prep', 'fetch'] }, { singleton: true }],
        tasks: [{ replicas: 4 }],
      },
    })
    expect(parseBatchJob(document).ok).toBe(true)
    const container = containerOf(document)
    expect(container['resources']).toEqual({
      requests: { cpu: '8', memory: '16384Mi', 'nvidia.com/gpu': 1 },
      limits: { memory: '16384Mi', 'nvidia.com/gpu': 1 },
    })
    expect(container['command']).toEqual(['/bin/bash'])
  })

  test('the shell sees every $ as it was written, though Kubernetes looks at them first', () => {
    const text = JSON.stringify(taken(''))
    expect(text).toContain('$$HOME $$$$ $$(date)')
  })

  test('lines after the first command do not count, the command line wins', () => {
    expect(taken('#SBATCH -p day\necho hi\n#SBATCH -p late')).toMatchObject({ spec: { queue: 'day' } })
    expect(taken('#SBATCH -p day', { options: ['--partition', 'night2', '-Jx'] })).toMatchObject({
      metadata: { name: 'x' },
      spec: { queue: 'night2' },
    })
    expect(taken('##SBATCH -p off')).toMatchObject({ spec: { queue: 'night' } })
  })

  test('a script finds in its environment what it looks for; what is exported wins', () => {
    const container = containerOf(taken('#SBATCH -J Fit -n 4 -c 2 -N 2 -p gpu --export=ALL,SLURM_NTASKS=9,SEED=1'))
    const env = new Map(
      (container['env'] as readonly JsonObject[]).map(({ name, value, valueFrom }) => [name, value ?? valueFrom]),
    )
    expect(Object.fromEntries(env)).toEqual({
      SLURM_JOB_ID: 'fit', SLURM_JOBID: 'fit', SLURM_JOB_NAME: 'Fit', SLURM_JOB_PARTITION: 'gpu', SLURM_NPROCS: '4', SLURM_CPUS_PER_TASK: '2',
      SLURM_JOB_NUM_NODES: '2', SLURM_NNODES: '2', SLURM_NTASKS: '9', SEED: '1',
      SLURM_PROCID: { fieldRef: { fieldPath: "metadata.labels['flotilla.dev/index']" } },
      SLURMD_NODENAME: { fieldRef: { fieldPath: 'spec.nodeName' } },
    }) // prettier-ignore
    const element = containerOf(taken('#SBATCH --array=0-3'))['env'] as readonly JsonObject[]
    expect(element).toContainEqual({ name: 'SLURM_PROCID', value: '0' })
  })

  test('on one node together, each on its own, on these nodes or not on those', () => {
    const affinity = (lines: string): unknown => {
      const parsed = parseBatchJob(taken(lines))
      const spec = parsed.ok ? parsed.value.tasks[0]?.template['spec'] : undefined
      return isObject(spec) ? spec['affinity'] : undefined
    }
    const beside = {
      requiredDuringSchedulingIgnoredDuringExecution: [
        { labelSelector: { matchLabels: { 'flotilla.dev/job': 'train' } }, topologyKey: 'kubernetes.io/hostname' },
      ],
    }
    expect(affinity('#SBATCH -N 1 -n 4')).toEqual({ podAffinity: beside })
    expect(affinity('#SBATCH -N 4')).toEqual({ podAntiAffinity: beside })
    expect(affinity('#SBATCH -N 1')).toBeUndefined()
    expect(affinity('#SBATCH -N 2 -n 4')).toBeUndefined()
    const hosts = (operator: string, values: readonly string[]) => ({ nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'kubernetes.io/hostname', operator, values }] }] } } }) // prettier-ignore
    expect(affinity('#SBATCH -w n[1-3]')).toEqual(hosts('In', ['n1', 'n2', 'n3']))
    expect(affinity('#SBATCH -x n2')).toEqual(hosts('NotIn', ['n2']))
    expect(refused('#SBATCH -w n[1')).toContain('is no list of nodes')
  })

  test('arrays, begin and deadline', () => {
    expect(taken('#SBATCH --array=0-7%4 --begin=now+1hour --deadline=2026-01-06T05:00')).toMatchObject({
      metadata: { annotations: { 'flotilla.dev/begin': '2026-01-05T13:00:00.000Z' } },
      spec: { array: { range: '0-7', maxParallel: 4 }, deadline: '2026-01-06T04:00:00.000Z' },
    })
  })

  const REFUSED: Readonly<Record<string, string>> = {
    '#SBATCH --exclusive': '--exclusive whole nodes are not given',
    '#SBATCH --constraint=a100': 'no Slurm features',
    '#SBATCH --time=abc': '--time "abc"',
    '#SBATCH --mem=lots': 'no size',
    '#SBATCH --mem=0': 'all of a node',
    '#SBATCH -n 0': 'count of 1 or more',
    '#SBATCH --gpus=3 -n 2': 'shared out evenly',
    '#SBATCH --gres=gpu:a100:2': 'type "a100"',
    '#SBATCH --gres=fpga:1': 'only gpu',
    '#SBATCH --array=7-0': 'ends before it begins',
    '#SBATCH --array=0-3 -n 2': 'an array element is one pod',
    '#SBATCH --dependency=after:x': '"after" is not taken',
    '#SBATCH --dependency=afterok:a?afterok:b': 'any of them',
    '#SBATCH -p a,b': 'one queue',
    '#SBATCH --colour=red': '--colour is not taken here',
    '#SBATCH -t': 'needs a value',
    '#SBATCH --mem=1G --mem-per-cpu=1G': 'exclude each other',
  }
  for (const [line, because] of Object.entries(REFUSED))
    test(`${line} is refused`, () => expect(refused(line)).toContain(because))

  test('no image, no shebang, a program that takes no -c', () => {
    const say = (script: string, image?: string) => {
      const { image: _, ...site } = SITE
      const parsed = parseSbatch(script, image === undefined ? site : { ...site, image })
      return parsed.ok ? 'taken' : parsed.refused[0]?.because
    }
    expect(say('#!/bin/sh\n')).toContain('an image')
    expect(say('echo', 'i')).toContain('#!/bin/sh')
    expect(say('#!/usr/bin/perl\n', 'i')).toContain('perl is not taken')
    expect(say('#!/usr/bin/env python3\n', 'i')).toBe('taken')
  })
})

test("time limits in all of Slurm's forms", () => {
  const forms = {
    '30': 1_800,
    '30:15': 1_815,
    '1:30:15': 5_415,
    '2-3': 183_600,
    '1-0:30': 88_200,
    '1-02:03:04': 93_784,
  }
  for (const [text, seconds] of Object.entries(forms)) expect(readLimit(text)).toBe(seconds * 1_000)
  expect([readLimit('UNLIMITED'), readLimit('0'), readLimit('1:2:3:4'), readLimit('')]).toEqual([
    null,
    null,
    undefined,
    undefined,
  ])
  expect(['16:00', 'tomorrow', 'noon', '01/20/26'].map((text) => new Date(readMoment(text, START_MS, ZONE) ?? 0).toISOString())).toEqual([
    '2026-01-05T15:00:00.000Z', '2026-01-05T23:00:00.000Z', '2026-01-06T11:00:00.000Z', '2026-01-19T23:00:00.000Z',
  ]) // prettier-ignore
  const past = ['08:00', '16:00', 'today', 'now-1hour', '12/24', 'noon'].map((text) => new Date(readMoment(text, START_MS, ZONE, 'past') ?? 0).toISOString()) // prettier-ignore
  expect(past).toEqual([
    '2026-01-05T07:00:00.000Z', '2026-01-05T15:00:00.000Z', '2026-01-04T23:00:00.000Z', '2026-01-05T11:00:00.000Z', '2026-12-23T23:00:00.000Z',
    '2026-01-05T11:00:00.000Z',
  ]) // prettier-ignore
  // A day that is past is next year's, for what is to begin.
  expect(new Date(readMoment('01/02', START_MS, ZONE) ?? 0).toISOString()).toBe('2027-01-01T23:00:00.000Z')
  expect(new Date(readMoment('0102', START_MS, ZONE) ?? 0).toISOString()).toBe('2027-01-01T23:00:00.000Z')
  expect([formatUsed(21_000), formatUsed(3_661_000), formatUsed(90_061_000)]).toEqual(['0:21', '1:01:01', '1-01:01:01'])
})

describe('states', () => {
  const job = (spec: JsonObject = {}) => new Site(jobSpec(spec))
  const cases: Readonly<Record<string, readonly [Site, string, string]>> = {
    'waiting for a place': [job().step(), 'PD', 'Resources'],
    running: [job().started(), 'R', 'None'],
    completed: [job().started().succeed().step(), 'CD', 'None'],
    failed: [job().started().fail('train-main-0', 2).step(), 'F', 'NonZeroExitCode'],
    'out of memory': [
      job().started().set('train-main-0', { phase: 'Failed', exitCode: 137, outOfMemory: true }).step(),
      'OOM',
      'OutOfMemory',
    ],
    'over its time': [job({ timeLimit: '1m' }).started().later(60_000).step().settle().step(), 'TO', 'TimeLimit'],
    'being ended': [
      job()
        .started()
        .step([{ id: '1', action: 'TerminateJob' }]),
      'CG',
      'BeginTime',
    ],
    cancelled: [
      job()
        .started()
        .step([{ id: '1', action: 'TerminateJob' }])
        .settle()
        .step(),
      'CA',
      'None',
    ],
    'past its deadline': [job({ deadline: '1h' }).later(3_600_000).step(), 'DL', 'DeadLine'],
    aborted: [
      job()
        .started()
        .step([{ id: '1', action: 'AbortJob' }])
        .settle()
        .step(),
      'S',
      'JobHeldUser',
    ],
  }
  for (const [says, [site, code, reason]] of Object.entries(cases))
    test(`${says}: ${code}`, () => {
      expect(slurmCode(site.record)).toBe(code)
      if (code !== 'CG') expect(slurmReason(site.record, { wait: site.last?.wait ?? null })).toBe(reason)
    })
  test('by either name, in any case', () =>
    expect([readSlurmState('pd'), readSlurmState('Running'), readSlurmState('x')]).toEqual(['PD', 'R', undefined]))
  test('exit codes', () => expect(slurmExitCode(job().started().fail('train-main-0', 143).step().record)).toBe('0:15'))
})

const ROW: SlurmJob = {
  id: 'train', arrayJobId: 'train', arrayTask: null, name: 'training-run', partition: 'night', user: 'dave', account: 'bread', cluster: 'store-7',
  code: 'R', reason: 'None', submitMs: START_MS, startMs: START_MS, endMs: null, timeLimitMs: 7_200_000, usedMs: 21_000, nodes: ['n1', 'n2'],
  nodeCount: 2, tasks: 2, cpus: 4, memoryMiB: 512, priority: 1, dependency: '', exitCode: '0:0', restarts: 0, comment: '',
} // prettier-ignore
const NODES: SlurmNodes = {
  partition: 'night', isDefault: true, available: 'up', timeLimitMs: null, state: 'mixed', nodes: ['n1', 'n2'], cpus: 4, memoryMiB: 8_192,
  cpusAllocated: 3, gres: 'gpu:1', reason: '',
} // prettier-ignore

test.each([
  [['n1', 'n2', 'n3', 'n10'], 'n[1-3,10]'],
  [['n08', 'n09', 'n10', 'login'], 'login,n[08-10]'],
  [['a1', 'b1'], 'a1,b1'],
  [['ip-10-0-3-4.internal'], 'ip-10-0-3-4.internal'],
  [[], ''],
] as const)('a list of nodes as Slurm writes it: %s', (nodes, written) => {
  expect(hostList(nodes)).toBe(written)
  expect([...(readHostList(written) ?? [])].toSorted()).toEqual([...nodes].toSorted())
})

test.each(['n[1-3', 'n[3-1]', 'n[a]', 'n[1-99999999]', ',', 'n1,,n2'])('%s is no list of nodes', (text) =>
  expect(readHostList(text)).toBeUndefined(),
)

describe('why it waits, by what the scheduler says', () => {
  const waits = new Site(jobSpec()).step()
  const reason = (placed: Partial<Placed>, trouble?: 'Forbidden'): string =>
    slurmReason(waits.record, {
      wait: waits.last?.wait ?? null,
      placed: { kind: 'nodes', refusals: [], ...placed },
      ...(trouble === undefined ? {} : { trouble }),
    })
  test.each([
    ['Resources', { refusals: ['Resources', 'NodeAffinity'] }],
    ['Resources', { kind: 'reservation', refusals: ['Resources'] }],
    ['Priority', { refusals: ['Reserved', 'Resources'] }],
    ['Priority', { kind: 'not-admitted' }],
    ['BadConstraints', { refusals: ['NodeAffinity'] }],
    ['BadConstraints', { kind: 'invalid' }],
    ['ReqNodeNotAvail', { refusals: ['NodeAffinity', 'Unschedulable'] }],
    ['QOSGrpCpuLimit', { kind: 'queue', resource: 'cpu' }],
    ['QOSGrpMemLimit', { kind: 'queue', resource: 'memory' }],
    ['QOSGrpGRES', { kind: 'queue', resource: 'nvidia.com/gpu' }],
    ['QOSJobLimit', { kind: 'queue', resource: 'jobs' }],
  ] as const)('%s', (word, placed) => expect(reason(placed)).toBe(word))
  test('an API server that will not have its pods comes first', () =>
    expect(reason({ refusals: ['Resources'] }, 'Forbidden')).toBe('Forbidden'))
})

describe('tables', () => {
  const text = (formatted: { ok: boolean; text?: string; because?: string }) => formatted.text ?? formatted.because
  const options = { timeZone: ZONE }
  test('squeue as it comes', () => {
    const waiting = {
      ...ROW,
      id: 'b',
      arrayJobId: 'b',
      arrayTask: '3-7',
      code: 'PD',
      reason: 'Priority',
      nodes: [],
      usedMs: 0,
    } as const
    expect(text(formatSqueue([ROW, waiting], {}, options))).toBe(
      '             JOBID PARTITION     NAME     USER ST       TIME  NODES NODELIST(REASON)\n' +
        '             train     night training     dave  R       0:21      2 n[1-2]\n' +
        '           b_[3-7]     night training     dave PD       0:00      2 (Priority)\n',
    )
  })
  test('squeue with codes, names, and mistakes', () => {
    expect(text(formatSqueue([ROW], { format: '%.6i|%T %l %S' }, { ...options, header: 'off' }))).toBe(
      ' train|RUNNING 2:00:00 2026-01-05T13:00:00\n',
    )
    expect(text(formatSqueue([ROW], { names: 'JobID:8,State:.10,TimeLeft:9' }, options))).toBe(
      'JOBID        STATETIME_LEFT\ntrain      RUNNING1:59:39  \n',
    )
    expect(text(formatSqueue([ROW], { format: '%!' }, options))).toContain('is no field')
    expect(text(formatSqueue([ROW], { names: 'Colour' }, options))).toContain('not known here')
    expect(text(formatSqueue([ROW], squeueLayout('start', [ROW]), options))).toContain('2026-01-05T13:00:00')
  })
  test('what scripts ask for and nobody measures here is there, and empty', () => {
    const every = 'aAbBcCdDeEfFgGhHiIjJkKlLmMnNoOpPqQrRStTuUvVwWxXyYzZ'
    const format = every
      .split('')
      .map((letter) => `%${letter}`)
      .join('|')
    const shown = text(formatSqueue([ROW], { format }, { ...options, header: 'off' })) ?? ''
    expect(shown.split('|')).toHaveLength(every.length)
    expect(
      text(formatSacct([ROW], 'jobid,maxrss,alloctres,qos', { ...options, style: 'parsable2', header: 'off' })),
    ).toBe('train||cpu=4,mem=1024M,node=2,billing=4|normal\n')
  })
  test('ids that are longer than numbers are not cut where Slurm chooses the columns', () => {
    const long = { ...ROW, id: 'forecast-nightly-29923230', arrayJobId: 'forecast-nightly-29923230' }
    expect(text(formatSqueue([long], squeueLayout('short', [long]), { ...options, header: 'off' }))).toMatch(
      /^forecast-nightly-29923230 /,
    )
    expect(text(formatSqueue([long], { format: '%.18i' }, { ...options, header: 'off' }))).toBe('forecast-nightly-2\n')
    expect(text(formatSacct([long], undefined, { ...options, header: 'off' }))).toMatch(/^forecast-nightly-29923230 /)
  })
  test('sinfo', () => {
    expect(text(formatSinfo([NODES], {}, options))).toBe(
      'PARTITION AVAIL  TIMELIMIT  NODES  STATE NODELIST\nnight*       up   infinite      2    mix n[1-2]\n',
    )
    expect(text(formatSinfo([NODES], { format: '%C %F %G' }, { ...options, header: 'off' }))).toBe(
      '3/5/0/8 2/0/0/2 gpu:1\n',
    )
  })
  test('sacct', () => {
    expect(text(formatSacct([ROW], undefined, options))).toBe(
      'JobID           JobName  Partition    Account  AllocCPUS      State ExitCode \n' +
        '------------ ---------- ---------- ---------- ---------- ---------- -------- \n' +
        'train        training-+      night      bread          4    RUNNING      0:0 \n',
    )
    expect(text(formatSacct([ROW], 'jobid,elapsed', { ...options, style: 'parsable2' }))).toBe(
      'JobID|Elapsed\ntrain|00:00:21\n',
    )
  })
})
