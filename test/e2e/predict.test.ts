/** Predicted equals actual, on a real API server: the same core, asked before and at work after. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { PredictedView } from '../../src/core/batch/view.ts'
import type { JsonObject } from '../../src/core/model/json.ts'
import type { Manifest } from '../../src/core/model/object.ts'
import { type ControlPlane, startControlPlane } from '../kube/control-plane.ts'
import { told } from '../unit/agent/batch-site.ts'
import { IDENTITY } from '../unit/agent/site.ts'
import { read, startRoom } from './scheduling-rig.ts'
import { type LiveSite, liveSite } from './site-rig.ts'

const DEADLINE_MS = 120_000
const LIMIT_MS = 30_000

let plane: ControlPlane

beforeAll(async () => {
  plane = await startControlPlane(['--controller-manager'])
  await plane.nodes(4, '4', '8Gi')
}, 300_000)
afterAll(async () => plane?.stop(), 120_000)

function job(name: string, replicas: number, cpu: string, more: JsonObject = {}): Manifest {
  const containers = [{ name: 'main', image: 'none', resources: { requests: { cpu, memory: '256Mi' } } }]
  const template = { spec: { terminationGracePeriodSeconds: 0, containers } }
  const spec = { queue: 'default', tasks: [{ name: 'main', replicas, template }], ...more }
  return { apiVersion: 'flotilla.dev/v1alpha1', kind: 'BatchJob', metadata: { name, namespace: 'default' }, spec }
}

async function predicted(site: LiveSite, document: Manifest): Promise<PredictedView> {
  const answer = await site.agent.askBatch({ op: 'predict', documents: [document] })
  const [view] = answer['predictions'] as unknown as readonly PredictedView[]
  if (view === undefined) throw new Error('nothing was predicted')
  return view
}

interface Placed {
  readonly pod: string
  readonly node: string
  readonly message: string
}

async function placed(name: string): Promise<readonly Placed[]> {
  const { items } = await read(plane, 'pods', '-l', `flotilla.dev/job=${name}`)
  return (items as readonly any[])
    .map((pod) => ({
      pod: `default/${pod.metadata.name}`,
      node: pod.spec.nodeName ?? '',
      message: pod.status.conditions?.find((one: any) => one.type === 'PodScheduled')?.message ?? '',
    }))
    .toSorted((a, b) => (a.pod < b.pod ? -1 : 1))
}

async function eventually<T>(look: () => Promise<T>, holds: (seen: T) => boolean, what: () => string): Promise<T> {
  const endMs = Date.now() + DEADLINE_MS
  for (;;) {
    const seen = await look()
    if (holds(seen)) return seen
    if (Date.now() > endMs) throw new Error(`${what()}; last seen ${JSON.stringify(seen)}`)
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}

test('where each pod goes, when it can start, and that it never can', async () => {
  await using site = await liveSite(plane.kubeconfig, { set: 'predict' })
  const jobs: Manifest[] = []
  await site.publish({})
  const stop = site.run()
  await using room = await startRoom(plane, { seed: IDENTITY.site }, { batch: site.agent.batch })
  const evidence = (what: string) => (): string => `${what}; the scheduler said: ${room.said.slice(-5).join(' | ')}`
  const begin = async (document: Manifest): Promise<void> => {
    jobs.push(document)
    await site.publish(told(...jobs))
  }
  try {
    // Now: pod by pod the same nodes, though each time the cluster is fuller.
    const whole = (seen: readonly Placed[], pods: number): boolean => seen.length === pods && seen.every(({ node }) => node !== '') // prettier-ignore
    for (const [document, pods] of [
      [job('first', 3, '1'), 3],
      [job('second', 2, '2500m'), 2],
      [job('third', 4, '500m'), 4],
    ] as const) {
      const view = await predicted(site, document)
      expect(view.fit).toBe('now')
      await begin(document)
      const { name } = document.metadata
      const actual = await eventually(() => placed(name), (seen) => whole(seen, pods), evidence(name)) // prettier-ignore
      // Of equal pods the server's random UIDs say which goes first; where they go, the core says.
      expect(actual.map(({ node }) => node).toSorted()).toEqual(view.places.map(({ node }) => node).toSorted())
    }
    // Never: with the same words.
    const huge = job('huge', 1, '5')
    const never = await predicted(site, huge)
    expect(never.fit).toBe('never')
    await begin(huge)
    const waits = await eventually(() => placed('huge'), ([pod]) => pod !== undefined && pod.message !== '', evidence('huge')) // prettier-ignore
    expect(waits).toEqual([{ pod: 'default/huge-main-0', node: '', message: never.because[0] }])
    expect(never.because[0]).toContain('4 Insufficient cpu')
    jobs.pop()

    // At a time: when the limit of what runs is over, and neither before nor much later.
    jobs.length = 0
    await begin(job('limited', 4, '3', { timeLimit: `${LIMIT_MS / 1_000}s` }))
    await eventually(() => placed('limited'), (seen) => whole(seen, 4), evidence('limited')) // prettier-ignore
    const runs = (name: string) => [...site.agent.batch.state().journal.jobs().values()].find(({ record }) => record.name === name)?.record // prettier-ignore
    await eventually(async () => runs('limited')?.phase, (phase) => phase === 'Running', evidence('limited runs')) // prettier-ignore
    const next = job('next', 4, '2')
    const view = await predicted(site, next)
    expect(view.fit).toBe('at')
    const endsMs = (runs('limited')?.startedMs ?? 0) + LIMIT_MS
    expect(Math.abs((view.atMs ?? 0) - endsMs)).toBeLessThan(10_000)
    await begin(next)
    await eventually(() => placed('next'), (seen) => whole(seen, 4), evidence('next')) // prettier-ignore
    const limited = runs('limited')
    expect(limited?.because?.cause).toBe('TimeLimit')
    expect(Date.now()).toBeGreaterThanOrEqual(endsMs)
  } finally {
    await stop()
  }
}, 600_000)
