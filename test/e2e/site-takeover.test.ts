/**
 * What other tools made becomes ours with nothing made anew: on a real API server, where only it knows who holds which field.
 * Helm is the real one; Flux, Argo CD and Rancher are what their agents leave behind: managers, labels and annotations.
 */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Manifest } from '../../src/core/model/object.ts'
import { startControlPlane, type ControlPlane } from '../kube/control-plane.ts'
import { configMap, deployment, SIGNAL, type Told } from '../unit/agent/site.ts'
import { liveSite, type LiveSite, type LiveSiteOptions } from './site-rig.ts'

const HELM = join(process.env['KUBE_TEST_PEERS'] ?? join(homedir(), '.cache/kube-test/peers'), 'helm')

let plane: ControlPlane
const sites: LiveSite[] = []

beforeAll(async () => {
  plane = await startControlPlane()
  await plane.kubectl('create', 'namespace', 'shop')
})
afterAll(async () => {
  for (const site of sites) await site[Symbol.asyncDispose]()
  await plane?.stop()
})

async function siteOf(set: string, agent: LiveSiteOptions['agent'] = {}): Promise<LiveSite> {
  const site = await liveSite(plane.kubeconfig, { set, agent: { fuseObjects: 1_000, ...agent } })
  sites.push(site)
  return site
}

async function fileOf(name: string, objects: readonly Manifest[]): Promise<string> {
  const file = join(plane.dir, `${name}.json`)
  await writeFile(file, JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }))
  return file
}

interface ManagedFields {
  readonly manager: string
  readonly operation: string
}

const managersOf = (live: Manifest | undefined): string[] =>
  ((live?.metadata.managedFields ?? []) as unknown as ManagedFields[])
    .map(({ manager, operation }) => `${manager} ${operation}`)
    .toSorted()

const envOf = (live: Manifest | undefined): unknown =>
  (live?.['spec'] as { template: { spec: { containers: { env?: unknown }[] } } } | undefined)?.template.spec
    .containers[0]?.env

/** A Deployment with a variable that Git will drop, and a ConfigMap with a key that it will drop. */
const earlier = (name: string, marks: Partial<Manifest['metadata']> = {}): readonly [Manifest, Manifest] => {
  const app = deployment(name)
  const { template } = app['spec'] as { template: { spec: { containers: { env?: unknown }[] } } }
  template.spec.containers[0]!.env = [{ name: 'MODE', value: 'old' }]
  const settings = configMap(name, { a: '1', old: 'yes' })
  return [
    { ...app, metadata: { ...app.metadata, ...marks } },
    { ...settings, metadata: { ...settings.metadata, ...marks } },
  ]
}
const wanted = (name: string): readonly [Manifest, Manifest] => [deployment(name), configMap(name)]

describe('what was made before is taken over, what Git dropped goes, and nothing is made anew', () => {
  const apply = async (name: string, objects: readonly Manifest[], ...how: string[]): Promise<void> => {
    await plane.kubectl('apply', ...how, '-f', await fileOf(name, objects))
  }
  test.each<[string, string, (name: string) => Promise<void>]>([
    ['kubectl apply', 'by-kubectl', (name) => apply(name, earlier(name))],
    ['kubectl apply --server-side', 'by-kubectl-ssa', (name) => apply(name, earlier(name), '--server-side')],
    [
      'kubectl create, then kubectl edit',
      'by-edit',
      async (name) => {
        await plane.kubectl('create', '-f', await fileOf(name, wanted(name)))
        const patch = async (of: string, text: string): Promise<void> => {
          await plane.kubectl('-n', 'shop', 'patch', of, '--field-manager=kubectl-edit', '-p', text)
        }
        await patch(`configmap/${name}`, '{"data":{"old":"yes"}}')
        const env = [{ name: 'MODE', value: 'old' }]
        const containers = [{ name: 'main', env }]
        await patch(`deployment/${name}`, JSON.stringify({ spec: { template: { spec: { containers } } } }))
      },
    ],
    [
      'Flux',
      'by-flux',
      (name) =>
        apply(
          name,
          earlier(name, {
            labels: {
              'kustomize.toolkit.fluxcd.io/name': 'apps',
              'kustomize.toolkit.fluxcd.io/namespace': 'flux-system',
            },
          }),
          '--server-side',
          '--field-manager=kustomize-controller',
        ),
    ],
    [
      'Argo CD, client-side',
      'by-argo',
      (name) =>
        apply(
          name,
          earlier(name, {
            labels: { 'app.kubernetes.io/instance': 'apps' },
            annotations: { 'argocd.argoproj.io/tracking-id': `apps:apps/Deployment:shop/${name}` },
          }),
          '--field-manager=argocd-controller',
        ),
    ],
    [
      'Rancher Fleet',
      'by-rancher',
      (name) =>
        apply(
          name,
          earlier(name, {
            labels: { 'objectset.rio.cattle.io/hash': 'f'.repeat(40) },
            annotations: { 'objectset.rio.cattle.io/id': 'default-apps', 'meta.helm.sh/release-name': 'apps' },
          }),
          '--field-manager=fleetagent',
        ),
    ],
  ])(
    '%s',
    async (_tool, name, make) => {
      await make(name)
      const site = await siteOf(name)
      const objects = wanted(name)
      const before = await Promise.all(objects.map((object) => site.live(object)))
      // By default somebody else's work is not touched, and what differs is said.
      await site.tell({ [name]: { objects, rules: { adopt: 'never' } } })
      expect(site.workload(name).sync).toBe('Failed')
      expect(await Promise.all(objects.map((object) => site.live(object)))).toEqual(before)
      await site.tell({ [name]: { objects, rules: { adopt: 'ifIdentical' } } })
      await site.tell({ [name]: { objects, rules: { adopt: 'yes' } } })
      expect(site.workload(name)).toMatchObject({ sync: 'Synced' })
      const [app, settings] = await Promise.all(objects.map((object) => site.live(object)))
      expect([app?.metadata.uid, settings?.metadata.uid]).toEqual(before.map((it) => it?.metadata.uid))
      expect(envOf(app)).toBeUndefined()
      expect(settings?.['data']).toEqual({ a: '1' })
      expect(managersOf(app)).toEqual(['flotilla Apply'])
      expect(managersOf(settings)).toEqual(['flotilla Apply'])
      // Labels and annotations of theirs that say "mine" went with the rest of their fields.
      expect(Object.keys(settings?.metadata.annotations ?? {})).toEqual([])
      expect(Object.keys(settings?.metadata.labels ?? {}).filter((label) => !label.includes('flotilla'))).toEqual([
        'applyset.kubernetes.io/part-of',
      ])
    },
    60_000,
  )

  test('Helm', async () => {
    if (!existsSync(HELM)) throw new Error(`no helm at ${HELM}: build it with ../shared/peers/build.sh helm`)
    const chart = join(plane.dir, 'chart')
    await mkdir(join(chart, 'templates'), { recursive: true })
    await writeFile(join(chart, 'Chart.yaml'), 'apiVersion: v2\nname: till\nversion: 1.0.0\n')
    const label = { labels: { 'app.kubernetes.io/managed-by': 'Helm' } }
    const objects = earlier('by-helm', label)
    await writeFile(join(chart, 'templates/all.yaml'), objects.map((it) => JSON.stringify(it)).join('\n---\n'))
    const helm = promisify(execFile)
    const flags = ['--kubeconfig', plane.kubeconfig, '-n', 'shop']
    await helm(HELM, ['install', 'till', chart, ...flags])
    const site = await siteOf('by-helm')
    const told = wanted('by-helm')
    const before = await Promise.all(told.map((object) => site.live(object)))
    expect(managersOf(before[1]).join()).toMatch(/helm/i)
    await site.tell({ till: { objects: told, rules: { adopt: 'yes' } } })
    expect(site.workload('till')).toMatchObject({ sync: 'Synced' })
    const [app, settings] = await Promise.all(told.map((object) => site.live(object)))
    expect([app?.metadata.uid, settings?.metadata.uid]).toEqual(before.map((it) => it?.metadata.uid))
    expect(envOf(app)).toBeUndefined()
    expect(settings?.['data']).toEqual({ a: '1' })
    expect(managersOf(app)).toEqual(['flotilla Apply'])
    expect(settings?.metadata.annotations ?? {}).toEqual({})
  }, 60_000)
})

test('adoption is visible before it happens: a site that only looks says what it would take', async () => {
  const object = configMap('looked-at', { a: 'theirs' })
  await plane.kubectl('apply', '-f', await fileOf('looked-at', [object]))
  const site = await siteOf('looking', { mode: 'observe' })
  await site.tell({ look: { objects: [configMap('looked-at')], rules: { adopt: 'yes' } } })
  expect(JSON.stringify(site.workload('look').objects)).toContain('would adopt')
  expect(await site.live(object)).toMatchObject({ data: { a: 'theirs' } })
})

test('another live manager that writes back is named with its fields, and the correction stops', async () => {
  const site = await siteOf('fight')
  const object = configMap('fought', { a: 'git', b: '1' })
  await site.tell({ till: { objects: [object] } })
  for (let i = 0; i < 8; i++) {
    const patch = `{"data":{"a":"operator-${i}"}}`
    await plane.kubectl('-n', 'shop', 'patch', 'configmap/fought', '--field-manager=price-operator', '-p', patch)
    await site.turns(3)
  }
  const before = site.agent.status().counts.writes
  await site.turns(3)
  expect(site.agent.status().counts.writes).toBe(before)
  expect(site.workload('till')).toMatchObject({ sync: 'Drifted', objects: [{ reason: 'Fought' }] })
  expect(site.workload('till').objects[0]?.message).toContain('/data/a (price-operator)')
}, 60_000)

test('what another manager holds is not taken by making it: the refusal names the manager and the fields', async () => {
  const theirs = configMap('held', { a: 'operator' })
  const file = await fileOf('held', [theirs])
  await plane.kubectl('apply', '--server-side', '--field-manager=price-operator', '-f', file)
  const site = await siteOf('held')
  await site.tell({ till: { objects: [configMap('held', { a: 'git' })], rules: { adopt: 'ifIdentical' } } })
  expect(site.workload('till')).toMatchObject({ sync: 'Failed', objects: [{ reason: 'NotAdopted' }] })
  expect(site.workload('till').objects[0]?.message).toContain('/data/a (price-operator)')
  expect(await site.live(theirs)).toMatchObject({ data: { a: 'operator' } })
})

describe('what is ours keeps its identity', () => {
  const uidsOf = async (site: LiveSite, objects: readonly Manifest[]): Promise<unknown> =>
    Promise.all(objects.map(async (object) => (await site.live(object))?.metadata.uid))

  test('a lost inventory is read back from the labels: nothing is made anew, then what Git no longer names goes', async () => {
    const site = await siteOf('lost')
    const objects = [deployment('kept'), configMap('kept')]
    const extra = configMap('dropped')
    const told: Readonly<Record<string, Told>> = { till: { objects: [...objects, extra] } }
    await site.tell(told)
    const before = await uidsOf(site, objects)
    site.restart()
    await site.publish({ till: { objects } })
    await site.agent.turn(SIGNAL)
    expect(await site.live(extra)).toBeDefined()
    await site.turns()
    expect(await uidsOf(site, objects)).toEqual(before)
    expect(await site.live(extra)).toBeUndefined()
    expect(site.agent.status()).toMatchObject({ inventory: 2, counts: { deletes: 1 } })
  })

  test('a workload is renamed, and an object moves between workloads', async () => {
    const site = await siteOf('moves')
    const [app, one, two] = [deployment('moved-app'), configMap('moved-one'), configMap('moved-two')]
    await site.tell({ first: { objects: [app, one] }, second: { objects: [two] } })
    const before = await uidsOf(site, [app, one, two])
    await site.tell({ till: { objects: [app, one], rules: { formerNames: ['first'] } }, second: { objects: [two] } })
    await site.tell({ till: { objects: [app], rules: { formerNames: ['first'] } }, second: { objects: [one, two] } })
    expect(await uidsOf(site, [app, one, two])).toEqual(before)
    expect(await site.live(one)).toMatchObject({ metadata: { labels: { 'flotilla.dev/workload': 'second' } } })
    expect(await site.live(app)).toMatchObject({ metadata: { labels: { 'flotilla.dev/workload': 'till' } } })
    expect(site.agent.status().counts.deletes).toBe(0)
  })

  test('an object moves to another API group and to another version', async () => {
    const site = await siteOf('groups')
    const times = { eventTime: '2026-01-01T00:00:00.000000Z', reason: 'Opened', action: 'Open', type: 'Normal' }
    const about = { apiVersion: 'v1', kind: 'ConfigMap', name: 'door', namespace: 'shop' }
    const metadata = { name: 'door-opened', namespace: 'shop' }
    const reporter = { reportingInstance: 'door-1' }
    const core: Manifest = {
      apiVersion: 'v1',
      kind: 'Event',
      metadata,
      involvedObject: about,
      reportingComponent: 'shop.example/door',
      ...reporter,
      ...times,
    }
    const moved: Manifest = {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata,
      regarding: about,
      reportingController: 'shop.example/door',
      ...reporter,
      ...times,
    }
    const scaler = (version: 'v1' | 'v2'): Manifest => ({
      apiVersion: `autoscaling/${version}`,
      kind: 'HorizontalPodAutoscaler',
      metadata: { name: 'till', namespace: 'shop' },
      spec: {
        scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'till' },
        minReplicas: 1,
        maxReplicas: 3,
      },
    })
    await site.tell({ till: { objects: [core, scaler('v1')] } })
    expect(site.workload('till').sync).toBe('Synced')
    const before = await uidsOf(site, [core, scaler('v1')])
    await site.tell({ till: { objects: [moved, scaler('v2')] } })
    await site.turns(3)
    expect(await uidsOf(site, [moved, scaler('v2')])).toEqual(before)
    expect(site.agent.status()).toMatchObject({ inventory: 2, counts: { deletes: 0 } })
  })
})
