/** The helper that other real suites stand on, and the client on an account's own files. */
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openCluster } from '../../src/adapters/cluster/kube-cluster.ts'
import type { JsonObject } from '../../src/core/model/json.ts'
import { refOf, type Manifest } from '../../src/core/model/object.ts'
import { startControlPlane, type ControlPlane } from './control-plane.ts'

const signal = AbortSignal.timeout(200_000)
let plane: ControlPlane
beforeAll(async () => {
  plane = await startControlPlane(['--controller-manager', '--scheduler'])
})
afterAll(async () => {
  await plane?.stop()
})

const web: Manifest = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web', namespace: 'default' },
  spec: {
    replicas: 2,
    selector: { matchLabels: { app: 'web' } },
    template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'web', image: 'web:1' }] } },
  },
}

test('played nodes make a Deployment ready, and a power cut changes no pod', async () => {
  await plane.nodes(2)
  const cluster = await openCluster({ from: 'kubeconfig', path: plane.kubeconfig })
  await cluster.apply(web, { fieldManager: 'flotilla', force: false }, signal)
  await plane.kubectl('wait', '--for=condition=Available', 'deployment/web', '--timeout=60s')
  const pods = async (): Promise<readonly (string | undefined)[]> =>
    (await cluster.list({ apiVersion: 'v1', kind: 'Pod', namespace: 'default' }, signal)).items.map(
      (pod) => pod.metadata.uid,
    )
  const before = await pods()
  expect(before).toHaveLength(2)
  const read = (await cluster.get(web, refOf(web), signal)) as Manifest
  expect(read['status'] as JsonObject).toMatchObject({ observedGeneration: 1, readyReplicas: 2, updatedReplicas: 2 })
  await plane.cut()
  await expect(cluster.get(web, refOf(web), signal)).rejects.toMatchObject({ reason: 'Unreachable' })
  await plane.restore()
  // The same client goes on, over new connections.
  expect(await pods()).toEqual(before)
  await cluster.close()
})

test('in a pod, the account’s token and certificate are all it takes', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'flotilla-account-'))
  try {
    await plane.kubectl('create', 'serviceaccount', 'agent', '-n', 'default')
    await plane.kubectl('create', 'clusterrolebinding', 'agent', '--clusterrole=view', '--serviceaccount=default:agent')
    await writeFile(join(folder, 'token'), await plane.kubectl('create', 'token', 'agent', '-n', 'default'))
    await copyFile(join(plane.dir, 'pki/ca.crt'), join(folder, 'ca.crt'))
    const view = await plane.kubectl('config', 'view', '-o', 'jsonpath={.clusters[0].cluster.server}')
    const cluster = await openCluster({
      from: 'in-cluster',
      host: '127.0.0.1',
      port: Number(new URL(view).port),
      folder,
    })
    expect(
      (await cluster.list({ apiVersion: 'v1', kind: 'ServiceAccount', namespace: 'default' }, signal)).items.map(
        (one) => one.metadata.name,
      ),
    ).toContain('agent')
    const denied = cluster.list({ apiVersion: 'v1', kind: 'Secret', namespace: 'default' }, signal)
    await expect(denied).rejects.toMatchObject({ reason: 'Forbidden' })
    // A token that is no longer good is read again from its file.
    await writeFile(join(folder, 'token'), 'stale')
    await cluster.close()
    const stale = await openCluster({ from: 'in-cluster', host: '127.0.0.1', port: Number(new URL(view).port), folder })
    await expect(stale.kinds(signal)).rejects.toMatchObject({ reason: 'Unauthorized' })
    await writeFile(join(folder, 'token'), await plane.kubectl('create', 'token', 'agent', '-n', 'default'))
    expect(await stale.kinds(signal)).not.toHaveLength(0)
    await stale.close()
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})
