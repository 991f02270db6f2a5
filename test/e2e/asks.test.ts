/**
 * What a hub carries to its sites, as people use it: the built CLI, a hub and agents as processes, one site on a real cluster whose
 * kubelet runs containers, one simulated. One story, in order.
 */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { AskView } from '../../src/core/api/asks.ts'
import type { AuditView, Page, SiteView } from '../../src/core/api/types.ts'
import { type GitServer, startGitServer } from '../git/http-server.ts'
import { type ControlPlane, startControlPlane } from '../kube/control-plane.ts'
import { buildCli, eventually, FleetRepo, flotilla, type HubUnderTest, Program, startAgent, startHub } from './fleet.ts' // prettier-ignore

const FLEET = `
apiVersion: flotilla.dev/v1alpha1
kind: Fleet
metadata: { name: shops }
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
kind: Site
metadata: { name: s1, labels: { shop: "yes" } }
spec:
  location: { timeZone: Europe/Copenhagen }
---
apiVersion: flotilla.dev/v1alpha1
kind: Site
metadata: { name: s2, labels: { shop: "yes" } }
spec:
  location: { timeZone: Europe/Copenhagen }
---
apiVersion: flotilla.dev/v1alpha1
kind: BatchQueue
metadata: { name: night }
spec:
  targets: [{ selector: { matchLabels: { shop: "yes" } } }]
---
apiVersion: flotilla.dev/v1alpha1
kind: Workload
metadata: { name: till }
spec:
  source: { path: ./till }
  namespace: shop
  targets: [{ selector: { matchLabels: { shop: "yes" } } }]
  drift: { mode: report }
`
const TILL = `
apiVersion: v1
kind: Namespace
metadata: { name: shop }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: till }
spec:
  replicas: 1
  selector: { matchLabels: { app: till } }
  template:
    metadata: { labels: { app: till } }
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: main
          image: docker.io/library/busybox:test
          imagePullPolicy: Never
          command: [sh, -c, 'for i in 1 2 3; do echo "till says $i"; done; exec sleep 100000']
---
apiVersion: v1
kind: Secret
metadata: { name: pin }
stringData: { pin: "4711-desired" }
`
const SCRIPT = `#!/bin/sh
#SBATCH --job-name=train --partition=night --container-image=docker.io/library/busybox:test
sleep 100000
`

/** What is prompt is so by the hub's call, and by the site's wish to answer. */
const FAR = ['--poll-ms', '60000']

let dir: string
let plane: ControlPlane
let git: GitServer
let hub: HubUnderTest
const agents = new Map<string, Program>()

const site = (name: string): Promise<SiteView> => hub.get(`/v1/sites/${name}`)
const settled = (name: string) =>
  eventually(`${name} runs the till`, async () => {
    const { sync, health } = await site(name)
    if (sync === 'Synced' && health === 'Healthy') return true
    throw new Error(JSON.stringify((await site(name)).workloads))
  }, 120_000) // prettier-ignore

beforeAll(async () => {
  buildCli()
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'flotilla-asks-'))
  plane = await startControlPlane(['--kubelet'])
  const repo = new FleetRepo(dir)
  repo.write('flotilla.yaml', FLEET)
  repo.write('till/till.yaml', TILL)
  repo.push('Two shops')
  git = await startGitServer(dir)
  hub = await startHub(dir, `${git.url}/fleet.git`, ['--sync-ms', '60000'])
  agents.set('s1', startAgent(dir, hub, 's1', plane.kubeconfig, ...FAR, '--asks', 'all'))
  agents.set('s2', startAgent(dir, hub, 's2', undefined, ...FAR))
  await settled('s1')
  await settled('s2')
}, 300_000)

afterAll(async () => {
  await Promise.all([...agents.values()].map((agent) => agent.stop('SIGKILL')))
  await hub?.program.stop('SIGKILL')
  await git?.[Symbol.asyncDispose]()
  await plane?.stop()
  fs.rmSync(dir, { recursive: true, force: true })
}, 120_000)

test('a site that is as it should be has no difference; a change by hand is shown with both values, and exit 1', async () => {
  expect(hub.cli('diff', 's1')).toMatchObject({
    code: 0,
    out: expect.stringMatching(/^site\/s1: no difference in 3 objects/),
  })
  await plane.kubectl('-n', 'shop', 'scale', 'deployment/till', '--replicas=2')
  await plane.kubectl('-n', 'shop', 'set', 'image', 'deployment/till', 'main=docker.io/library/other:1')
  const pin = JSON.stringify({ stringData: { pin: '0815-live' } })
  await plane.kubectl('-n', 'shop', 'patch', 'secret/pin', '--type=merge', '-p', pin)
  const seen = await eventually('the diff shows it', () => {
    const shown = hub.cli('diff', 's1')
    return shown.code === 1 && shown.out.includes('Secret shop/pin') && shown
  })
  expect(seen.out).toContain('- "docker.io/library/other:1"\n    + "docker.io/library/busybox:test"')
  expect(seen.out).toContain('by kubectl-set')
  for (const secret of ['4711', '0815']) {
    expect(seen.out).not.toContain(secret)
    expect(seen.out).not.toContain(Buffer.from(secret).toString('base64').slice(0, 5))
  }
  // At the box, without the hub, the same; and over the fleet alike ones together.
  const box = flotilla(['diff', '--data', path.join(dir, 'agent-s1')], {})
  expect([box.code, box.out]).toEqual([seen.code, seen.out])
  const fleet = hub.cli('diff', '-l', 'shop=yes')
  expect(fleet.code).toBe(1)
  expect(fleet.out).toContain('site/s2: no difference')
  expect(fleet.out).toContain('site/s1: 2 of 3 objects differ')
  await plane.kubectl('-n', 'shop', 'set', 'image', 'deployment/till', 'main=docker.io/library/busybox:test')
})

test('logs come from the kubelet, newest lines first of all kept', async () => {
  const shown = await eventually('the pod writes', () => {
    const logs = hub.cli('logs', 's1', 'till', '--tail', '2')
    return logs.code === 0 && logs.out.includes('till says 3') && logs
  })
  expect(shown.out).toContain('till says 2')
  expect(shown.out).not.toContain('till says 1')
  const [pod = ''] = (await plane.kubectl('-n', 'shop', 'get', 'pods', '-o', 'name')).trim().split('\n')
  expect(hub.cli('logs', 's1', pod.replace('pod/', 'shop/'), '--tail', '1').out.trim()).toBe('till says 3')
  const system = hub.cli('logs', 's1', 'shop/nothing')
  expect([system.code, system.err]).toEqual([2, expect.stringContaining('error NotFound at site/s1')])
})

test('a command runs in a container there, where the owner of the site lets it', async () => {
  const ran = hub.cli('exec', 's1', 'till', '--', 'sh', '-c', 'echo out; echo err >&2; exit 3')
  expect([ran.code, ran.out]).toEqual([1, 'out\n'])
  expect(ran.err).toContain('err\n')
  expect(ran.err).toMatch(/the command ended with exit code 3 in shop\/till-\S+ main/)
  expect(hub.cli('exec', 's1', 'till', '--', '/nothing')).toMatchObject({ code: 2, err: expect.stringContaining('error Rejected at site/s1') }) // prettier-ignore
  expect(hub.cli('exec', 's2', 'till', '--', 'true')).toMatchObject({
    code: 2,
    err: 'error Forbidden at site/s2: this site does not take exec from the hub\n',
  })
})

test('jobs are submitted, held back and ended at a site from where the hub is', async () => {
  const script = path.join(dir, 'train.sh')
  fs.writeFileSync(script, SCRIPT)
  expect(hub.cli('queue', 'hold', 'night', '-M', 's2')).toMatchObject({
    code: 0,
    out: 'site/s2: queue night is held\n',
  })
  expect(hub.cli('sbatch', '-M', 's2', script)).toMatchObject({ code: 0, out: 'Submitted batch job train on cluster s2\n' }) // prettier-ignore
  const row = (): string => hub.cli('squeue', '-M', 's2', '--noheader', '-o', '%i %u %t').out.trim()
  // Whose token it was, whatever the shell is called.
  await eventually('the job is there', () => row() === 'train admin PD' || Promise.reject(new Error(row())))
  expect(hub.cli('queue', 'resume', 'night', '-l', 'shop=yes').out).toBe(
    '2 sites (s1 s2): queue night is as Git says\n',
  )
  expect(hub.cli('scancel', '-M', 's1,s2', '-v', 'train')).toMatchObject({
    code: 1,
    err: expect.stringContaining('scancel: Terminating job train on site/s2'),
  })
  await eventually('the job is gone', () => row() === '' || Promise.reject(new Error(row())))
  const job = path.join(dir, 'job.yaml')
  const container = '{ name: main, image: x, resources: { requests: { cpu: "900" } } }'
  fs.writeFileSync(job, `apiVersion: v1\nkind: Pod\nmetadata: { name: big }\nspec: { schedulerName: flotilla, containers: [${container}] }\n`) // prettier-ignore
  expect(hub.cli('predict', 's1', '-f', job)).toMatchObject({
    code: 3,
    out: expect.stringContaining('at s1: never fits'),
  })
  expect(hub.cli('reconcile', 's2', '-w')).toMatchObject({ code: 0, out: expect.stringContaining('till') })
})

test('who may ask what is the token’s, and each ask stands in the audit log', async () => {
  const token = hub.cli('token', 'create', '--role', 'viewer', '--name', 'vi', '-o', 'name').out.trim()
  const viewer = (...args: string[]) => flotilla([...args, '--token', token], hub.env)
  expect(viewer('diff', 's2').code).toBe(0)
  expect(viewer('logs', 's2', 'till')).toMatchObject({ code: 2, err: expect.stringContaining('Forbidden') })
  const audit = hub.cli('audit').out
  for (const said of [/admin +ask sbatch +s2/, /vi +ask diff +s2/, /admin +ask queue +2 sites/])
    expect(audit).toMatch(said)
})

test('a site that does not call: exit 7, and it is not done when it comes back', async () => {
  const before = await site('s2')
  await agents.get('s2')?.stop('SIGKILL')
  const script = path.join(dir, 'train.sh')
  const late = hub.cli('sbatch', '-M', 's2', '--timeout', '2s', script)
  expect([late.code, late.out]).toEqual([7, ''])
  expect(late.err).toMatch(/^site s2 did not call within 2s; last contact .+ ago\); it will not run this any more$/m)
  // Whoever stops waiting takes it back.
  const waiting = new Program('waiting', dir, ['sbatch', '-M', 's2', script], hub.env)
  waiting.start()
  await eventually('it is asked', async () => (await hub.get<Page<AuditView>>('/v1/audit?limit=500')).items.filter(({ action }) => action === 'ask sbatch').length === 3) // prettier-ignore
  expect(await waiting.stop('SIGINT')).toBe(7)
  expect(fs.readFileSync(waiting.log, 'utf8')).toBe('site s2 was not told of it yet, and will not run it\n')
  agents.get('s2')?.start()
  await eventually('s2 is back', async () => ((await site('s2')).lastContactMs ?? 0) > (before.lastContactMs ?? 0))
  const now = hub.cli('sbatch', '-M', 's2', '--parsable', script)
  expect([now.code, now.out]).toEqual([0, 'train-2;s2\n'])
  expect(now.err).toBe('')
})

test('a kill of the agent while it is at it is told as what it is, and nothing is done twice', async () => {
  const headers = { authorization: `Bearer ${hub.env['FLOTILLA_TOKEN']}`, 'content-type': 'application/json' }
  const args = { script: SCRIPT, name: 'x', options: [], args: [] }
  const body = JSON.stringify({ verb: 'sbatch', args, sites: ['s2'] })
  const asked = (await (await fetch(new URL('/v1/asks', hub.env['FLOTILLA_HUB']), { method: 'POST', headers, body })).json()) as AskView // prettier-ignore
  // Anywhere between its arrival and its answer.
  await agents.get('s2')?.stop('SIGKILL')
  agents.get('s2')?.start()
  const view = await eventually('it is answered, or it is said that nobody knows', async () => {
    const now = await hub.get<AskView>(`/v1/asks/${asked.id}?answers=1`)
    return now.counts.answered === 1 && now
  })
  const { answer } = view.groups[0]!
  expect(answer.ok || answer.reason === 'OutcomeUnknown').toBe(true)
  const jobs = (): string[] => hub.cli('squeue', '-M', 's2', '--noheader', '-o', '%i').out.trim().split('\n')
  await eventually('once, at most', () => jobs().length === (answer.ok ? 2 : jobs().length) || Promise.reject(new Error(jobs().join(' ')))) // prettier-ignore
  expect(jobs().length).toBeLessThanOrEqual(2)
})
