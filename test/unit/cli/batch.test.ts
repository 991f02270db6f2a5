import { describe, expect, test } from 'vitest'
import { createBatchDesk } from '../../../src/agent/batch/desk.ts'
import { PREDICT } from '../../../src/cli/commands/predict.ts'
import { QUEUES } from '../../../src/cli/commands/queues.ts'
import { SLURM } from '../../../src/cli/commands/slurm.ts'
import type { CliPorts } from '../../../src/cli/ports.ts'
import { runProgram } from '../../../src/cli/program.ts'
import type { BatchAsk } from '../../../src/core/batch/ask.ts'
import { readAsk } from '../../../src/core/batch/ask.ts'
import type { JsonObject } from '../../../src/core/model/json.ts'
import { batchJob, batchSite, queue, task, type BatchSite } from '../agent/batch-site.ts'

const MINUTE = 60_000

interface Shell {
  readonly site: BatchSite
  /** Runs a command at this box: what it printed, and its exit code where that is not 0. */
  readonly at: (line: string, script?: string) => Promise<string>
  readonly fleet: (line: string) => Promise<string>
}

async function shell(): Promise<Shell> {
  const site = batchSite({ sim: { controllers: { delays: { jobMs: 10 * MINUTE } } } })
  site.clock.jump(Date.parse('2026-01-05T12:00:00Z') - site.clock.nowMs())
  await site.publish(queue('night', { weight: 2, limits: { maxTime: '3h' } }), queue('day', { parent: 'night' }))
  await site.pass(2_000)
  const desk = createBatchDesk(site.agent.batch, { site: () => 'dk-0101', nowMs: () => site.clock.nowMs() })
  const ask = async (asked: BatchAsk): Promise<JsonObject> => {
    const read = readAsk(asked)
    return read.op === 'predict' ? site.agent.askBatch(read) : desk.answer(read)
  }
  const run = async (words: readonly string[], script: string): Promise<string> => {
    const lines: string[] = []
    const ports = {
      batch: async () => ({ ask, [Symbol.asyncDispose]: async () => undefined }),
      script: async () => script,
      hub: async () => ({
        get: async () => ({
          formatVersion: 1,
          next: null,
          items: [desk.view(), { ...desk.view(), site: 'dk-0102', jobs: [] }, { ...desk.view(), site: 'dk-0103' }],
        }),
      }),
    } as unknown as CliPorts
    const io = {
      out: (text: string) => void lines.push(text),
      err: (text: string) => void lines.push(`! ${text}`),
      terminal: false,
      color: false,
      ascii: true,
      columns: 120,
      nowMs: () => site.clock.nowMs(),
      signal: new AbortController().signal,
    }
    const code = await runProgram([...SLURM, ...QUEUES, ...PREDICT], words, '0', ports, io)
    return [...lines, ...(code === 0 ? [] : [`exit ${code}`])].join('\n')
  }
  const split = (line: string): string[] => line.match(/"[^"]*"|\S+/g)?.map((word) => word.replaceAll('"', '')) ?? []
  return {
    site,
    at: (line, script = '') => {
      const [command = '', ...words] = split(line)
      const isQueue = command === 'queue' || command === 'job'
      const head = isQueue ? [command, ...words.splice(0, 1)] : [command]
      return run([...head, '--data', 'x', ...words], script)
    },
    fleet: (line) => run(split(line), ''),
  }
}

const SCRIPT = `#!/bin/bash
#SBATCH --job-name=train --partition=day -t 90
#SBATCH --container-image=task:1 -c 2 --mem=1G
python train.py
`

describe('at a box', () => {
  test('a script is submitted, shown as it waits and runs, and cancelled', async () => {
    const { site, at } = await shell()
    expect(await at('sbatch train.sh', SCRIPT)).toBe('Submitted batch job train')
    expect(await at('sbatch --parsable train.sh epochs=3', SCRIPT)).toBe('train-2')
    expect(await at('sbatch -p noon train.sh', SCRIPT)).toBe(
      '! sbatch: error: invalid partition specified: noon\n! sbatch: error: Batch job submission failed\nexit 2',
    )
    expect(await at('sbatch --exclusive train.sh', SCRIPT)).toContain('--exclusive: whole nodes are not given')
    expect(await at('sbatch x.sh', '#!/bin/sh\ntrue\n')).toContain('--container-image: is needed')
    await site.pass(2_000)
    const user = (await at('squeue -o %u --noheader')).split('\n')[0] ?? ''
    expect(await at('squeue')).toBe(
      [
        '             JOBID PARTITION     NAME     USER ST       TIME  NODES NODELIST(REASON)',
        `             train       day    train ${user.slice(0, 8).padStart(8)} PD       0:00      1 (Resources)`,
        `           train-2       day    train ${user.slice(0, 8).padStart(8)} PD       0:00      1 (Resources)`,
      ].join('\n'),
    )
    expect(
      await at('squeue -j train -O JobID:8,TimeLimit:9,NumCPUs:5,MinMemory:8,StateCompact:3,SubmitTime --noheader'),
    ).toBe('train   1:30:00  2    1024M   PD 2026-01-05T13:00:02')
    expect(await at('scancel train nothing')).toBe(
      '! scancel: error: Kill job error on job id nothing: Invalid job id specified\nexit 1',
    )
    expect(await at('scancel')).toBe('! error InvalidInput: no job is named\nexit 2')
    await site.pass(100)
    expect(await at('scancel -v -t PENDING')).toBe('! scancel: Terminating job train-2')
    await site.pass(2_000)
    expect(await at('squeue --noheader')).toBe('')
    expect(await at('squeue --noheader -t all -o "%i %t %r"')).toBe('train CA None\ntrain-2 CA None')
    expect(await at('sacct -o jobid,state,exitcode')).toBe(
      [
        'JobID             State ExitCode ',
        '------------ ---------- -------- ',
        'train         CANCELLED      0:0 ',
        'train-2       CANCELLED      0:0',
      ].join('\n'),
    )
    expect(await at('sacct -S 2026-01-06 -P -n -o jobid')).toBe('')
    expect(await at('sacct -s CD -P -n -o jobid')).toBe('')
  })

  test('an array: what waits in one line, what runs in one each; one element is cancelled alone', async () => {
    const { site, at } = await shell()
    await site.publish(queue('night'), batchJob('sweep', { queue: 'night', array: { range: '0-5%2' } }))
    await site.pass(3_000)
    expect(await at('squeue --noheader -o "%i %t %r"')).toBe(
      'sweep_[2-5] PD JobArrayTaskLimit\nsweep_0 R None\nsweep_1 R None',
    )
    expect(await at('scancel sweep_1 sweep_[4-5]')).toBe('')
    await site.pass(3_000)
    expect(await at('squeue --noheader -o "%i %t"')).toBe('sweep_3 PD\nsweep_0 R\nsweep_2 R')
    expect(await at('sacct -n -P -o jobid,state')).toBe(
      'sweep_3|PENDING\nsweep_0|RUNNING\nsweep_1|CANCELLED\nsweep_2|RUNNING\nsweep_4|CANCELLED\nsweep_5|CANCELLED',
    )
  })

  test('queues are listed, held and released; nodes are shown by queue', async () => {
    const { site, at } = await shell()
    await site.publish(
      queue('night', { weight: 2 }),
      batchJob('early', { queue: 'night' }),
      batchJob('wide', { queue: 'night', tasks: [task('a', 3)] }),
    )
    await site.pass(3_000)
    expect(await at('queue list')).toBe(
      [
        'NAME     PARENT  WEIGHT  STATE  PENDING  RUNNING',
        'default  -       1       open   0        0',
        'night    -       2       open   0        2',
      ].join('\n'),
    )
    expect(await at('queue hold night')).toBe('queue night is held')
    expect(await at('queue hold noon')).toBe(
      '! error NotFound: there is no queue noon at this site\n  next  `flotilla get sites` and `flotilla get workloads` list what there is\nexit 2',
    )
    expect(await at('queue list -o json')).toContain('"state": "held"')
    expect(await at('sinfo -p night --noheader -o "%P %a %D %t"')).toMatch(/^night inact \d+ (idle|mix|alloc)$/m)
    expect(await at('queue drain night')).toBe('queue night is held and drained')
    await site.pass(3_000)
    expect(await site.pods()).toEqual([])
    expect(await at('queue describe night')).toContain('State:       draining (by site)')
    expect(await at('queue release night')).toBe('queue night is as Git says')
    await site.pass(MINUTE)
    expect(await site.pods()).toHaveLength(4)
    expect(await at('queue hold night')).toBe('queue night is held')
    expect(await at('queue resume night')).toBe('queue night is as Git says')
    expect(await at('queue describe night')).toContain('State:       open')
    expect(await at('job suspend wide')).toBe('job wide is told to suspend')
    await site.pass(3_000)
    expect(await at('squeue --noheader -o "%i %t %r"')).toBe('early R None\nwide S JobHeldUser')
    expect(await at('job resume wide')).toBe('job wide is told to resume')
    await site.pass(MINUTE)
    expect(await at('squeue --noheader -o "%i %t"')).toBe('early R\nwide R')
  })
})

test('over the fleet: each site that has something to show, under its name', async () => {
  const { site, fleet } = await shell()
  await site.publish(queue('night'), batchJob('early', { queue: 'night' }))
  await site.pass(3_000)
  expect(await fleet('squeue --noheader -o "%i %t %u"')).toBe(
    'CLUSTER: dk-0101\nearly R git\n\nCLUSTER: dk-0103\nearly R git',
  )
  expect(await fleet('squeue --noheader -o %i --limit 1')).toBe(
    'CLUSTER: dk-0101\nearly\n! 1 more sites; name them with -M, or raise --limit',
  )
  expect(await fleet('get jobs')).toMatch(
    /^SITE +JOB +QUEUE +STATE +TIME +REASON\ndk-0101 +early +night +running +\d:\d\d +None\ndk-0101 +early/,
  )
  expect(await fleet('get queues -o name')).toContain('queue/night')
  expect(await fleet('squeue -t WALKING')).toBe('! error: Invalid job state specified: WALKING\nexit 2')
  expect(await fleet('squeue -o %')).toContain('is no field')
})

test('predicted: it fits now, or never with what is short; exit 3 for a pipeline to read', async () => {
  const { site, at } = await shell()
  await site.pass(1_000)
  const pod = (cpu: string): string =>
    `apiVersion: v1\nkind: Pod\nmetadata: { name: p, namespace: shop }\nspec: { containers: [{ name: c, image: i, resources: { requests: { cpu: "${cpu}" } } }] }\n`
  expect(await at('predict dk-0101 -f x.yaml', pod('1'))).toMatch(/^Pod shop\/p at \S+: fits now\n {2}shop\/p -> \S+$/)
  expect(await at('predict dk-0101 -f x.yaml', pod('1000'))).toMatch(
    /^Pod shop\/p at \S+: never fits\n {2}0\/\d+ nodes are available: \d+ Insufficient cpu\. Nearest: \S+ lacks [\d.]+m? cpu\.\nexit 3$/,
  )
  const job = `apiVersion: flotilla.dev/v1alpha1\nkind: BatchJob\nmetadata: { name: j, namespace: shop }\nspec: { namespace: shop, queue: day, tasks: [{ name: t, replicas: 2, template: { spec: { containers: [{ name: c, image: i }] } } }] }\n`
  expect(await at('predict dk-0101 -f x.yaml', `kind: ConfigMap\n---\n${job}`)).toMatch(
    /^BatchJob shop\/j at \S+: fits now\n {2}shop\/j-t-0 -> \S+\n {2}shop\/j-t-1 -> \S+$/,
  )
  expect(await at('predict dk-0101 -f x.yaml', job.replace('replicas: 2', 'replicas: 0'))).toContain(
    'spec.tasks[0].replicas must be',
  )
  expect(await at('predict dk-0101 -f x.yaml', 'kind: ConfigMap\n')).toBe('nothing in it brings pods')
  expect(await at('predict no-0203 -f x.yaml', job)).toContain('this is the box of dk-0101')
  for (const cpu of ['-1', '1e30', '5 apples'])
    expect(await at('predict dk-0101 -f x.yaml', pod(cpu))).toMatch(/never fits|error InvalidInput|error Rejected/)
})
