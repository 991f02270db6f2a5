/** `healthChecks` of a Workload at its site: they decide what is healthy, and what waits for it. */
import { expect, test } from 'vitest'
import { refOf, type Manifest } from '../../../src/core/model/object.ts'
import { configMap, createSite, liveOf, SIGNAL, type Site } from './site.ts'

const DEFINITION: Manifest = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'clusters.db.example' },
  spec: {
    group: 'db.example',
    names: { kind: 'Cluster', plural: 'clusters', singular: 'cluster', listKind: 'ClusterList' },
    scope: 'Namespaced',
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
      },
    ],
  },
}
const CLUSTER: Manifest = {
  apiVersion: 'db.example/v1',
  kind: 'Cluster',
  metadata: { name: 'till', namespace: 'shop' },
  spec: { instances: 3 },
}

/** As its controller would say it. */
async function phase(site: Site, name: string): Promise<void> {
  const patch = [{ op: 'add', path: '/status', value: { phase: name } }]
  await site.cluster.patch(CLUSTER, refOf(CLUSTER), patch, { fieldManager: 'db-operator' }, SIGNAL)
  await site.clock.advance(1_000)
  await site.settle(6)
}

test('what they say is what the site reports, gates its dependents, and soaks', async () => {
  const healthChecks = [
    {
      apiVersion: 'db.example/v1',
      kind: 'Cluster',
      current: 'status.phase == "Ready"',
      failed: 'status.phase == "Broken"',
    },
  ]
  const site = createSite()
  site.hub.publish({
    db: { objects: [DEFINITION, CLUSTER], rules: { healthChecks } },
    till: { objects: [configMap('till')], dependsOn: [{ name: 'db' }] },
  })
  await site.agent.exchange(SIGNAL)
  await site.settle(6)
  const db = () => site.agent.status().workloads.find(({ workload }) => workload === 'db')!
  expect(db()).toMatchObject({ sync: 'Synced', health: 'Progressing', healthyForMs: 0 })
  expect(db().objects[0]).toMatchObject({ reason: 'HealthCheck', message: 'failed: no such field: status' })
  expect(await liveOf(site, configMap('till'))).toBeUndefined()
  await phase(site, 'Ready')
  expect(db()).toMatchObject({ health: 'Healthy', objects: [] })
  expect(await liveOf(site, configMap('till'))).toBeDefined()
  await phase(site, 'Broken')
  expect(db()).toMatchObject({ health: 'Degraded', transitions: 1 })
})
