/** How an agent comes into a cluster, what it may do there, and how it leaves: with real kubectl, real helm and a real API server. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { readCredentials, type Credentials } from '../../src/adapters/cluster/credentials.ts'
import { agentManifests, type InstallOptions } from '../../src/cli/agent/manifests.ts'
import { formatRef, refOf, type Manifest } from '../../src/core/model/object.ts'
import { startControlPlane, type ControlPlane } from '../kube/control-plane.ts'
import { configMap, deployment } from '../unit/agent/site.ts'
import { ROOT } from './fleet.ts'
import { liveSite } from './site-rig.ts'

const run = promisify(execFile)
const HELM = join(process.env['KUBE_TEST_PEERS'] ?? join(homedir(), '.cache/kube-test/peers'), 'helm')
const CHART = resolve(ROOT, 'deploy/flotilla-agent')
const AGENT = 'system:serviceaccount:flotilla-system:flotilla-agent'

let plane: ControlPlane
beforeAll(async () => {
  plane = await startControlPlane()
  await plane.kubectl('create', 'namespace', 'shop')
})
afterAll(() => plane?.stop())

/** The CLI from its source, as npm run flotilla does. */
async function flotilla(...args: string[]): Promise<string> {
  const { stdout } = await run(process.execPath, [join(ROOT, 'src/main.ts'), ...args])
  return stdout
}

async function apply(text: string): Promise<void> {
  const file = join(plane.dir, 'agent.yaml')
  await writeFile(file, text)
  await plane.kubectl('apply', '-f', file)
}

const byName = (manifests: readonly Manifest[]): ReadonlyMap<string, Manifest> =>
  new Map(manifests.map((manifest) => [formatRef(refOf(manifest)), manifest]))

describe('the chart renders what the command prints, by the real helm', () => {
  const options: InstallOptions = {
    namespace: 'flotilla-system',
    image: 'flotilla:0.1.0',
    join: undefined,
    store: { kind: 'claim', size: '1Gi', storageClass: undefined },
    accounts: [],
    ownWrites: 'all',
  }
  test.each<[string, readonly string[], Partial<InstallOptions>]>([
    ['by default', [], {}],
    [
      'with accounts and a token',
      ['--set', 'accounts={shop/till,vision/camera,shop/stock}', '--set', 'join=token'],
      { accounts: ['shop/till', 'vision/camera', 'shop/stock'], ownWrites: 'none', join: 'token' },
    ],
    ['with any account', ['--set', 'accounts={*}'], { accounts: 'any' }],
    [
      'with an account for some, and its own rights for the others',
      ['--set', 'accounts={shop/till}', '--set', 'ownWrites=all'],
      { accounts: ['shop/till'] },
    ],
    [
      'with a folder of the node and another image',
      ['--set', 'store.hostPath=/var/lib/flotilla', '--set', 'image=registry.example/flotilla:1'],
      { store: { kind: 'hostPath', path: '/var/lib/flotilla' }, image: 'registry.example/flotilla:1' },
    ],
    ['with what the hub may ask', ['--set', 'asks=diff\\,logs'], { asks: 'diff,logs' }],
    [
      'with a class for its claim',
      ['--set', 'store.storageClass=fast', '--set', 'store.size=2Gi'],
      { store: { kind: 'claim', size: '2Gi', storageClass: 'fast' } },
    ],
  ])('%s', async (_how, sets, more) => {
    if (!existsSync(HELM)) throw new Error(`no helm at ${HELM}: build it with ../shared/peers/build.sh helm`)
    const flags = ['-n', 'flotilla-system', '--kube-version', '1.34.0']
    const { stdout } = await run(HELM, ['template', 'agent', CHART, ...flags, ...sets])
    const rendered = parseAllDocuments(stdout).flatMap((document) => (document.toJS() as Manifest | null) ?? [])
    // The namespace is helm's own: --create-namespace.
    const printed = agentManifests({ ...options, ...more }).filter(({ kind }) => kind !== 'Namespace')
    expect(byName(rendered)).toEqual(byName(printed))
  })
})

test('what is printed is accepted, and gives the rights it says', async () => {
  await apply(await flotilla('agent', 'manifests', '--join', 'token', '--account', 'shop/till'))
  // `can-i` says no by its exit code.
  const may = async (...what: string[]): Promise<boolean> =>
    plane.kubectl('auth', 'can-i', ...what, '--as', AGENT).then(
      () => true,
      () => false,
    )
  expect(await may('watch', 'deployments', '-A')).toBe(true)
  expect(await may('impersonate', 'serviceaccounts/till', '-n', 'shop')).toBe(true)
  expect(await may('impersonate', 'serviceaccounts/another', '-n', 'shop')).toBe(false)
  expect(await may('impersonate', 'groups/system:masters')).toBe(false)
  expect(await may('patch', 'deployments', '-n', 'shop')).toBe(false)
  expect(await may('create', 'clusterrolebindings')).toBe(false)
})

test('with these rights a Workload is applied as its account, pruned as its account, and kept from what that may not', async () => {
  const till: readonly Manifest[] = [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'till', namespace: 'shop' } },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'Role',
      metadata: { name: 'till', namespace: 'shop' },
      rules: [{ apiGroups: ['', 'apps'], resources: ['configmaps', 'deployments'], verbs: ['*'] }],
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata: { name: 'till', namespace: 'shop' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'till' },
      subjects: [{ kind: 'ServiceAccount', name: 'till', namespace: 'shop' }],
    },
  ]
  await apply(till.map((it) => JSON.stringify(it)).join('\n---\n'))
  const token = (await plane.kubectl('create', 'token', 'flotilla-agent', '-n', 'flotilla-system')).trim()
  const admin = await readCredentials({ from: 'kubeconfig', path: plane.kubeconfig })
  const { tls } = await admin.identity()
  const credentials: Credentials = {
    server: admin.server,
    identity: async () => ({ tls: { ca: tls.ca as string }, headers: { authorization: `Bearer ${token}` } }),
  }
  await using site = await liveSite(plane.kubeconfig, { set: 'flotilla', credentials })
  const rules = { serviceAccount: 'shop/till' }
  const forbidden: Manifest = {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRole',
    metadata: { name: 'not-for-tenants' },
    rules: [],
  }
  await site.tell({ till: { objects: [configMap('mine'), deployment('mine'), forbidden], rules } })
  expect(site.workload('till')).toMatchObject({ sync: 'Failed', failure: { reason: 'Forbidden' } })
  expect(site.workload('till').failure?.message).toContain('system:serviceaccount:shop:till')
  expect(await site.live(configMap('mine'))).toBeDefined()
  expect(await site.live(forbidden)).toBeUndefined()
  await site.tell({ till: { objects: [deployment('mine')], rules } })
  expect(site.workload('till')).toMatchObject({ sync: 'Synced' })
  expect(await site.live(configMap('mine'))).toBeUndefined()
  // Without an account it is the agent's own right, which writes nothing.
  await site.tell({ bare: { objects: [configMap('bare')] }, till: { objects: [deployment('mine')], rules } })
  expect(site.workload('bare')).toMatchObject({ sync: 'Failed', failure: { reason: 'Forbidden' } })
}, 60_000)

describe('a cluster is joined in one line', () => {
  const joined = (...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> =>
    new Promise((resolve) => {
      const words = [join(ROOT, 'src/main.ts'), 'join', 'the-token', '--kubeconfig', plane.kubeconfig, ...args]
      const child = execFile(process.execPath, words, (_error, stdout, stderr) =>
        resolve({ code: child.exitCode ?? -1, stdout, stderr }),
      )
    })

  test('an agent that does not get ready is said, with where to look', async () => {
    const { code, stderr } = await joined('--wait', '1')
    expect({ code, stderr }).toMatchObject({ code: 7, stderr: expect.stringContaining('not ready within 1 s') })
    expect(stderr).toContain('kubectl -n flotilla-system logs deploy/flotilla-agent')
    const given = ['get', 'secret', 'flotilla-agent-join', '-n', 'flotilla-system', '-o', 'jsonpath={.data.token}']
    expect(Buffer.from(await plane.kubectl(...given), 'base64').toString()).toBe('the-token')
  }, 60_000)

  test('and one that does is waited for', async () => {
    const running = joined('--wait', '60')
    const deployment = ['deployment', 'flotilla-agent', '-n', 'flotilla-system']
    const generation = Number(await plane.kubectl('get', ...deployment, '-o', 'jsonpath={.metadata.generation}'))
    // The part of the controllers, which this control plane has not got.
    const status = { observedGeneration: generation, replicas: 1, updatedReplicas: 1, readyReplicas: 1 }
    await plane.kubectl(
      'patch',
      ...deployment,
      '--subresource=status',
      '--type=merge',
      '-p',
      JSON.stringify({ status }),
    )
    const { code, stdout, stderr } = await running
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toContain('the agent is ready')
  }, 90_000)
})

describe('the agent is taken out', () => {
  const exists = (of: string, namespace: string): Promise<boolean> =>
    plane.kubectl('get', of, '-n', namespace).then(
      () => true,
      () => false,
    )
  const kubeconfig = (): string[] => ['--kubeconfig', plane.kubeconfig]

  test('and what it applied keeps running', async () => {
    await apply(await flotilla('agent', 'manifests', '--join', 'token'))
    await using site = await liveSite(plane.kubeconfig, { set: 'flotilla' })
    const claim: Manifest = {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name: 'kept', namespace: 'shop' },
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
    }
    await site.tell({ stays: { objects: [deployment('stays'), configMap('stays'), claim], rules: { adopt: 'yes' } } })
    const uid = (await site.live(deployment('stays')))?.metadata.uid
    const said = await flotilla('agent', 'uninstall', ...kubeconfig())
    expect(said).toContain('kept')
    expect(await exists('deployment/flotilla-agent', 'flotilla-system')).toBe(false)
    expect(await exists('clusterrole/flotilla-agent', 'flotilla-system')).toBe(false)
    expect(await exists('pvc/flotilla-agent', 'flotilla-system')).toBe(true)
    expect((await site.live(deployment('stays')))?.metadata.uid).toBe(uid)
  }, 60_000)

  test('or goes as well, but for what holds data', async () => {
    await apply(await flotilla('agent', 'manifests', '--join', 'token'))
    const said = await flotilla('agent', 'uninstall', '--workloads', 'remove', '--data', 'remove', ...kubeconfig())
    expect(said).toMatch(/kept .*kept/)
    expect(await exists('deployment/stays', 'shop')).toBe(false)
    expect(await exists('configmap/stays', 'shop')).toBe(false)
    expect(await exists('pvc/kept', 'shop')).toBe(true)
  }, 60_000)
})
