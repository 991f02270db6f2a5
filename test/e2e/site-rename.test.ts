/**
 * A Site is renamed in Git, and back: the shipped hub and agent over sockets, on a real control plane with pods that play. In the
 * cluster nothing is written; the key is renewed under the new name; an agent that is killed comes back under it.
 */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { X509Certificate } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openAgentStore } from '../../src/adapters/store/agent-store.ts'
import type { Page, SiteView, StatusView } from '../../src/core/api/types.ts'
import { startControlPlane, type ControlPlane } from '../kube/control-plane.ts'
import { buildCli, eventually, flotilla, FleetRepo, type HubUnderTest, type Program, startAgent, startHub } from './fleet.ts' // prettier-ignore

const HEAD = 'apiVersion: flotilla.dev/v1alpha1\n'
let dir: string
let repo: FleetRepo
let hub: HubUnderTest
let agent: Program
let plane: ControlPlane

const siteFile = (name: string, former?: string): string =>
  `${HEAD}kind: Site\nmetadata: { name: "${name}", labels: { all: "1" } }\nspec: ${former === undefined ? '{}' : `{ formerNames: ["${former}"] }`}\n`

beforeAll(async () => {
  buildCli()
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'flotilla-rename-'))
  plane = await startControlPlane(['--controller-manager', '--scheduler'])
  await plane.nodes(1)
  repo = new FleetRepo(dir)
  repo.write(
    'flotilla.yaml',
    `${HEAD}kind: Fleet\nmetadata: { name: rename }\nspec: { link: { lateAfter: 5s, lostAfter: 1h }, defaults: { rollout: all } }\n`,
  )
  repo.write(
    'all.yaml',
    `${HEAD}kind: RolloutPolicy\nmetadata: { name: all }\nspec: { waves: [{ name: all, maxConcurrent: 100%, soak: 1s }], maxUnavailable: 100% }\n`,
  )
  repo.write(
    'shop.yaml',
    `${HEAD}kind: Workload\nmetadata: { name: shop }\nspec: { source: { path: ./base }, namespace: shop, targets: [{ selector: { matchLabels: { all: "1" } } }] }\n`,
  )
  repo.write(
    'base/shop.yaml',
    `apiVersion: apps/v1
kind: Deployment
metadata: { name: till }
spec:
  replicas: 2
  selector: { matchLabels: { app: till } }
  template:
    metadata: { labels: { app: till } }
    spec: { containers: [{ name: till, image: registry.example/till:1 }] }
---
apiVersion: v1
kind: Service
metadata: { name: till }
spec: { selector: { app: till }, ports: [{ port: 80 }] }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: till }
data: { currency: DKK }
`,
  )
  repo.write('site.yaml', siteFile('store-17'))
  repo.push('One site')
  hub = await startHub(dir, repo.bare)
  agent = startAgent(dir, hub, 'store-17', plane.kubeconfig)
}, 120_000)
afterAll(async () => {
  await agent?.stop('SIGKILL')
  await hub?.program.stop('SIGKILL')
  await plane?.stop()
  fs.rmSync(dir, { recursive: true, force: true })
})

/** Under this name alone, and as it should be, by the word of a manifest of that name. */
const runsAs = (name: string): Promise<SiteView> =>
  eventually(`the site runs as ${name}`, async () => {
    const { items } = await hub.get<Page<SiteView>>('/v1/sites')
    const [one] = items
    const isSettled = one?.sync === 'Synced' && one.health === 'Healthy' && one.link === 'Online'
    return items.length === 1 && one?.name === name && isSettled && one.conditions.length === 0 && one
  })

const KINDS = ['deployments', 'replicasets', 'pods', 'services', 'endpointslices', 'configmaps', 'namespaces']
interface Listed {
  readonly items: readonly {
    readonly kind: string
    readonly metadata: Readonly<Record<'name' | 'namespace' | 'uid', string>> & {
      readonly generation?: number
      readonly managedFields?: readonly { readonly manager: string; readonly time: string }[]
    }
  }[]
}
/**
 * Every object of the shop and of ours, ApplySet included, with when the agent last wrote it. (A resourceVersion moves by what
 * Kubernetes notes in its own objects too, and so does the generation of an EndpointSlice.)
 */
const inCluster = async (): Promise<readonly string[]> =>
  (JSON.parse(await plane.kubectl('get', KINDS.join(','), '-A', '--show-managed-fields', '-o', 'json')) as Listed).items
    .map(({ kind, metadata: { namespace, name, uid, generation = 0, managedFields = [] } }) => {
      const ours = managedFields.filter(({ manager }) => manager.startsWith('flotilla')).map(({ time }) => time)
      return [kind, namespace, name, uid, ...(ours.length > 0 ? [generation] : []), ...ours].join(' ')
    })
    .filter((line) => !line.includes(' kube-'))
    .toSorted()

const uids = (line: string): string => line.split(' ').slice(0, 4).join(' ')

/** Of a stopped agent's disk. */
function onDisk(): { readonly site: string; readonly certificate: string | undefined } {
  const store = openAgentStore(path.join(dir, 'agent-store-17'))
  try {
    const { site, certificate } = store.identity()!
    return { site, certificate: new X509Certificate(certificate).subjectAltName }
  } finally {
    store.close()
  }
}

const rename = async (to: string, from: string): Promise<void> => {
  repo.write('site.yaml', siteFile(to, from))
  const revision = repo.push(`${from} is ${to}`)
  await eventually(
    'the hub takes the revision',
    async () => (await hub.get<StatusView>('/v1/status')).source.revision === revision,
  )
  await runsAs(to)
  await said('this site was renamed', `"to":"${to}"`)
}

/** The hub shows it at once; this is the agent's own word, after what it says is on its disk. */
const said = (...words: readonly string[]): Promise<unknown> =>
  eventually(`the agent says ${words.join(' ')}`, () =>
    fs
      .readFileSync(agent.log, 'utf8')
      .split('\n')
      .some((line) => words.every((word) => line.includes(word))),
  )

test('a rename there and back: nothing is written in the cluster, the key is renewed under the new name', async () => {
  await runsAs('store-17')
  const before = await inCluster()
  expect(before.filter((line) => line.startsWith('Pod shop '))).toHaveLength(2)
  expect(before.filter((line) => /^(ConfigMap|Deployment|Service) shop till .*Z$/.test(line))).toHaveLength(3)

  await rename('copenhagen-17', 'store-17')
  expect(hub.cli('get', 'sites', '-o', 'name').out.trim()).toBe('site/copenhagen-17')
  expect(hub.cli('why', 'site/store-17').code).toBe(2)

  // Certificates of an authority that hub no longer issues under are renewed at the next exchange, by proof of the held key.
  await hub.program.stop()
  expect(flotilla(['hub', 'rotate', 'authority', '--data', hub.data], {})).toMatchObject({ code: 0, err: '' })
  hub.program.start()
  await said('key renewed')
  await runsAs('copenhagen-17')
  await agent.stop('SIGKILL')
  const { site, certificate } = onDisk()
  expect([site, certificate]).toEqual(['copenhagen-17', expect.stringContaining('/site/copenhagen-17/')])
  agent.start()
  await rename('store-17', 'copenhagen-17')

  // It is the same agent at work: what Git changes is written, and that alone was.
  repo.edit('base/shop.yaml', (text) => text.replace('DKK', 'EUR'))
  repo.push('Another currency')
  const currency = async (): Promise<boolean> =>
    (await plane.kubectl('get', 'configmap', 'till', '-n', 'shop', '-o', 'jsonpath={.data.currency}')) === 'EUR'
  await eventually('the change is in the cluster', currency)
  const after = await inCluster()
  expect(after.filter((line) => !before.includes(line))).toEqual([expect.stringMatching(/^ConfigMap shop till /)])
  expect(after.map(uids)).toEqual(before.map(uids))
}, 240_000)
