/**
 * Batch and the scheduler as they are installed: the built agent with the rights that `agent manifests` prints for a fleet whose
 * teams have accounts, a real hub and Git server, a real control plane beside a real kube-scheduler, nodes played by kwok. One story.
 */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parse } from 'yaml'
import { openCluster } from '../../src/adapters/cluster/kube-cluster.ts'
import type { BoxView } from '../../src/core/api/box.ts'
import type { SiteView } from '../../src/core/api/types.ts'
import type { Cluster } from '../../src/core/kube/cluster.ts'
import { type GitServer, startGitServer } from '../git/http-server.ts'
import { type ControlPlane, startControlPlane } from '../kube/control-plane.ts'
import { buildCli, eventually, FleetRepo, flotilla, type HubUnderTest, type Program, startAgent, startHub } from './fleet.ts' // prettier-ignore
import { read } from './scheduling-rig.ts'

const SITE = 'lab-1'
const POD = { apiVersion: 'v1', kind: 'Pod' }
const LIMIT_MS = 60_000

let dir: string
let data: string
let plane: ControlPlane
let watcher: Cluster
let repo: FleetRepo
let git: GitServer
let hub: HubUnderTest
let agent: Program
const stop = new AbortController()
/** Every pod of a job that ever was, by name: its UIDs. */
const made = new Map<string, Set<string>>()

const ACCOUNT = `
apiVersion: v1
kind: Namespace
metadata: { name: research }
---
apiVersion: v1
kind: ServiceAccount
metadata: { name: runner, namespace: research }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: { name: runner, namespace: research }
rules:
  - { apiGroups: [""], resources: [pods, services, configmaps], verbs: [get, create, delete] }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: { name: runner, namespace: research }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: Role, name: runner }
subjects: [{ kind: ServiceAccount, name: runner, namespace: research }]
`
const FLEET = `
apiVersion: flotilla.dev/v1alpha1
kind: Fleet
metadata: { name: lab }
spec:
  defaults: { rollout: now }
---
apiVersion: flotilla.dev/v1alpha1
kind: RolloutPolicy
metadata: { name: now }
spec:
  waves: [{ name: all, maxConcurrent: 100%, soak: 1s }]
  maxUnavailable: 100%
---
apiVersion: flotilla.dev/v1alpha1
kind: Team
metadata: { name: research }
spec:
  paths: [/]
  serviceAccount: research/runner
---
apiVersion: flotilla.dev/v1alpha1
kind: Site
metadata: { name: ${SITE}, labels: { lab: "yes" } }
spec:
  location: { timeZone: Europe/Copenhagen }
---
apiVersion: flotilla.dev/v1alpha1
kind: BatchQueue
metadata: { name: night }
spec:
  targets: [{ selector: { matchLabels: { lab: "yes" } } }]
`

function job(name: string, replicas: number, cpu: string, more = ''): void {
  repo.write(
    `jobs/${name}.yaml`,
    `apiVersion: flotilla.dev/v1alpha1
kind: BatchJob
metadata: { name: ${name} }
spec:
  targets: [{ selector: { matchLabels: { lab: "yes" } } }]
  queue: night
  namespace: research
${more}  tasks:
    - name: main
      replicas: ${replicas}
      template:
        spec:
          terminationGracePeriodSeconds: 0
          containers: [{ name: main, image: none, resources: { requests: { cpu: "${cpu}", memory: 64Mi } } }]
`,
  )
}

const log = (): string => (fs.existsSync(agent.log) ? fs.readFileSync(agent.log, 'utf8').slice(-2_000) : '')
const atBox = (...words: string[]): string => {
  const [command = '', ...rest] = words
  const done = flotilla([...command.split(' '), '--data', data, ...rest], {})
  if (done.code !== 0) throw new Error(`${words.join(' ')}: ${done.err}${done.out}\n${log()}`)
  return done.out
}
const onHub = (...words: string[]): string => {
  const done = hub.cli(...words)
  if (done.code !== 0) throw new Error(`${words.join(' ')}: ${done.err}`)
  return done.out
}
const boxNow = (): BoxView => JSON.parse(atBox('agent status', '-o', 'json')) as BoxView
const boxSays = (of: string): string | undefined => boxNow().conditions.find(({ type }) => type === of)?.reason
/** Of a line of squeue or sacct. */
const isSaid = (text: string, ...words: readonly string[]): boolean =>
  text.split('\n').some((line) => words.every((word) => line.split(/\s+/).includes(word)))
const says = (what: string, look: () => string, ...words: readonly string[]): Promise<unknown> =>
  eventually(
    `${what} says ${words.join(' ')}`,
    () => {
      const text = look()
      if (isSaid(text, ...words)) return true
      throw new Error(`${text}\n${log()}`)
    },
    LIMIT_MS,
  )
const siteConditions = async (): Promise<string> =>
  (await hub.get<SiteView>(`/v1/sites/${SITE}`)).conditions.map(({ type, reason }) => `${type}/${reason}`).join(' ')

async function pods(name: string): Promise<readonly any[]> {
  return (await read(plane, 'pods', '-n', 'research', '-l', `flotilla.dev/job=${name}`)).items
}
const running = (name: string, count: number): Promise<readonly any[]> =>
  eventually(
    `${count} pods of ${name} run`,
    async () => {
      const all = await pods(name)
      if (all.filter(({ status }) => status.phase === 'Running').length === count) return all
      throw new Error(`${JSON.stringify(all.map((one) => [one.metadata.name, one.spec.nodeName, one.status.phase, one.status.conditions]))}\n${log()}`) // prettier-ignore
    },
    LIMIT_MS,
  )
/** What the kubelet says of a pod whose process ended well: kwok lets no pod end but those of a Job. */
const ends = (pod: string): Promise<string> =>
  plane.kubectl('patch', 'pod', pod, '-n', 'research', '--subresource=status', '--type=merge', '-p', '{"status":{"phase":"Succeeded"}}') // prettier-ignore

async function sees(): Promise<void> {
  const query = { ...POD, namespace: 'research' }
  let from = (await watcher.list(query, stop.signal)).resourceVersion
  while (!stop.signal.aborted)
    for await (const event of watcher.watch(query, from, stop.signal)) {
      from = event.type === 'bookmark' ? event.resourceVersion : (event.object.metadata.resourceVersion ?? from)
      if (event.type === 'bookmark') continue
      const { name, uid = '' } = event.object.metadata
      made.set(name, (made.get(name) ?? new Set()).add(uid))
    }
}

beforeAll(async () => {
  buildCli()
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'flotilla-batch-'))
  data = path.join(dir, `agent-${SITE}`)
  plane = await startControlPlane(['--controller-manager', '--scheduler'])
  await plane.nodes(2, '4', '8Gi')
  const file = (name: string, text: string): string => {
    fs.writeFileSync(path.join(dir, name), text)
    return path.join(dir, name)
  }
  await plane.kubectl('apply', '-f', file('account.yaml', ACCOUNT))
  const printed = flotilla(['agent', 'manifests', '--join', 'none', '--account', 'research/runner'], {})
  await plane.kubectl('apply', '-f', file('agent.yaml', printed.out))
  // The process of this test takes the place of the pod: with its account, and nothing else.
  const { clusters } = parse(fs.readFileSync(plane.kubeconfig, 'utf8')) as { clusters: readonly any[] }
  const token = (await plane.kubectl('create', 'token', 'flotilla-agent', '-n', 'flotilla-system')).trim()
  const limited = file(
    'limited.kubeconfig',
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters,
      users: [{ name: 'agent', user: { token } }],
      contexts: [{ name: 'agent', context: { cluster: clusters[0].name, user: 'agent' } }],
      'current-context': 'agent',
    }),
  )
  watcher = await openCluster({ from: 'kubeconfig', path: plane.kubeconfig })
  void sees().catch(() => undefined)
  repo = new FleetRepo(dir)
  repo.write('flotilla.yaml', FLEET)
  job('train', 3, '1', '  plugins: { svc: [] }\n')
  job('huge', 1, '9')
  repo.push('a queue, a job, and one that fits nowhere')
  git = await startGitServer(dir)
  hub = await startHub(dir, `${git.url}/fleet.git`, ['--sync-ms', '500'])
  agent = startAgent(dir, hub, SITE, limited)
}, 300_000)

afterAll(async () => {
  stop.abort()
  await agent?.stop('SIGKILL')
  await hub?.program.stop('SIGKILL')
  await git?.[Symbol.asyncDispose]()
  await watcher?.close()
  await plane?.stop()
  if (dir !== undefined && process.env['KEEP'] === undefined) fs.rmSync(dir, { recursive: true, force: true })
}, 120_000)

test('a committed job is made as its team`s account, placed by our scheduler, run, and told of at the box and at the hub', async () => {
  const all = await running('train', 3)
  for (const { spec, metadata } of all) {
    expect(spec.schedulerName).toBe('flotilla')
    expect(spec.nodeName).toMatch(/^node-/)
    expect(metadata.namespace).toBe('research')
  }
  expect((await read(plane, 'service', 'train', '-n', 'research')).spec.clusterIP).toBe('None')
  const assigned = await eventually('the events of its binds', async () => {
    const { items } = await read(plane, 'events', '-n', 'research', '--field-selector', 'reason=Scheduled')
    const ours = (items as readonly any[]).filter(({ involvedObject: { name } }) => name.startsWith('train-'))
    return ours.length === 3 && ours
  })
  expect(new Set(assigned.map(({ reportingComponent }) => reportingComponent))).toEqual(new Set(['flotilla']))
  await says('squeue at the box', () => atBox('squeue'), 'train', 'R')
  await says('squeue at the hub', () => onHub('squeue', '-M', SITE), 'train', 'R')
  for (const { metadata } of all) await ends(metadata.name)
  await says('sacct at the box', () => atBox('sacct'), 'train', 'COMPLETED', '0:0')
  await says('sacct at the hub', () => onHub('sacct', '-M', SITE), 'train', 'COMPLETED', '0:0')
  const told = await eventually('the events of the job', async () => {
    const { items } = await read(plane, 'events', '-n', 'research', '--field-selector', 'involvedObject.name=train')
    const reasons = (items as readonly any[]).map(({ type, reason, involvedObject: { kind } }) => `${type} ${reason} ${kind}`) // prettier-ignore
    return reasons.length >= 3 && reasons.toSorted()
  })
  expect(told).toEqual(['Normal Completed BatchJob', 'Normal Started BatchJob', 'Normal SuccessfulCreate BatchJob'])
}, 300_000)

test('of one that fits nowhere kubectl describe says why, and squeue that it waits', async () => {
  await eventually(
    'describe says it',
    async () => {
      const text = await plane.kubectl('describe', 'pod', 'huge-main-0', '-n', 'research')
      if (/FailedScheduling/.test(text) && /2 Insufficient cpu/.test(text)) return true
      throw new Error(`${text}\n${log()}`)
    },
    LIMIT_MS,
  )
  expect(isSaid(atBox('squeue'), 'huge', 'PD', '(Resources)')).toBe(true)
  // The same numbers reach whoever asks at the box or at the hub.
  for (const ask of [() => atBox('agent why', 'huge'), () => onHub('why', `site/${SITE}`)])
    await eventually(
      'why says it with its numbers',
      () => {
        const text = ask()
        if (/2 Insufficient cpu.* lacks \d+m? cpu/s.test(text)) return true
        throw new Error(`${text}\n${log()}`)
      },
      LIMIT_MS,
    )
}, 240_000)

test('what is submitted at the box goes with the rights of its queue`s account; without one it may nothing, and the site says so', async () => {
  const script = path.join(dir, 'count.sh')
  fs.writeFileSync(script, '#!/bin/sh\n#SBATCH --container-image=none --cpus-per-task=1\ntrue\n')
  atBox('sbatch', '-p', 'night', script)
  const [pod] = await running('count', 1)
  await ends(pod.metadata.name)
  await says('sacct', () => atBox('sacct'), 'count', 'COMPLETED')

  atBox('sbatch', '-J', 'orphan', script)
  await eventually('the box says it', () => boxSays('Batch') === 'Forbidden', LIMIT_MS)
  await eventually('the hub says it', async () => (await siteConditions()).includes('Batch/Forbidden'), LIMIT_MS)
  expect(isSaid(atBox('squeue'), 'orphan', 'PD', '(Forbidden)')).toBe(true)
  atBox('scancel', 'orphan')
  await eventually('it is over', async () => !(await siteConditions()).includes('Batch/'), LIMIT_MS)
}, 300_000)

test('paused, nothing is made; resumed, it is', async () => {
  atBox('agent pause', '--reason', 'a disk is replaced', '--by', 'kim')
  const before = made.size
  const script = path.join(dir, 'count.sh')
  atBox('sbatch', '-p', 'night', '-J', 'paused', script)
  job('held', 1, '100m')
  repo.push('a job for a site that is paused')
  const waits = await eventually(
    'the site has it',
    () => {
      const { workloads } = boxNow()
      const held = workloads.find(({ workload }) => workload === 'batchjob.held')
      if (held !== undefined) return [held, workloads.find(({ workload }) => workload === 'batchqueue.night')] as const
      throw new Error(`${atBox('agent status')}${onHub('status')}`)
    },
    LIMIT_MS,
  )
  expect(waits).toMatchObject([{ sync: 'Waiting', waiting: { reason: 'Paused' } }, { sync: 'Synced', health: 'Healthy' }]) // prettier-ignore
  await sleep(1_000)
  expect(made.size).toBe(before)
  expect(await pods('paused')).toEqual([])
  atBox('agent resume')
  for (const name of ['paused', 'held']) {
    const [pod] = await running(name, 1)
    await ends(pod.metadata.name)
    await says('sacct', () => atBox('sacct'), name, 'COMPLETED')
  }
}, 300_000)

test('killed again and again in the middle, every job completes once', async () => {
  const names = ['a', 'b', 'c', 'd'].map((it) => `kill-${it}`)
  for (const name of names) job(name, 2, '1')
  repo.push('four gangs for a site of eight cpus')
  const again = async (): Promise<void> => {
    await agent.stop('SIGKILL')
    agent.start()
  }
  await eventually('the first pod', () => [...made.keys()].some((pod) => pod.startsWith('kill-')), LIMIT_MS)
  await again()
  await eventually('some are bound', async () => {
    const { items } = await read(plane, 'pods', '-n', 'research')
    return (items as readonly any[]).some(({ metadata, spec }) => metadata.name.startsWith('kill-') && spec.nodeName)
  })
  await again()
  let ended = 0
  for (const name of names) {
    for (const { metadata } of await running(name, 2)) {
      await ends(metadata.name)
      if (++ended % 3 === 1) await again()
    }
  }
  for (const name of names) await says('sacct at the box', () => atBox('sacct'), name, 'COMPLETED')
  for (const name of names) await says('sacct at the hub', () => onHub('sacct', '-M', SITE), name, 'COMPLETED')
  const twice = [...made].filter(([, uids]) => uids.size > 1)
  expect(twice).toEqual([])
  expect([...made.keys()].filter((pod) => pod.startsWith('kill-'))).toHaveLength(8)
}, 300_000)

test('a scheduler that may not bind says so of the site, and nothing when it may', async () => {
  const rules = (await read(plane, 'clusterrole', 'flotilla-agent')).rules as readonly any[]
  const become = (now: readonly any[]): Promise<string> =>
    plane.kubectl('patch', 'clusterrole', 'flotilla-agent', '--type=merge', '-p', JSON.stringify({ rules: now }))
  await become(rules.map((rule) => ({ ...rule, resources: rule.resources.filter((it: string) => it !== 'pods/binding') }))) // prettier-ignore
  job('unbound', 1, '1')
  repo.push('a job that cannot be bound')
  await eventually('the hub is told', async () => (await siteConditions()).includes('Scheduler/Forbidden'), LIMIT_MS)
  expect(boxSays('Scheduler')).toBe('Forbidden')
  await become(rules)
  await running('unbound', 1)
  await eventually('it is over', async () => !(await siteConditions()).includes('Scheduler/'), LIMIT_MS)
}, 300_000)
