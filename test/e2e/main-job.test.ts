/**
 * The main job on real input: a real Git server, the built CLI, two real Kubernetes control planes beside simulated sites,
 * a manifest set that nobody wrote for Flotilla. The tests are one story, in order.
 */
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { RolloutView, SiteView, StatusView, WhyView } from '../../src/core/api/types.ts'
import { type GitServer, startGitServer } from '../git/http-server.ts'
import { type ControlPlane, startControlPlane } from '../kube/control-plane.ts'
import {
  buildCli,
  eventually,
  FleetRepo,
  type HubUnderTest,
  type Program,
  ROOT,
  startAgent,
  startHub,
} from './fleet.ts'

const BOUTIQUE = path.resolve(ROOT, '../shared/corpus/online-boutique/kustomize/base')
const SECOND_WAVE = ['e2e-b', 'e2e-c', 'e2e-d']
const SITES = ['e2e-a', ...SECOND_WAVE]

let dir: string
let git: GitServer
let repo: FleetRepo
let hub: HubUnderTest
let a: ControlPlane
let b: ControlPlane
const agents = new Map<string, Program>()

const site = (name: string): Promise<SiteView> => hub.get(`/v1/sites/${name}`)
const at = async (name: string, workload: string) =>
  (await site(name)).workloads.find((one) => one.workload === workload)
const rollout = (workload: string): Promise<RolloutView> => hub.get(`/v1/rollouts/${workload}`)
const status = (): Promise<StatusView> => hub.get('/v1/status')
const seen = (revision: string) =>
  eventually(`the hub takes ${revision.slice(0, 7)}`, async () => (await status()).source.revision === revision, 30_000)
const settled = (name: string, workload: string, ms = 120_000) =>
  eventually(
    `${workload} at ${name} is Synced and Healthy at its target`,
    async () => {
      const found = await at(name, workload)
      return (
        found !== undefined && found.sync === 'Synced' && found.health === 'Healthy' && found.healthy === found.target
      )
    },
    ms,
  )
const kubectl = (plane: ControlPlane, ...args: string[]): string => {
  const done = spawnSync(plane.kubectlPath, ['--kubeconfig', plane.kubeconfig, ...args], { encoding: 'utf8' })
  if (done.status !== 0) throw new Error(`kubectl ${args.join(' ')}: ${done.stderr}`)
  return done.stdout
}
interface Listed {
  items: {
    metadata: { name: string; uid: string; labels?: Record<string, string> }
    spec?: Record<string, unknown>
    data?: unknown
  }[]
}
const list = (plane: ControlPlane, kind: string, namespace: string): Listed =>
  JSON.parse(kubectl(plane, 'get', kind, '-n', namespace, '-o', 'json')) as Listed

const siteFile = (name: string, wave: string): string => `apiVersion: flotilla.dev/v1alpha1
kind: Site
metadata:
  name: ${name}
  labels: { country: dk, format: test, e2e: "true", e2e-wave: ${wave} }
spec:
  location: { timeZone: Europe/Copenhagen }
`

beforeAll(async () => {
  buildCli()
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'flotilla-e2e-'))
  const planes = await Promise.all(
    [1, 2].map(async () => {
      const plane = await startControlPlane(['--controller-manager', '--scheduler'])
      await plane.nodes(3)
      return plane
    }),
  )
  a = planes[0]!
  b = planes[1]!
  repo = new FleetRepo(dir)
  fs.cpSync(path.join(ROOT, 'fleet-example'), repo.work, { recursive: true })
  fs.cpSync(BOUTIQUE, path.join(repo.work, 'teams/e2e/boutique'), { recursive: true })
  repo.edit('flotilla.yaml', (text) => text.replace('spec:\n', 'spec:\n  link: { lateAfter: 2s, lostAfter: 1h }\n'))
  repo.write('sites/e2e/e2e-a.yaml', siteFile('e2e-a', 'canary'))
  for (const name of SECOND_WAVE) repo.write(`sites/e2e/${name}.yaml`, siteFile(name, 'rest'))
  repo.write(
    'teams/e2e/workload.yaml',
    `apiVersion: flotilla.dev/v1alpha1
kind: Workload
metadata: { name: boutique }
spec:
  source: { path: ./boutique }
  namespace: boutique
  targets: [{ selector: { matchLabels: { e2e: "true" } } }]
  overlays:
    # No load balancer answers on these clusters: it would wait for an address for ever.
    - name: inside
      patches: [{ target: { kind: Service, name: frontend-external }, patch: [{ op: replace, path: /spec/type, value: ClusterIP }] }]
  rollout: e2e
`,
  )
  repo.write(
    'teams/e2e/policy.yaml',
    `apiVersion: flotilla.dev/v1alpha1
kind: RolloutPolicy
metadata: { name: e2e }
spec:
  waves:
    - { name: canary, selector: { matchLabels: { e2e-wave: canary } }, maxConcurrent: 1, soak: 3s }
    - { name: rest, maxConcurrent: 100%, soak: 1s }
  maxUnavailable: 100%
  maxFailures: 1
  minCoverage: 60%
  progressDeadline: 90s
  offline: { excuseAfter: 5s, onReturn: ApplyLatest }
  onFailure: Rollback
`,
  )
  const first = repo.push('The example, and the boutique at four sites')
  git = await startGitServer(dir)
  hub = await startHub(dir, `${git.url}/fleet.git`, ['--sync-ms', '1000'])
  await seen(first)
  agents.set('e2e-a', startAgent(dir, hub, 'e2e-a', a.kubeconfig))
  agents.set('e2e-b', startAgent(dir, hub, 'e2e-b', b.kubeconfig))
  for (const name of ['e2e-c', 'e2e-d']) agents.set(name, startAgent(dir, hub, name, undefined))
}, 300_000)

afterAll(async () => {
  await Promise.all([...agents.values()].map((agent) => agent.stop('SIGKILL')))
  await hub?.program.stop('SIGKILL')
  await git?.[Symbol.asyncDispose]()
  await Promise.all([a?.[Symbol.asyncDispose](), b?.[Symbol.asyncDispose]()])
  if (process.env['KEEP'] === undefined) fs.rmSync(dir, { recursive: true, force: true })
})

describe('a commit travels to sites in waves', () => {
  test('the canary site has every object, equal by name and spec to what kubectl would make, and is Ready; then the second wave', async () => {
    await settled('e2e-a', 'boutique', 180_000)
    kubectl(a, 'create', 'namespace', 'reference')
    const files = fs.readdirSync(BOUTIQUE).filter((file) => file !== 'kustomization.yaml')
    kubectl(
      a,
      'apply',
      '--server-side',
      '-n',
      'reference',
      ...files.flatMap((file) => ['-f', path.join(BOUTIQUE, file)]),
    )
    for (const kind of ['deployment', 'service', 'serviceaccount']) {
      const ours = list(a, kind, 'boutique').items.filter(({ metadata }) => !['default'].includes(metadata.name))
      const theirs = list(a, kind, 'reference').items.filter(({ metadata }) => !['default'].includes(metadata.name))
      expect(ours.map(({ metadata }) => metadata.name)).toEqual(
        expect.arrayContaining(theirs.map(({ metadata }) => metadata.name)),
      )
      for (const reference of theirs) {
        if (reference.metadata.name === 'frontend-external') continue
        const mine = ours.find(({ metadata }) => metadata.name === reference.metadata.name)
        const free = (spec: Record<string, unknown> | undefined) => ({
          ...spec,
          clusterIP: undefined,
          clusterIPs: undefined,
          ports: kind === 'service' ? nodePortFree(spec) : spec?.['ports'],
        })
        expect(free(mine?.spec)).toEqual(free(reference.spec))
      }
    }
    kubectl(a, 'delete', 'namespace', 'reference', '--wait=false')
    for (const { metadata } of list(a, 'deployment', 'boutique').items)
      kubectl(a, 'rollout', 'status', `deployment/${metadata.name}`, '-n', 'boutique', '--timeout=60s')
    for (const name of SECOND_WAVE) await settled(name, 'boutique', 180_000)
    await eventually('the rollout completes', async () => (await rollout('boutique')).phase === 'Completed')
  }, 400_000)

  test('an image change restarts only what changed', async () => {
    const before = new Map(list(a, 'pod', 'boutique').items.map(({ metadata }) => [metadata.name, metadata.uid]))
    repo.edit('teams/e2e/boutique/adservice.yaml', (text) => text.replace(/image: (\S+)/, 'image: $1-next'))
    await seen(repo.push('A new adservice'))
    await eventually('adservice has the new image', () =>
      kubectl(
        a,
        'get',
        'deployment',
        'adservice',
        '-n',
        'boutique',
        '-o',
        'jsonpath={.spec.template.spec.containers[0].image}',
      ).endsWith('-next'),
    )
    for (const name of SITES) await settled(name, 'boutique')
    const after = list(a, 'pod', 'boutique').items
    for (const { metadata } of after) {
      if (metadata.name.startsWith('adservice-')) expect(before.has(metadata.name)).toBe(false)
      else expect(metadata.uid).toBe(before.get(metadata.name))
    }
  }, 300_000)

  test('a file removed from Git is pruned; a foreign object beside it is not, nor one of the same name that we never made', async () => {
    kubectl(a, 'create', 'configmap', 'foreign', '-n', 'boutique', '--from-literal=a=b')
    await agents.get('e2e-b')?.stop()
    // At b the Service is no longer the one we made: same name, another UID.
    kubectl(b, 'delete', 'service', 'emailservice', '-n', 'boutique')
    kubectl(b, 'create', 'service', 'clusterip', 'emailservice', '-n', 'boutique', '--tcp=5000')
    const uid = kubectl(b, 'get', 'service', 'emailservice', '-n', 'boutique', '-o', 'jsonpath={.metadata.uid}')
    fs.rmSync(path.join(repo.work, 'teams/e2e/boutique/emailservice.yaml'))
    repo.edit('teams/e2e/boutique/kustomization.yaml', (text) => text.replace(/.*emailservice.yaml\n/, ''))
    await seen(repo.push('No more mail'))
    await eventually(
      'emailservice is gone at a',
      () => !list(a, 'deployment', 'boutique').items.some(({ metadata }) => metadata.name === 'emailservice'),
    )
    agents.get('e2e-b')?.start()
    for (const name of SITES) await settled(name, 'boutique')
    expect(list(a, 'service', 'boutique').items.map(({ metadata }) => metadata.name)).not.toContain('emailservice')
    expect(list(b, 'deployment', 'boutique').items.map(({ metadata }) => metadata.name)).not.toContain('emailservice')
    expect(kubectl(a, 'get', 'configmap', 'foreign', '-n', 'boutique', '-o', 'name')).toContain('foreign')
    expect(kubectl(b, 'get', 'service', 'emailservice', '-n', 'boutique', '-o', 'jsonpath={.metadata.uid}')).toBe(uid)
  }, 300_000)

  test('a site cut off during the wave is excused and catches up', async () => {
    await agents.get('e2e-d')?.stop()
    repo.edit('teams/e2e/boutique/paymentservice.yaml', (text) => text.replace(/image: (\S+)/, 'image: $1-next'))
    const revision = repo.push('A new paymentservice')
    await seen(revision)
    const done = await eventually(
      'the rollout completes without the dark site',
      async () => {
        const view = await rollout('boutique')
        return view.revision === revision && view.phase === 'Completed' && view
      },
      120_000,
    )
    expect(done.counts.excused).toBe(1)
    expect((await site('e2e-d')).link).not.toBe('Online')
    expect((await site('e2e-d')).health).not.toBe('Healthy')
    agents.get('e2e-d')?.start()
    await settled('e2e-d', 'boutique')
  }, 300_000)

  test('all canaries cut off: the wave waits and says Coverage', async () => {
    await agents.get('e2e-a')?.stop()
    repo.edit('teams/e2e/boutique/cartservice.yaml', (text) =>
      text.replace(/image: (\S+cartservice\S*)/, 'image: $1-next'),
    )
    await seen(repo.push('A new cartservice'))
    await eventually(
      'the rollout waits for evidence',
      async () => (await rollout('boutique')).waiting?.reason === 'Coverage',
    )
    const why: WhyView = await hub.get('/v1/why/rollout/boutique')
    expect(JSON.stringify(why)).toContain('Coverage')
    const before = await at('e2e-b', 'boutique')
    expect(before?.desired).not.toBe(before?.target)
    agents.get('e2e-a')?.start()
    for (const name of SITES) await settled(name, 'boutique')
  }, 300_000)

  test('git rm -r of the sites folder stops at the brake', async () => {
    const good = (await status()).source.revision
    repo.git('rm', '-rq', 'sites')
    repo.push('Oops')
    await eventually('the brake says so', async () => (await status()).brake !== null)
    expect((await status()).source.revision).toBe(good)
    for (const name of SITES) expect((await at(name, 'boutique'))?.sync).toBe('Synced')
    repo.git('revert', '--no-edit', 'HEAD')
    repo.git('push', '-q', 'origin', 'HEAD:main')
    await seen(repo.git('rev-parse', 'HEAD'))
    expect((await status()).brake).toBeNull()
  }, 120_000)

  test('a commit with a broken file moves nothing and says where', async () => {
    const good = (await status()).source.revision
    repo.write('sites/e2e/e2e-a.yaml', siteFile('e2e-a', 'canary').replace('labels: {', 'labels: ['))
    repo.push('Broken')
    const view = await eventually('the problem is shown with its place', async () => {
      const now = await status()
      return (
        now.source.problems.some(
          ({ severity, place }) => severity === 'error' && place.file === 'sites/e2e/e2e-a.yaml',
        ) && now
      )
    })
    expect(view.source.revision).toBe(good)
    expect(view.source.seen).not.toBe(good)
    repo.write('sites/e2e/e2e-a.yaml', siteFile('e2e-a', 'canary'))
    await seen(repo.push('Mended'))
  }, 120_000)

  test('a force-push moves nothing and says why', async () => {
    const good = (await status()).source.revision
    repo.edit('teams/e2e/boutique/adservice.yaml', (text) => `${text}# amended\n`)
    repo.push('Instead', '--amend')
    await eventually(
      'the hub says HistoryRewritten',
      async () => (await status()).source.fault?.reason === 'HistoryRewritten',
    )
    expect((await status()).source.revision).toBe(good)
    repo.git('reset', '-q', '--hard', good as string)
    repo.git('push', '-qf', 'origin', 'HEAD:main')
    await eventually('the fault is gone', async () => (await status()).source.fault === null)
  }, 120_000)

  test('the hub killed in the middle of a rollout and started again goes on', async () => {
    repo.edit('teams/e2e/boutique/shippingservice.yaml', (text) => text.replace(/image: (\S+)/, 'image: $1-next'))
    await seen(repo.push('A new shippingservice'))
    await hub.program.stop('SIGKILL')
    hub.program.start()
    for (const name of SITES) await settled(name, 'boutique', 180_000)
    await eventually('the rollout is complete', async () => (await rollout('boutique')).phase === 'Completed')
  }, 300_000)

  test('an agent killed in the middle of an apply goes on', async () => {
    for (const file of [
      'checkoutservice',
      'currencyservice',
      'frontend',
      'productcatalogservice',
      'recommendationservice',
    ]) {
      repo.edit(`teams/e2e/boutique/${file}.yaml`, (text) => text.replace(/image: (\S+)/, 'image: $1-next'))
    }
    await seen(repo.push('Five at once'))
    const image = (name: string) =>
      kubectl(
        a,
        'get',
        'deployment',
        name,
        '-n',
        'boutique',
        '-o',
        'jsonpath={.spec.template.spec.containers[*].image}',
      )
    await eventually(
      'the first of them is applied',
      () => ['checkoutservice', 'currencyservice', 'frontend'].some((name) => image(name).includes('-next')),
      60_000,
    )
    await agents.get('e2e-a')?.stop('SIGKILL')
    agents.get('e2e-a')?.start()
    for (const name of SITES) await settled(name, 'boutique', 180_000)
    for (const name of [
      'checkoutservice',
      'currencyservice',
      'frontend',
      'productcatalogservice',
      'recommendationservice',
    ])
      expect(image(name)).toContain('-next')
  }, 300_000)
})

describe('what a user reads', () => {
  test('status, get and why say it in words, as JSON, and as names', () => {
    expect(hub.cli('status').out).toMatch(/SITES \d+ +online 4/)
    expect(hub.cli('get', 'sites', '-l', 'e2e=true', '-o', 'name').out.trim().split('\n').toSorted()).toEqual(
      SITES.map((name) => `site/${name}`),
    )
    expect(JSON.parse(hub.cli('get', 'rollouts', '-o', 'json').out)).toMatchObject({ formatVersion: 1 })
    expect(hub.cli('why', 'site/e2e-a').out).toContain('e2e-a')
    const unknown = hub.cli('why', 'site/nowhere')
    expect(unknown.code).toBe(2)
    expect(unknown.err).toContain('NotFound')
  })

  test('SIGTERM ends hub and agents within ten seconds', async () => {
    const began = performance.now()
    const codes = await Promise.all([...agents.values(), hub.program].map((program) => program.stop('SIGTERM')))
    expect(codes.every((code) => code === 0)).toBe(true)
    expect(performance.now() - began).toBeLessThan(10_000)
  })
})

function nodePortFree(spec: Record<string, unknown> | undefined): unknown {
  return (spec?.['ports'] as Record<string, unknown>[] | undefined)?.map((port) => ({ ...port, nodePort: undefined }))
}
