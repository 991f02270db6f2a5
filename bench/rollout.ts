/** One tick over a whole fleet: 10,000 sites, 20 rollouts, by how much moves in it. `npm run bench -- rollout`. */
import { digestBytes, type Digest } from '../src/core/model/digest.ts'
import type { RolloutPolicy } from '../src/core/model/policy.ts'
import { decide } from '../src/core/rollout/decide.ts'
import type {
  RolloutDecision,
  RolloutEntry,
  RolloutSpec,
  RolloutState,
  RolloutWorld,
  SiteFacts,
  SiteWorkload,
} from '../src/core/rollout/types.ts'
import type { Row } from './row.ts'

const SITES = 10_000
const ROLLOUTS = 20
const ROUNDS = 25
const GOAL_MS = 50
const START = Date.UTC(2026, 0, 5)

export async function run(): Promise<Row[]> {
  const fleet = makeFleet()
  const beginMs = fleet.tick()
  const idle = Array.from({ length: ROUNDS }, () => fleet.tick())
  const busy = Array.from({ length: ROUNDS }, () => (fleet.report(100), fleet.tick()))
  const commitMs = fleet.commit(0).tick()
  const restartMs = fleet.forget().tick()
  return [
    { ...row('a tick in which nothing changed', median(idle)), goal: GOAL_MS },
    { ...row('a tick in which 100 sites reported on all 20 workloads', median(busy)), goal: GOAL_MS },
    { ...row('the slowest of those', Math.max(...busy)), goal: GOAL_MS },
    { ...row('the tick after a commit to one workload of all sites', commitMs), goal: GOAL_MS },
    { ...row('20 rollouts of 10,000 sites begin in one tick', beginMs), note: 'once a fleet' },
    {
      ...row('the first tick after a restart of the hub', restartMs),
      note: 'nothing is remembered: all places are read',
    },
    {
      ...row(
        'the reasons of all 200,000 places, read',
        timed(() => fleet.readReasons()),
      ),
      note: 'only when asked',
    },
  ]
}

function row(name: string, value: number): Row {
  return { case: name, value: Math.round(value * 100) / 100, unit: 'ms' }
}

/** A hub with everything in memory: what is measured is `decide`. */
function makeFleet() {
  const names = Array.from({ length: SITES }, (_, i) => `site-${String(i).padStart(5, '0')}`)
  const facts = new Map(names.map((name, i) => [name, factsOf(name, i)]))
  const old = digestBytes('release', 'old')
  const specs = Array.from({ length: ROLLOUTS }, (_, i) => specOf(i, names))
  const known = new Map<string, Map<string, SiteWorkload>>(
    specs.map(({ workload }) => [workload, new Map(names.map((name) => [name, running(workload, old, 1, START)]))]),
  )
  let entries: RolloutEntry[] = specs.map((spec) => ({ spec, state: null }))
  let last: readonly RolloutDecision[] = []
  let nowMs = START
  let reported = new Set<string>()
  let counter = 1

  const world = (): RolloutWorld => ({
    nowMs,
    budget: { changingSites: { percent: 20 }, brokenSites: { percent: 5 } },
    fleetSites: SITES,
    rollouts: entries,
    revision: 'r1',
    changed: reported,
    withdrawn: new Set(),
    site: (name) => facts.get(name),
    at: (site, workload) => known.get(workload)?.get(site),
    lastGood: () => old,
  })
  return {
    /** ms that `decide` took. */
    tick(): number {
      nowMs += 60_000
      for (const [name, one] of facts)
        if (one.dueAtMs !== null && one.dueAtMs < nowMs) facts.set(name, inTouch(one, nowMs))
      const asked = world()
      const tookMs = timed(() => (last = decide(asked)))
      entries = last.map(({ state }, i) => ({ spec: specs[i] as RolloutSpec, state }))
      reported = new Set()
      for (const { grants } of last)
        for (const grant of grants) {
          counter += 1
          known.get(grant.workload)?.set(grant.site, {
            ...running(grant.workload, grant.release, counter, nowMs),
            startByMs: grant.startByMs,
            observation: null,
          })
        }
      return tookMs
    },
    /** So many of the sites that were told to move say that they are healthy through the soak. */
    report(count: number): void {
      let left = count
      for (const { state } of entries) {
        if (left === 0) break
        for (const [site, { phase }] of state?.sites ?? []) {
          if (phase !== 'granted' || left === 0) continue
          left -= 1
          for (const [workload, sites] of known) {
            const at = sites.get(site)
            if (at?.published != null && at.observation === null)
              sites.set(site, {
                ...running(workload, at.published, at.since?.counter ?? 1, nowMs),
                startByMs: at.startByMs,
              })
          }
          reported.add(site)
        }
      }
    },
    /** Git gives one workload another release at every site. */
    commit(index: number) {
      entries = entries.map((entry, i) => {
        if (i !== index) return entry
        const next = specOf(i, names, 'next')
        specs[i] = next
        return { ...entry, next }
      })
      return this
    },
    forget() {
      const copy = (state: RolloutState | null) => (state === null ? null : { ...state, sites: new Map(state.sites) })
      entries = entries.map(({ spec, state }) => ({ spec: { ...spec }, state: copy(state) }))
      return this
    },
    readReasons(): number {
      let read = 0
      for (const { waiting } of last) for (const _one of waiting) read += 1
      return read
    },
  }
}

function factsOf(name: string, i: number): SiteFacts {
  return {
    name,
    labels: { cohort: i % 100 === 0 ? 'canary' : 'rest', country: ['dk', 'no', 'se'][i % 3] ?? 'dk' },
    enrolled: true,
    // One in twenty is dark.
    lastContactMs: i % 20 === 7 ? START - 86_400_000 : START,
    dueAtMs: i % 20 === 7 ? START - 86_000_000 : START + 60_000 + (i % 60) * 1_000,
    hold: null,
    freeze: null,
    mode: 'enforce',
  }
}

function inTouch(site: SiteFacts, nowMs: number): SiteFacts {
  const dark = site.lastContactMs !== null && site.lastContactMs < START
  return dark ? site : { ...site, lastContactMs: nowMs, dueAtMs: nowMs + 110 * 60_000 }
}

function running(workload: string, release: Digest, counter: number, nowMs: number): SiteWorkload {
  const since = { epoch: 1, counter }
  const stamp = { digest: release, atMs: nowMs }
  return {
    published: release,
    since,
    startByMs: nowMs,
    observation: {
      workload,
      since,
      desired: stamp,
      received: stamp,
      staged: stamp,
      applied: stamp,
      healthy: stamp,
      sync: 'Synced',
      health: 'Healthy',
      healthyForMs: 86_400_000,
      unhealthyMs: 0,
      transitions: 0,
      begun: true,
      objects: [],
      counts: { objects: 10, ready: 10, drifted: 0, pruned: 0 },
    },
  }
}

function specOf(index: number, names: readonly string[], version = 'first'): RolloutSpec {
  const workload = `workload-${index}`
  const release = digestBytes('release', `${workload} ${version}`)
  return {
    workload,
    id: digestBytes('rollout', `${workload} ${version}`),
    revision: 'r1',
    createdAtMs: START + index,
    priority: index % 3,
    policy: POLICY,
    targets: new Map(names.map((name) => [name, release])),
    dependsOn: [],
  }
}

const WAVE = { selector: null, size: null, approval: null, by: null, order: [], soakMs: 1_800_000 }
const POLICY: RolloutPolicy = {
  name: 'standard',
  waves: [
    { ...WAVE, name: 'canary', selector: { matchLabels: { cohort: 'canary' } }, maxConcurrent: { count: 100 } },
    { ...WAVE, name: 'rest', by: 'country', order: ['dk', 'no', 'se'], maxConcurrent: { percent: 25 } },
  ],
  maxUnavailable: { percent: 50 },
  maxFailures: { percent: 2 },
  minCoveragePercent: 80,
  progressDeadlineMs: 7_200_000,
  startByMs: 172_800_000,
  offline: { excuseAfterMs: 1_800_000, onReturn: 'ApplyLatest' },
  onFailure: 'Pause',
  onSupersede: 'now',
}

function timed(work: () => unknown): number {
  const before = performance.now()
  work()
  return performance.now() - before
}

function median(all: readonly number[]): number {
  return all.toSorted((a, b) => a - b)[Math.floor(all.length / 2)] ?? 0
}
