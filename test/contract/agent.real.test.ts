/** The agent on a real kube-apiserver: what no simulation can promise about defaults, field managers and definitions. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parseAllDocuments, stringify } from 'yaml'
import { openAgentStore } from '../../src/adapters/store/agent-store.ts'
import { openCluster } from '../../src/adapters/cluster/kube-cluster.ts'
import { createAgent, type Agent } from '../../src/agent/agent.ts'
import { scopeOf } from '../../src/core/diff/validate.ts'
import type { Cluster } from '../../src/core/kube/cluster.ts'
import { groupOf, refOf, type Manifest } from '../../src/core/model/object.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { startControlPlane, type ControlPlane } from '../kube/control-plane.ts'
import { configMap, deployment, HubStub, IDENTITY, SIGNAL, type Told } from '../unit/agent/site.ts'

const CORPUS = process.env['CORPUS_DIR'] ?? resolve(import.meta.dirname, '../../../shared/corpus')

let plane: ControlPlane
let cluster: Cluster
const asked = new Map<string, number>()

beforeAll(async () => {
  plane = await startControlPlane()
  cluster = await openCluster(
    { from: 'kubeconfig', path: plane.kubeconfig },
    { onRequest: ({ method }) => asked.set(method, (asked.get(method) ?? 0) + 1) },
  )
})
afterAll(async () => {
  await cluster?.close()
  await plane?.stop()
})

interface Live {
  readonly agent: Agent
  readonly hub: HubStub
  readonly tell: (workloads: Readonly<Record<string, Told>>) => Promise<void>
  readonly turns: (limit?: number) => Promise<void>
}

function site(set: string): Live {
  const hub = new HubStub(() => Date.now())
  const store = openAgentStore(':memory:')
  store.saveIdentity(IDENTITY)
  const agent = createAgent(
    {
      cluster,
      link: hub,
      store,
      clock: systemClock,
      log: { info() {}, warn() {}, error() {}, debug() {}, child: () => null as never },
      machine: { bootId: 'boot', uptimeMs: () => performance.now() },
      random: Math.random,
    },
    { version: '0.1.0', applySet: { namespace: 'flotilla-system', name: set } },
  )
  const turns = async (limit = 20): Promise<void> => {
    for (let i = 0; i < limit; i++) {
      // As the loop does: a turn that met a fault is tried again.
      await agent.turn(SIGNAL).catch(() => undefined)
      if (i > 0 && agent.status().workloads.every(({ applied, desired }) => applied?.digest === desired?.digest)) return
      await systemClock.sleep(500, SIGNAL)
    }
  }
  const tell = async (workloads: Readonly<Record<string, Told>>): Promise<void> => {
    hub.publish(workloads, { issued: new Date(0).toISOString() })
    await agent.exchange(SIGNAL)
    await turns()
  }
  return { agent, hub, tell, turns }
}

function documentsOf(folder: string): readonly Manifest[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((file) => {
    if (file.isDirectory()) return documentsOf(join(folder, file.name))
    if (!file.name.endsWith('.yaml')) return []
    return parseAllDocuments(readFileSync(join(folder, file.name), 'utf8')).flatMap((document) => {
      const manifest = document.toJS() as Manifest & { readonly items?: readonly Manifest[] }
      return manifest?.kind?.endsWith('List') ? (manifest.items ?? []) : manifest === null ? [] : [manifest]
    })
  })
}

/** As the hub does: an object of a namespaced kind without a namespace stands in the workload's. */
function placed(manifest: Manifest): Manifest {
  if (scopeOf(groupOf(manifest.apiVersion), manifest.kind, new Map()) !== 'Namespaced') return manifest
  return { ...manifest, metadata: { ...manifest.metadata, namespace: manifest.metadata.namespace ?? 'monitoring' } }
}

const writesSoFar = (): number =>
  ['POST', 'PUT', 'PATCH', 'DELETE'].reduce((sum, verb) => sum + (asked.get(verb) ?? 0), 0)

test('kube-prometheus with its definitions: from empty in one release, then nothing; its removal stops at the fuse', async () => {
  const objects = documentsOf(join(CORPUS, 'kube-prometheus/manifests')).map(placed)
  expect(objects.length).toBeGreaterThan(80)
  const { agent, tell } = site('prometheus')
  await tell({ monitoring: { objects, rules: { adopt: 'never' } }, keep: { objects: [configMap('keep')] } })
  const [monitoring] = agent.status().workloads
  expect(monitoring?.objects.filter(({ sync }) => sync !== 'Synced')).toEqual([])
  expect(monitoring?.applied?.digest).toBe(monitoring?.desired?.digest)
  const [writes, gets] = [writesSoFar(), agent.status().requests]
  await agent.turn(SIGNAL)
  await agent.turn(SIGNAL)
  expect(writesSoFar()).toBe(writes)
  expect(agent.status().requests).toMatchObject({ gets: gets.gets, lists: gets.lists })
  expect(agent.status().counts.corrected).toBe(0)
  await tell({ keep: { objects: [configMap('keep')] } })
  // More than the fuse allows: nothing went.
  expect(agent.status().conditions).toMatchObject([{ reason: 'DeletionBrake' }])
  agent.stop()
})

test('what kubectl applied is taken over with nothing changed that a pod is made of, and a field removed from Git goes away', async () => {
  const before = deployment('taken')
  const file = join(plane.dir, 'taken.yaml')
  const withEnv = deployment('taken', 'till:1')
  const spec = withEnv['spec'] as { template: { spec: { containers: { env?: unknown }[] } } }
  spec.template.spec.containers[0]!.env = [{ name: 'MODE', value: 'old' }]
  writeFileSync(file, stringify(withEnv))
  await plane.kubectl('create', 'namespace', 'shop').catch(() => undefined)
  await plane.kubectl('apply', '-f', file)
  const theirs = await cluster.get(withEnv, refOf(withEnv), SIGNAL)
  const { agent, tell } = site('adoption')
  await tell({ till: { objects: [withEnv], rules: { adopt: 'yes' } } })
  const taken = await cluster.get(withEnv, refOf(withEnv), SIGNAL)
  // kubectl's annotation goes, which counts as a generation of a Deployment; nothing that a pod is made of changed.
  expect(taken?.metadata.uid).toBe(theirs?.metadata.uid)
  expect(taken?.['spec']).toEqual(theirs?.['spec'])
  const managers = (taken?.metadata.managedFields ?? []).map((it) => (it as { manager: string }).manager)
  expect(managers).toEqual(['flotilla'])
  await tell({ till: { objects: [before], rules: { adopt: 'yes' } } })
  const after = await cluster.get(before, refOf(before), SIGNAL)
  expect(JSON.stringify(after?.['spec'])).not.toContain('MODE')
  expect(after?.metadata.uid).toBe(theirs?.metadata.uid)
  agent.stop()
})

test('drift by kubectl edit is put back; a scaled Deployment under an autoscaler is left alone', async () => {
  const { agent, tell, turns } = site('drift')
  const autoscaler: Manifest = {
    apiVersion: 'autoscaling/v2',
    kind: 'HorizontalPodAutoscaler',
    metadata: { name: 'scaled', namespace: 'shop' },
    spec: {
      scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'scaled' },
      minReplicas: 1,
      maxReplicas: 9,
    },
  }
  const settings = configMap('drifts')
  await tell({ till: { objects: [settings, deployment('scaled'), autoscaler] } })
  await plane.kubectl('-n', 'shop', 'scale', 'deployment/scaled', '--replicas=5')
  await plane.kubectl('-n', 'shop', 'patch', 'configmap/drifts', '-p', '{"data":{"a":"edited"}}')
  await systemClock.sleep(1_000, SIGNAL)
  await turns(3)
  expect(await cluster.get(settings, refOf(settings), SIGNAL)).toMatchObject({ data: { a: '1' } })
  await tell({ till: { objects: [settings, deployment('scaled', 'till:2'), autoscaler] } })
  const live = await cluster.get(deployment('scaled'), refOf(deployment('scaled')), SIGNAL)
  expect(live).toMatchObject({ spec: { replicas: 5, template: { spec: { containers: [{ image: 'till:2' }] } } } })
  agent.stop()
})
