/**
 * A yes to deletions through the hub: a fleet in Git, the built CLI, and two sites, one of them a real API server. What the brakes
 * stop stays; a digest in Git lets go what its list names, and nothing else. The tests are one story, in order.
 */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { SiteView, StatusView } from '../../src/core/api/types.ts'
import { type GitServer, startGitServer } from '../git/http-server.ts'
import { type ControlPlane, startControlPlane } from '../kube/control-plane.ts'
import { buildCli, eventually, FleetRepo, type HubUnderTest, type Program, startAgent, startHub } from './fleet.ts'

/** Above the site's fuse of 50; at two sites above the hub's 100. */
const OBJECTS = 55
const API = 'apiVersion: flotilla.dev/v1alpha1'

let dir: string
let git: GitServer
let repo: FleetRepo
let hub: HubUnderTest
let plane: ControlPlane
const agents: Program[] = []

const status = (): Promise<StatusView> => hub.get('/v1/status')
const site = (name: string): Promise<SiteView> => hub.get(`/v1/sites/${name}`)
const taken = (revision: string) =>
  eventually('the hub takes the revision', async () => (await status()).source.revision === revision)
const names = async (kind: string): Promise<readonly string[]> =>
  (await plane.kubectl('get', kind, '-n', 'shop', '-l', 'flotilla.dev/workload', '-o', 'name'))
    .split('\n')
    .filter(Boolean)
const count = async (kind: string): Promise<number> => (await names(kind)).length

function maps(prefix: string): string {
  const one = (i: number): string =>
    `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: ${prefix}-${i} }\ndata: { a: "1" }\n`
  return Array.from({ length: OBJECTS }, (_, i) => one(i)).join('---\n')
}
const claim = (name: string): string =>
  `apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: { name: ${name} }\nspec: { accessModes: [ReadWriteOnce], resources: { requests: { storage: 1Gi } } }\n`

function workload(name: string, label: string): void {
  repo.write(
    `apps/${name}/workload.yaml`,
    `${API}\nkind: Workload\nmetadata: { name: ${name} }\nspec:\n  source: { path: ./base }\n  namespace: shop\n  targets: [{ selector: { matchLabels: { ${label}: "yes" } } }]\n  rollout: waves\n`,
  )
  repo.write(
    `apps/${name}/base/stays.yaml`,
    `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: ${name}-stays }\ndata: { a: "1" }\n`,
  )
}
const confirm = (digest: string): void =>
  repo.write(
    'flotilla.yaml',
    `${API}\nkind: Fleet\nmetadata: { name: shops }\nspec:\n  layers: [country]\n  deletionBrake: { confirmed: ["${digest}"] }\n`,
  )
const settled = (name: string, workloads: readonly string[]) =>
  eventually(
    `${workloads.join(' and ')} are Synced at ${name}`,
    async () => {
      const { workloads: found, ...rest } = await site(name)
      const good = workloads.every((one) =>
        found.some(
          ({ workload, sync, applied, target }) => workload === one && sync === 'Synced' && applied === target,
        ),
      )
      if (!good) throw new Error(JSON.stringify({ found, conditions: rest.conditions }).slice(0, 1_500))
      return good
    },
    120_000,
  )

beforeAll(async () => {
  buildCli()
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'flotilla-deletions-'))
  plane = await startControlPlane(['--controller-manager'])
  repo = new FleetRepo(dir)
  repo.write('flotilla.yaml', `${API}\nkind: Fleet\nmetadata: { name: shops }\nspec:\n  layers: [country]\n`)
  repo.write(
    'policy.yaml',
    `${API}\nkind: RolloutPolicy\nmetadata: { name: waves }\nspec:\n  waves: [{ name: all, maxConcurrent: 100%, soak: 1s }]\n  maxUnavailable: 100%\n`,
  )
  for (const [name, real] of [
    ['s1', 'yes'],
    ['s2', 'no'],
  ] as const)
    repo.write(
      `sites/${name}.yaml`,
      `${API}\nkind: Site\nmetadata: { name: ${name}, labels: { open: "yes", real: "${real}" } }\nspec: { location: { timeZone: Europe/Copenhagen } }\n`,
    )
  workload('web', 'open')
  workload('till', 'real')
  repo.write('apps/web/base/many.yaml', maps('web'))
  repo.write('apps/web/base/claim.yaml', claim('web'))
  repo.write('apps/till/base/many.yaml', maps('till'))
  repo.write('apps/till/base/claim.yaml', claim('till'))
  const first = repo.push('Two workloads')
  git = await startGitServer(dir)
  hub = await startHub(dir, `${git.url}/fleet.git`, ['--sync-ms', '1000'])
  await taken(first)
  agents.push(startAgent(dir, hub, 's1', plane.kubeconfig), startAgent(dir, hub, 's2', undefined))
  await settled('s2', ['web'])
  await eventually('everything is made at s1', async () => (await count('configmap')) === 2 * OBJECTS + 2, 120_000)
}, 300_000)

afterAll(async () => {
  await Promise.all(agents.map((agent) => agent.stop('SIGKILL')))
  await hub?.program.stop('SIGKILL')
  await git?.[Symbol.asyncDispose]()
  await plane?.stop()
  if (dir !== undefined) fs.rmSync(dir, { recursive: true, force: true, maxRetries: 5 })
})

test('the hub stops a commit that takes too much from the fleet; its digest in Git lets go what the list names, claims too', async () => {
  fs.rmSync(path.join(repo.work, 'apps/web/base/many.yaml'))
  fs.rmSync(path.join(repo.work, 'apps/web/base/claim.yaml'))
  repo.push('Most of web is gone')
  const brake = await eventually('the brake stops it', async () => (await status()).brake ?? undefined)
  expect(await count('configmap')).toBe(2 * OBJECTS + 2)
  confirm(brake.digest)
  await taken(repo.push('It is meant'))
  await eventually('what the list names is gone', async () => (await count('configmap')) === OBJECTS + 2, 120_000)
  await eventually(
    'its claim too, and no other',
    async () => (await names('pvc')).join() === 'persistentvolumeclaim/till',
  )
})

test('the yes to one list is none to the next: the site’s fuse stops it and names it, and that name in Git lets exactly it go', async () => {
  fs.rmSync(path.join(repo.work, 'apps/till/base/many.yaml'))
  fs.rmSync(path.join(repo.work, 'apps/till/base/claim.yaml'))
  const revision = repo.push('Most of till is gone, which is not too much for the fleet')
  await taken(revision)
  const stopped = await eventually(
    'the site says that its fuse stopped it',
    async () => (await site('s1')).conditions.find(({ reason }) => reason === 'DeletionBrake'),
    120_000,
  )
  expect(await count('configmap')).toBe(OBJECTS + 2)
  const [digest] = /sha256:[0-9a-f]{64}/.exec(stopped.message) ?? []
  confirm(digest ?? '')
  await taken(repo.push('That is meant as well'))
  await eventually('what was stopped is gone', async () => (await count('configmap')) === 2, 120_000)
  // No list named it: only `pruneConfirm` or the fleet's list would.
  expect(await names('pvc')).toEqual(['persistentvolumeclaim/till'])
})
