import { describe, expect, test } from 'vitest'
import { createBatchDesk } from '../../../src/agent/batch/desk.ts'
import { PREDICT } from '../../../src/cli/commands/predict.ts'
import { QUEUES } from '../../../src/cli/commands/queues.ts'
import { SLURM } from '../../../src/cli/commands/slurm.ts'
import type { CliPorts } from '../../../src/cli/ports.ts'
import { runProgram } from '../../../src/cli/program.ts'
import type { BatchAsk } from '../../../src/core/batch/ask.ts'
import { readAsk } from '../../../src/core/batch/ask.ts'
import type { BatchView } from '../../../src/core/batch/view.ts'
import type { JsonObject } from '../../../src/core/model/json.ts'
import { Fault } from '../../../src/core/model/fault.ts'
import { batchJob, batchSite, queue, task, type BatchSite } from '../agent/batch-site.ts'
import { SIGNAL, type SiteOptions } from '../agent/site.ts'

const MINUTE = 60_000

interface Shell {
  readonly site: BatchSite
  /** Runs a command at this box: what it printed, and its exit code where that is not 0. */
  readonly at: (line: string, script?: string) => Promise<string>
  readonly fleet: (line: string) => Promise<string>
}

async function shell(options: SiteOptions = {}): Promise<Shell> {
  const site = batchSite({ sim: { controllers: { delays: { jobMs: 10 * MINUTE } } }, ...options })
  site.clock.jump(Date.parse('2026-01-05T12:00:00Z') - site.clock.nowMs())
  await site.publish(queue('night', { weight: 2, limits: { maxTime: '3h' } }), queue('day', { parent: 'night' }))
  await site.pass(2_000)
  const desk = createBatchDesk(site.agent.batch, { site: () => 'dk-0101', nowMs: () => site.clock.nowMs() })
  const ask = async (asked: BatchAsk): Promise<JsonObject> => {
    const read = readAsk(asked)
    // Time goes by while somebody looks again and again.
    if (read.op === 'view') await site.pass(MINUTE / 60)
    return read.op === 'view' ? desk.answer(read) : site.agent.askBatch(read)
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
    expect(await at('sbatch -p night train.sh', SCRIPT)).toContain('night has queues under it; only those take jobs')
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
      'sweep_[2-5%2] PD JobArrayTaskLimit\nsweep_0 R None\nsweep_1 R None',
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
    expect(await at('sinfo -p night --noheader -o "%P %a %D %t"')).toMatch(/^night down \d+ (idle|mix|alloc)$/m)
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

describe('as a person of Slurm has it', () => {
  const WRAP = '--container-image=task:1 --wrap "sleep 90"'

  test('a command in place of a script, waited for; held, and let go; tried without being submitted', async () => {
    const { site, at } = await shell({ agent: { scheduler: 'on' } })
    expect(await at(`sbatch ${WRAP} x.sh`)).toBe(
      '! sbatch: error: Script arguments not permitted with --wrap option\nexit 2',
    )
    expect(await at(`sbatch -J quick --wait ${WRAP.replace('90', '1')}`)).toBe('Submitted batch job quick')
    expect(await at('squeue -h -t all -o "%i %t"')).toBe('quick CD')
    expect(await at(`sbatch --hold ${WRAP}`)).toBe(
      '! sbatch: it is held; flotilla job resume wrap lets it start\nSubmitted batch job wrap',
    )
    await site.pass(MINUTE)
    expect(await at('squeue -h -o "%i %t %R"')).toBe('wrap PD (JobHeldUser)')
    expect(await at('job resume wrap')).toBe('job wrap is told to resume')
    await site.pass(10_000)
    expect(await at('squeue -h -o "%i %t %R"')).toBe('wrap R node-0')
    expect(await at(`sbatch --test-only -n 2 -J later ${WRAP}`)).toMatch(
      /^! sbatch: Job later to start at 2026-01-05T13:\d\d:\d\d on nodes node-0$/,
    )
    expect(await at(`sbatch --test-only -c 400 ${WRAP}`)).toMatch(
      /Insufficient cpu.*\n! sbatch: error: allocation failure: Requested node configuration is not available\nexit 1$/,
    )
    expect(await at('squeue -h -o %i')).toBe('wrap')
    expect(await at(`sbatch -d afterok:gone ${WRAP}`)).toContain('Job dependency problem: there is no job gone')
    expect(await at(`sbatch --parition=night ${WRAP}`)).toContain('--parition: is not known; did you mean --partition?')
    expect(await at(`sbatch -w node-7 -J pinned ${WRAP}`)).toBe('Submitted batch job pinned')
    await site.pass(5_000)
    expect(await at('squeue -h -j pinned -o "%t %r"')).toBe('PD BadConstraints')
    expect(await at('squeue -j nothing')).toBe('! slurm_load_jobs error: Invalid job id specified\nexit 1')
  })

  test('lines in any order, elements one by one, and as JSON', async () => {
    const { site, at } = await shell({ agent: { scheduler: 'on' } })
    expect(await at(`sbatch --array=0-4%2 -J sweep ${WRAP}`)).toBe('Submitted batch job sweep')
    expect(await at(`sbatch -J after -d afterok:sweep -t 30 ${WRAP}`)).toBe('Submitted batch job after')
    await site.pass(10_000)
    expect(await at('squeue -h -r -S -i -o "%i %t %r"')).toBe(
      ['sweep_4 PD', 'sweep_3 PD', 'sweep_2 PD'].map((row) => `${row} JobArrayTaskLimit`).join('\n') +
        '\nsweep_1 R None\nsweep_0 R None\nafter PD Dependency',
    )
    expect(await at('squeue -h -j sweep_3,after -o %i')).toBe('after\nsweep_[2-4%2]')
    expect(await at('squeue -h -w node-[0-3] -S i -o "%i %N"')).toBe('sweep_0 node-0\nsweep_1 node-0')
    expect(await at('squeue -S !')).toContain('Invalid sort specification: !')
    expect((await at('squeue -l')).split('\n')[0]).toMatch(/^Mon Jan 05 13:00:\d\d 2026$/)
    expect(await at('squeue --usr x')).toContain('(Did you mean --user?)')
    const { jobs } = JSON.parse(await at('squeue --json --me -j after')) as { jobs: JsonObject[] }
    expect(jobs).toMatchObject([
      { job_id: 'after', job_state: ['PENDING'], dependency: 'afterok:sweep(unfulfilled)', time_limit: { number: 30 } },
    ])
    expect(await at('scancel -t PENDING sweep')).toBe('')
    await site.pass(3_000)
    expect(await at('squeue -h -t all -j sweep -S i -o "%i %t"')).toBe(
      'sweep_0 R\nsweep_1 R\nsweep_2 CA\nsweep_3 CA\nsweep_4 CA',
    )
    expect(await at('scancel -s HUP sweep')).toContain('HUP cannot be sent')
    expect(await at('scancel -w node-0 --me')).toBe('')
    await site.pass(5_000)
    expect(await at('squeue -h -o "%i %t %r"')).toBe('after PD DependencyNeverSatisfied')
    expect(await at('sacct -b -n -P -j sweep')).toBe([0, 1, 2, 3, 4].map((i) => `sweep_${i}|CANCELLED|0:0`).join('\n'))
    expect(await at('sacct -e')).toContain('JobID')
  })

  test('nodes by what all pods hold, one by one, by queue, and why they take nothing', async () => {
    const nodes = ['n1', 'n2', 'n3', 'n10'].map((name) => ({
      name,
      capacity: { cpu: '4', memory: '8Gi', pods: '110' },
    }))
    const { site, at } = await shell({
      agent: { scheduler: 'on' },
      sim: { controllers: { nodes, schedule: () => 'n2', delays: { jobMs: 10 * MINUTE } } },
    })
    // Not a job's, and not placed by us: it counts all the same. The second is the node's own.
    const pod = (name: string, cpu: string, owner?: string) => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace: 'default', ...(owner === undefined ? {} : { ownerReferences: [{ apiVersion: 'apps/v1', kind: owner, name: 'x', uid: 'x' }] }) }, // prettier-ignore
      spec: { nodeName: owner === undefined ? 'n2' : 'n3', containers: [{ name: 'c', image: 'i', resources: { requests: { cpu, memory: '1Gi' } } }] }, // prettier-ignore
    })
    await site.cluster.create(pod('till', '1500m'), {}, SIGNAL)
    await site.cluster.create(pod('agent', '500m', 'DaemonSet'), {}, SIGNAL)
    const node = { group: '', kind: 'Node', namespace: '', name: 'n10' }
    await site.cluster.patch({ apiVersion: 'v1', kind: 'Node' }, node, { spec: { unschedulable: true } }, {}, SIGNAL)
    expect(await at(`sbatch -c 4 -w n1 ${WRAP.replace('90', '9000')}`)).toBe('Submitted batch job wrap')
    await site.pass(5_000)
    expect(await at('sinfo -p default')).toBe(
      [
        'PARTITION AVAIL  TIMELIMIT  NODES  STATE NODELIST',
        'default*     up   infinite      1  drain n10',
        'default*     up   infinite      1    mix n2',
        'default*     up   infinite      1  alloc n1',
        'default*     up   infinite      1   idle n3',
      ].join('\n'),
    )
    expect(await at('sinfo -h -p default -o "%D %C %e %N"')).toBe('4 6/6/4/16 31744 n[1-3,10]')
    expect(await at('sinfo -h -N -p default -o "%N %t %C"')).toBe(
      'n1 alloc 4/0/0/4\nn2 mix 2/2/0/4\nn3 idle 0/4/0/4\nn10 drain 0/0/4/4',
    )
    expect(await at('sinfo -h -s -p default')).toBe('default*    up   infinite          2/1/1/4 n[1-3,10]')
    expect(await at('sinfo -R -h -o "%E %N" -p default')).toBe('cordoned n10')
    expect(await at('sinfo -h -t idle,drain -p default -o "%t %N"')).toBe('drain n10\nidle n3')
    expect(await at('sinfo -t sleeping')).toContain('Bad state string: sleeping')
    const silent = [{ type: 'Ready', status: 'Unknown', reason: 'NodeStatusUnknown' }]
    await site.cluster.subresource({ apiVersion: 'v1', kind: 'Node' }, { ...node, name: 'n3' }, 'status', { status: { conditions: silent } }, SIGNAL) // prettier-ignore
    await site.pass(1_000)
    expect(await at('sinfo -h -d -p default -o "%T %E %N"')).toBe('down* NodeStatusUnknown n3')
    const { sinfo } = JSON.parse(await at('sinfo --json -n n2 -p default')) as { sinfo: JsonObject[] }
    expect(sinfo).toMatchObject([
      { node: { state: ['MIXED'] }, nodes: { total: 1, nodes: ['n2'] }, cpus: { allocated: 2 } },
    ])
  })

  test('tasks on one node, and each on its own', async () => {
    const nodes = ['n1', 'n2', 'n3'].map((name) => ({ name, capacity: { cpu: '4', memory: '8Gi', pods: '110' } }))
    const { site, at } = await shell({ agent: { scheduler: 'on' }, sim: { controllers: { nodes } } })
    await at(`sbatch -J together -N 1 -n 3 ${WRAP.replace('90', '9000')}`)
    await at(`sbatch -J apart -N 3 ${WRAP.replace('90', '9000')}`)
    await at(`sbatch -J crowd -N 1 -n 5 ${WRAP}`)
    await site.pass(10_000)
    expect(await at('squeue -h -j together,apart -S i -o "%i %D %C %N"')).toMatch(
      /^apart 3 3 n\[1-3\]\ntogether 1 3 n[123]$/,
    )
    expect(await at('squeue -h -j crowd -o "%t %r"')).toBe('PD Resources')
  })

  test('a queue that runs as many jobs as it may says so of the others', async () => {
    const { site, at } = await shell({ agent: { scheduler: 'on' } })
    await site.publish(queue('q', { limits: { maxRunning: 1 } }))
    await site.pass(1_000)
    for (const name of ['a', 'b']) {
      await at(`sbatch -p q -J ${name} ${WRAP}`)
      await site.pass(5_000)
    }
    expect(await at('squeue -h -S i -o "%i %t %r"')).toBe('a R None\nb PD QOSJobLimit')
    await site.pass(120_000)
    expect(await at('squeue -h -o "%i %t %r"')).toBe('b R None')
  })

  test('a site that never had a job shows its nodes all the same', async () => {
    const site = batchSite()
    const { nodes, queues } = (await site.agent.askBatch({ op: 'view' })) as unknown as BatchView
    expect(nodes.map(({ partition, state, nodes: names }) => `${partition} ${state} ${names.join()}`)).toEqual([
      'default idle node-0',
    ])
    expect(queues.map(({ name }) => name)).toEqual(['default'])
    site.cluster.power('down')
    expect((await site.agent.askBatch({ op: 'view' }))['nodes']).toEqual([])
  })

  test('a job that lacks rights says so, and not that it waits for a node', async () => {
    const refuse = new Fault('Forbidden', 'pods is forbidden')
    const { site, at } = await shell({
      sim: { interfere: ({ verb, kind }) => (verb === 'create' && kind === 'Pod' ? { refuse } : undefined) },
    })
    await at(`sbatch ${WRAP}`)
    await site.pass(5_000)
    expect(await at('squeue -h -o "%i %t %R"')).toBe('wrap PD (Forbidden)')
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
  expect(await fleet('squeue -n nothing')).toMatch(/^ +JOBID PARTITION +NAME +USER ST +TIME +NODES NODELIST\(REASON\)$/)
  expect(await fleet('squeue -n nothing -h')).toBe('')
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
    /^Pod shop\/p at \S+: never fits\n {2}0\/\d+ nodes are available: \d+ Insufficient cpu\. Nearest: \S+ lacks [\d.]+m? cpu\..*\nexit 3$/,
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

describe('a file of several documents is judged as it would be admitted', () => {
  const batch = (name: string, cpu: string, more = '', queueName = 'default'): string =>
    `kind: BatchJob\nmetadata: { name: ${name} }\nspec: { namespace: shop, queue: ${queueName}, ${more}tasks: [{ name: t, template: { spec: { containers: [{ name: c, image: i, resources: { requests: { cpu: "${cpu}" } } }] } } }] }\n`
  const fits = async (at: Shell['at'], ...documents: readonly string[]): Promise<readonly string[]> => {
    const text = await at('predict dk-0101 -f x.yaml', documents.join('---\n'))
    return text.split('\n').filter((line) => !line.startsWith(' '))
  }

  test('each beside those before it, in their order', async () => {
    const { at } = await shell()
    // A node of 16 CPUs.
    expect(await fits(at, batch('a', '10', 'timeLimit: 1h, '), batch('b', '10'), batch('c', '5'))).toEqual([
      'BatchJob shop/a at 0417: fits now',
      expect.stringMatching(/^BatchJob shop\/b at 0417: fits at 2026-01-05T14:00:\d\d/),
      // Beside either of them.
      'BatchJob shop/c at 0417: fits now',
    ])
    expect(
      await fits(at, batch('b', '10'), batch('c', '5', 'timeLimit: 30m, '), batch('a', '10', 'timeLimit: 1h, ')),
    ).toEqual([
      'BatchJob shop/b at 0417: fits now',
      'BatchJob shop/c at 0417: fits now',
      expect.stringMatching(/^BatchJob shop\/a at 0417: never fits/),
      'exit 3',
    ])
  })

  test('with the queues that the file brings, and those that are held', async () => {
    const { at } = await shell()
    const gpu = 'kind: BatchQueue\nmetadata: { name: gpu }\nspec: { capability: { cpu: "4" } }\n'
    expect(await fits(at, batch('a', '3', '', 'gpu'))).toEqual(['BatchJob shop/a at 0417: never fits', 'exit 3'])
    expect(await fits(at, batch('a', '3', '', 'gpu'), batch('b', '3', '', 'gpu'), gpu)).toEqual([
      'BatchJob shop/a at 0417: fits now',
      expect.stringMatching(/^BatchJob shop\/b at 0417: (?:never fits|fits at)/),
      'exit 3',
    ])
    expect(await at('queue hold day')).toBe('queue day is held')
    expect(await at('predict dk-0101 -f x.yaml', batch('a', '1', '', 'day'))).toBe(
      'BatchJob shop/a at 0417: never fits\n  queue day is held.\nexit 3',
    )
    expect(await at('predict dk-0101 -f x.yaml', gpu.replace('"4"', 'four'))).toContain('spec.capability')
  })

  test('in the place of what is there of that name', async () => {
    const { site, at } = await shell()
    await site.publish(queue('night'), batchJob('a', { tasks: [{ ...task('main'), template: { spec: { schedulerName: 'default-scheduler', containers: [{ name: 'c', image: 'i', resources: { requests: { cpu: '12' } } }] } } }] })) // prettier-ignore
    await site.pass(5_000)
    expect(await site.pods()).toEqual(['a-main-0 Running'])
    expect(await fits(at, batch('a', '14'))).toEqual(['BatchJob shop/a at 0417: fits now'])
    expect(await fits(at, batch('b', '14'))).toEqual(['BatchJob shop/b at 0417: never fits', 'exit 3'])
  })
})
