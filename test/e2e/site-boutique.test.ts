/**
 * online-boutique, eleven services as their authors publish them, through the real render and a real agent, on nodes that kwok
 * plays, until every Deployment is ready; then the power is cut while the hub is away.
 */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, relative, resolve, sep } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { lintFleet } from '../../src/core/fleet/lint.ts'
import { createFleetCache } from '../../src/core/fleet/parse.ts'
import { renderSite } from '../../src/core/fleet/render.ts'
import type { SourceFile } from '../../src/core/fleet/types.ts'
import { refOf, type Manifest } from '../../src/core/model/object.ts'
import { startControlPlane, type ControlPlane, type ControlPlaneFlag } from '../kube/control-plane.ts'
import { SIGNAL } from '../unit/agent/site.ts'
import { FLEET, site as siteText, treeOf, workload as workloadText } from '../unit/fleet/tree.ts'
import { eventually } from './fleet.ts'
import { counted, liveSite, type LiveSite } from './site-rig.ts'

const CORPUS = process.env['CORPUS_DIR'] ?? resolve(import.meta.dirname, '../../../shared/corpus')
const FLAGS: readonly ControlPlaneFlag[] = ['--controller-manager', '--scheduler']
const SERVICES = 11
const READY_MS = 240_000

let plane: ControlPlane
let site: LiveSite
let objects: readonly Manifest[]

function rendered(): readonly Manifest[] {
  const root = join(CORPUS, 'online-boutique/kustomize/base')
  if (!existsSync(root)) throw new Error(`no corpus at ${root}: set CORPUS_DIR`)
  const files = readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry): readonly [string, SourceFile] => {
      const full = join(entry.parentPath, entry.name)
      const path = `apps/boutique/base/${relative(root, full).split(sep).join('/')}`
      const bytes = readFileSync(full)
      return [path, { path, oid: createHash('sha1').update(bytes).digest('hex'), bytes }]
    })
  const ours = treeOf({
    'flotilla.yaml': FLEET,
    'sites/a.yaml': siteText('a', 'country: dk'),
    'apps/boutique/workload.yaml': workloadText('boutique', '  namespace: boutique\n'),
  })
  const linted = lintFleet(new Map([...ours, ...files]), { root: '', revision: 'test', cache: createFleetCache() })
  if (linted.rendered === null || linted.problems.length > 0) throw new Error(JSON.stringify(linted.problems))
  return renderSite(linted.rendered, 'a').map(({ manifest }) => manifest)
}

const pods = (): Promise<string> =>
  plane.kubectl('get', 'pods', '-n', 'boutique', '-o', 'jsonpath={range .items[*]}{.metadata.uid} {.metadata.name}{"\\n"}{end}') // prettier-ignore

beforeAll(async () => {
  objects = rendered()
  plane = await startControlPlane(FLAGS)
  await plane.nodes(3, '8', '16Gi')
  site = await liveSite(plane.kubeconfig, { set: 'boutique' })
})
afterAll(async () => {
  await site?.[Symbol.asyncDispose]()
  await plane?.stop()
})

test('every Deployment is ready, and the site says so', async () => {
  const deployments = objects.filter(({ kind }) => kind === 'Deployment')
  expect(deployments.length).toBeGreaterThanOrEqual(SERVICES)
  await site.tell({ boutique: { objects } })
  // Nobody here gives addresses to load balancers, so it is said what is missing, and the test is who gives one.
  const external = objects.find(({ spec }) => (spec as { type?: string } | undefined)?.type === 'LoadBalancer')
  if (external === undefined) throw new Error('there is no load balancer any more')
  await eventually('the site says what it waits for', async () => {
    await site.agent.turn(SIGNAL)
    return site.workload('boutique').objects.some(({ ref, reason }) => ref.name === external.metadata.name && reason === 'NoAddress') // prettier-ignore
  })
  const status = { loadBalancer: { ingress: [{ ip: '203.0.113.7' }] } }
  await site.cluster.subresource(external, refOf(external), 'status', { status }, SIGNAL)
  const seen = await eventually(
    'the workload is healthy',
    async () => {
      await site.agent.turn(SIGNAL)
      const { sync, health, counts, objects: worst } = site.workload('boutique')
      if (health === 'Healthy' && sync === 'Synced') return counts
      throw new Error(JSON.stringify({ sync, health, counts, worst: worst.slice(0, 3) }))
    },
    READY_MS,
  )
  expect(seen).toMatchObject({ objects: objects.length, ready: objects.length })
  const ready = await plane.kubectl('get', 'deployments', '-n', 'boutique', '-o', 'jsonpath={range .items[*]}{.status.readyReplicas}/{.spec.replicas}{"\\n"}{end}') // prettier-ignore
  expect(ready.trim().split('\n')).toEqual(deployments.map(() => '1/1'))
  expect(site.agent.status().counts.failures).toBe(0)
})

/** Until the watches have told of all that controllers still say. */
async function quiet(): Promise<void> {
  let before = -1
  await eventually('the cluster is quiet', async () => {
    await site.agent.turn(SIGNAL)
    const { events } = site.agent.status().requests
    const same = events === before
    before = events
    return same
  })
}

test('a second turn writes nothing and reads nothing beyond the watches that are open', async () => {
  await quiet()
  const from = site.requests.length
  await site.agent.turn(SIGNAL)
  expect(counted(site.requests.slice(from))).toEqual({ writes: 0, reads: 0 })
})

test('the power is cut twice while the hub is away: the same pods, and nothing is written', async () => {
  const before = await pods()
  site.hub.reachable = false
  for (let cut = 0; cut < 2; cut++) {
    await plane.cut()
    await plane.restore()
    const from = site.requests.length
    site.restart(site.store)
    await eventually(
      'the agent is where it was',
      async () => {
        await site.agent.turn(SIGNAL)
        const { applied, desired, sync } = site.workload('boutique')
        return sync === 'Synced' && applied?.digest === desired?.digest
      },
      READY_MS,
    )
    expect(counted(site.requests.slice(from)).writes).toBe(0)
    expect(await pods()).toBe(before)
  }
})
