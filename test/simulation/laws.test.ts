/** Each law that no other test sees fail, on a history made by hand: it speaks, and by its own name. */
import { describe, expect, test } from 'vitest'
import type { Digest } from '../../src/core/model/digest.ts'
import type { SiteManifest, SyncUp } from '../../src/core/protocol/messages.ts'
import type { HubChange } from '../../src/hub/store.ts'
import { type FleetFacts, SOAK_MS } from './author.ts'
import { GrantedLaws, type Moment } from './laws/granted.ts'
import { Known } from './laws/known.ts'
import { ReportLaws } from './laws/reports.ts'
import type { Violation } from './laws/violation.ts'
import type { Shape } from './shape.ts'

const HOUR = 3_600_000
const SHAPE: Shape = { mostChanging: 1, budget: 2, isGated: false, depends: false, onFailure: 'Pause', startBy: '48h', joinsAtMinute: null, rotatesAtMinute: null } // prettier-ignore
const FACTS: FleetFacts = { held: new Set(), canaries: new Set(['s1']), names: new Map() }
const release = (name: string): Digest => `sha256:${name.repeat(64).slice(0, 64)}`
const at = (monotonicMs: number): Moment => ({ hubNowMs: monotonicMs, monotonicMs, isDue: () => true })

interface Permit {
  readonly workload?: string
  readonly of: string
  readonly counter: number
  readonly untilMs?: number
}

function manifest(site: string, permits: readonly Permit[]): SiteManifest {
  const counter = Math.max(...permits.map((permit) => permit.counter))
  const entries = permits.map(({ workload = 'web', of, counter: since, untilMs = HOUR }) => ({
    workload,
    since: { epoch: 1, counter: since },
    release: release(of),
    startBy: new Date(untilMs).toISOString(),
  }))
  return { site, generation: { epoch: 1, counter }, entries } as unknown as SiteManifest
}

function written(site: string, permits: readonly Permit[]): HubChange {
  const made = manifest(site, permits)
  const record = { site, generation: made.generation, payload: Buffer.from(JSON.stringify(made)) }
  return { manifests: [{ record, expected: null }] } as unknown as HubChange
}

function mapped(workload: string, of: string): HubChange {
  const targets = new Map(['s1', 's2', 's3', 's4'].map((site) => [site, release(of)]))
  return {
    rollouts: [{ record: { spec: { workload, targets } }, whole: true, sites: new Map() }],
  } as unknown as HubChange
}

function well(site: string, counter: number, of: string, workload = 'web'): SyncUp {
  const digest = release(of)
  const stamp = { digest, atMs: 0 }
  const seen = { workload, since: { epoch: 1, counter }, applied: stamp, healthy: stamp, health: 'Healthy' }
  return { site, observations: [{ ...seen, healthyForMs: SOAK_MS, begun: true }] } as unknown as SyncUp
}

/** Four sites that run `a` of both workloads; Git wants `b`; the canary is well on it. */
function fleet(shape: Partial<Shape> = {}, facts: FleetFacts = FACTS) {
  const known = new Known()
  const laws = new GrantedLaws(known, { ...SHAPE, ...shape }, '', () => facts)
  for (const workload of ['web', 'db']) laws.committed(mapped(workload, 'a'), at(0))
  const old = [{ of: 'a', counter: 1 }, { of: 'a', counter: 1, workload: 'db' }] // prettier-ignore
  for (const site of ['s1', 's2', 's3', 's4']) laws.committed(written(site, old), at(0))
  for (const workload of ['web', 'db']) laws.committed(mapped(workload, 'b'), at(1_000))
  return { known, laws }
}

function canaryIsWell({ known, laws }: ReturnType<typeof fleet>): void {
  laws.committed(written('s1', [{ of: 'b', counter: 2 }, { of: 'b', counter: 2, workload: 'db' }]), at(2_000)) // prettier-ignore
  known.said('s1', well('s1', 2, 'b'))
  known.said('s1', well('s1', 2, 'b', 'db'))
}

const OLD_DB: Permit = { of: 'a', counter: 1, workload: 'db' }
const lawOf = (work: () => void): string | undefined => {
  try {
    work()
    return undefined
  } catch (error) {
    return (error as Violation).law
  }
}

describe('what the hub writes down', () => {
  test('one site after the canary breaks no law', () => {
    const world = fleet()
    canaryIsWell(world)
    expect(lawOf(() => world.laws.committed(written('s2', [{ of: 'b', counter: 2 }, OLD_DB]), at(3_000)))).toBeUndefined() // prettier-ignore
  })
  test('a site after the canary before the canary is well', () => {
    const { laws } = fleet()
    expect(lawOf(() => laws.committed(written('s2', [{ of: 'b', counter: 2 }, OLD_DB]), at(3_000)))).toBe('evidence')
  })
  test('a second site while the first one changes', () => {
    const world = fleet()
    canaryIsWell(world)
    world.laws.committed(written('s2', [{ of: 'b', counter: 2 }, OLD_DB]), at(3_000))
    expect(lawOf(() => world.laws.committed(written('s3', [{ of: 'b', counter: 2 }, OLD_DB]), at(4_000)))).toBe('concurrency') // prettier-ignore
  })
  test('a second site is told of its older place, which went to another', () => {
    const world = fleet()
    canaryIsWell(world)
    const mine = [{ of: 'b', counter: 2 }, OLD_DB]
    world.laws.committed(written('s2', mine), at(3_000))
    world.laws.committed(written('s3', mine), { ...at(4_000), isDue: (site) => site !== 's2' })
    expect(lawOf(() => world.laws.told('s3', manifest('s3', mine), at(5_000)))).toBeUndefined()
    expect(lawOf(() => world.laws.told('s2', manifest('s2', mine), at(5_000)))).toBe('concurrency')
  })
  test('a third site over both workloads', () => {
    const world = fleet()
    canaryIsWell(world)
    const web: Permit = { of: 'a', counter: 1 }
    const db: Permit = { of: 'b', counter: 2, workload: 'db' }
    world.laws.committed(written('s2', [{ of: 'b', counter: 2 }, OLD_DB]), at(3_000))
    world.laws.committed(written('s3', [web, db]), at(4_000))
    // The canary is on its way again: it is the second of two, and the next one is a third.
    world.laws.committed(mapped('batch', 'c'), at(4_500))
    world.known.site('s4').had.add('batch x')
    expect(lawOf(() => world.laws.committed(written('s1', [{ of: 'b', counter: 2 }, db, { of: 'c', counter: 3, workload: 'batch' }]), at(5_000)))).toBeUndefined() // prettier-ignore
    world.known.proven.add(`batch ${release('c')}`)
    expect(lawOf(() => world.laws.committed(written('s4', [web, OLD_DB, { of: 'c', counter: 2, workload: 'batch' }]), at(6_000)))).toBe('budget') // prettier-ignore
  })
  test('a site after the canary without the yes that the policy asks for', () => {
    const world = fleet({ isGated: true })
    canaryIsWell(world)
    const next = written('s2', [{ of: 'b', counter: 2 }, OLD_DB])
    expect(lawOf(() => world.laws.committed(next, at(3_000)))).toBe('approval')
  })
  test('a site that Git holds', () => {
    const world = fleet({}, { ...FACTS, held: new Set(['s2']) })
    canaryIsWell(world)
    const meta = { source: JSON.stringify({ revision: 'next' }) }
    world.laws.committed({ meta }, at(2_500))
    const next = written('s2', [{ of: 'b', counter: 2 }, OLD_DB])
    expect(lawOf(() => world.laws.committed(next, at(9_000)))).toBe('held')
  })
  test('b begins where web is not well', () => {
    const world = fleet({ depends: true })
    canaryIsWell(world)
    world.laws.committed(mapped('b', 'c'), at(2_500))
    world.known.site('s1').had.add('b x')
    const next = written('s1', [{ of: 'b', counter: 2 }, OLD_DB, { of: 'c', counter: 3, workload: 'b' }])
    expect(lawOf(() => world.laws.committed(next, at(9_000)))).toBeUndefined()
    world.known.site('s2').had.add('b x')
    world.known.proven.add(`b ${release('c')}`)
    const other = written('s2', [{ of: 'a', counter: 1 }, OLD_DB, { of: 'c', counter: 2, workload: 'b' }])
    expect(lawOf(() => world.laws.committed(other, at(9_000)))).toBe('depends')
  })
  test.each(['stopped', 'held', 'frozen'])('a site begins what is %s', (how) => {
    const world = fleet()
    canaryIsWell(world)
    if (how === 'stopped') world.laws.stop('web', 3_000)
    if (how === 'held') world.laws.hold(['s2'], HOUR, 3_000)
    if (how === 'frozen') world.laws.freeze(['s2'], HOUR, 3_000)
    const law = lawOf(() => world.laws.committed(written('s2', [{ of: 'b', counter: 2 }, OLD_DB]), at(5_000)))
    expect(law).toBe(how === 'stopped' ? 'stopped' : 'held')
  })
})

test('a site that forgets a result which nobody acknowledged', () => {
  const laws = new ReportLaws()
  const item = { class: 'result' as const, seq: 1, atMs: 0, body: { id: 'one' } }
  const up = { site: 's1', seq: 1, observations: [], outbox: [item] } as unknown as SyncUp
  const place = laws.said('s1', up)
  expect(lawOf(() => laws.dropped('s1', [item]))).toBe('dropped')
  laws.acknowledged('s1', up, place, 1, 1)
  expect(lawOf(() => laws.dropped('s1', [item]))).toBeUndefined()
})
