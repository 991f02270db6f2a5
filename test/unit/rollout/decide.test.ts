import { describe, expect, test } from 'vitest'
import type { WorkloadObservation } from '../../../src/core/model/observation.ts'
import { formatWaiting } from '../../../src/core/model/state.ts'
import { decide } from '../../../src/core/rollout/decide.ts'
import type { RolloutState, RolloutWorld, SiteWorkload } from '../../../src/core/rollout/types.ts'
import { DAY, HOUR, MINUTE, policy, release, Sim, spec, wave } from '../../property/rollout/sim.ts'

const OLD = release('old')
const NEW = release('new')

/** Sites `a`, `b`… that run OLD, and a commit of NEW for all of them. */
function fleet(
  count: number,
  waves: Parameters<typeof policy>[0],
  options: Parameters<typeof policy>[1] = {},
  seen: (world: RolloutWorld) => RolloutWorld = (world) => world,
): Sim {
  const sim = new Sim((world) => decide(seen(world)))
  const names = Array.from({ length: count }, (_, i) => `s${String(i).padStart(2, '0')}`)
  for (const name of names) {
    sim.addSite(name, { cohort: name === 's00' ? 'canary' : 'rest' })
    sim.install(name, 'web', OLD)
  }
  sim.commit(spec('web', policy(waves, options), new Map(names.map((name) => [name, NEW]))))
  return sim
}
const CANARY = wave('canary', { selector: { matchLabels: { cohort: 'canary' } }, maxConcurrent: { count: 4 } })
const REST = wave('rest', { maxConcurrent: { count: 2 } })

const published = (sim: Sim): string[] =>
  [...sim.sites.values()]
    .filter(({ name }) => sim.workload(name, 'web').published?.release === NEW)
    .map(({ name }) => name)
/** Silent for a day already. */
function goneDark(sim: Sim, name: string): void {
  const site = sim.site(name)
  site.online = false
  site.lastContactMs = sim.nowMs - DAY
  site.dueAtMs = sim.nowMs - DAY + site.pollMs
}
const why = (sim: Sim, site: string): string => {
  const waiting = sim.decision('web').waiting.get(site)
  return waiting === undefined ? '-' : formatWaiting(waiting)
}

/** What the hub knows, but for some of the site's own words about the entry it holds. */
function said(
  world: RolloutWorld,
  site: string,
  workload: string,
  words: Partial<WorkloadObservation>,
): SiteWorkload | undefined {
  const at = world.at(site, workload)
  const isNew = at?.published === NEW && at.observation?.since.counter === at.since?.counter
  return at?.observation != null && isNew ? { ...at, observation: { ...at.observation, ...words } } : at
}

describe('waves', () => {
  test('the canary goes first and the others say that their wave is not reached', () => {
    const sim = fleet(4, [CANARY, REST])
    sim.tick()
    expect(published(sim)).toEqual(['s00'])
    expect(why(sim, 's01')).toBe('WaveNotReached')
  })
  test('the second wave starts only after the soak of the first, as the site measured it', () => {
    const sim = fleet(4, [CANARY, REST])
    sim.tick()
    sim.run(40 * MINUTE)
    expect(published(sim)).toEqual(['s00'])
    expect(why(sim, 's00')).toMatch(/^Soaking\(until /)
    sim.run(40 * MINUTE)
    expect(published(sim)).toEqual(['s00', 's01', 's02'])
    expect(why(sim, 's03')).toBe('Slot(2 of 2)')
  })
  test('it completes when every wave has passed', () => {
    const sim = fleet(4, [CANARY, REST])
    sim.tick()
    sim.run(DAY)
    expect(sim.state('web').phase).toBe('Completed')
    expect([...sim.state('web').sites.values()].map(({ phase }) => phase)).toEqual(['done', 'done', 'done', 'done'])
  })
  test('a tick in which nothing changes returns the very state it was given', () => {
    const sim = fleet(4, [CANARY, REST])
    sim.tick()
    const before = sim.state('web')
    expect(sim.tick().decisions[0]?.state).toBe(before)
    sim.run(DAY)
    const after = sim.state('web')
    expect(sim.tick().decisions[0]?.state).toBe(after)
  })
  test('a wave gate with an approval waits for the team and goes on at its word for this very rollout', () => {
    const sim = fleet(3, [{ ...CANARY, approval: 'store-ops' }, REST])
    sim.tick()
    sim.run(4 * HOUR)
    expect(why(sim, 's01')).toBe('ApprovalNeeded(store-ops)')
    expect(formatWaiting(sim.decision('web').because ?? { reason: 'Hold' })).toBe('ApprovalNeeded(store-ops)')
    const id = sim.state('web').id
    expect(sim.say('web', { kind: 'approve', by: 'ann', wave: 'canary', id: OLD })).toMatch(/names/)
    expect(sim.say('web', { kind: 'approve', by: 'ann', wave: 'canary', id })).toBeNull()
    sim.tick()
    expect(published(sim)).toContain('s01')
  })
  test('a targeted site in no wave goes last of all and is not lost', () => {
    const sim = fleet(3, [CANARY])
    sim.tick()
    sim.run(DAY)
    expect(sim.state('web').phase).toBe('Completed')
    expect(published(sim)).toHaveLength(3)
  })
  test('where the first wave has nothing that changes, the next starts with a canary of its own', () => {
    const sim = fleet(5, [CANARY, { ...REST, maxConcurrent: { count: 4 } }])
    sim.install('s00', 'web', NEW)
    sim.tick()
    expect(published(sim)).toEqual(['s00', 's01'])
    sim.run(2 * HOUR)
    expect(published(sim)).toHaveLength(5)
  })
  test('the fix for one store goes at once, whatever wave it is in', () => {
    const sim = fleet(3, [{ ...CANARY, approval: 'ops' }, REST])
    sim.install('s00', 'web', NEW)
    sim.install('s01', 'web', NEW)
    sim.tick()
    expect(published(sim)).toContain('s02')
  })
})

describe('offline', () => {
  test('a wave wholly dark never advances by itself and says how much evidence is missing', () => {
    const sim = fleet(3, [CANARY, REST])
    goneDark(sim, 's00')
    sim.run(3 * DAY)
    expect(published(sim)).toEqual([])
    expect(formatWaiting(sim.decision('web').because ?? { reason: 'Hold' })).toBe('Coverage(0 of 1)')
    expect(why(sim, 's01')).toBe('Coverage(0 of 1)')
    expect(why(sim, 's00')).toMatch(/^LinkDown\(/)
  })
  test('an approval given to the shortage lets it pass; one given before anybody knew does not', () => {
    const sim = fleet(3, [{ ...CANARY, approval: 'ops' }, REST])
    sim.tick()
    sim.site('s00').online = false
    sim.say('web', { kind: 'approve', by: 'ann', wave: 'canary', id: sim.state('web').id })
    sim.run(DAY)
    expect(published(sim)).toEqual(['s00'])
    sim.say('web', { kind: 'approve', by: 'ann', wave: 'canary', id: sim.state('web').id })
    sim.run(10 * MINUTE)
    expect(published(sim)).toEqual(['s00', 's01'])
  })
  test('one dark site of four does not block, and four of four do', () => {
    const sim = fleet(8, [wave('first', { size: { count: 4 } }), REST])
    sim.site('s03').online = false
    sim.run(3 * HOUR)
    expect(sim.state('web').waves[0]?.state).toBe('passed')
  })
  test('silence before the agreed next contact is no lateness', () => {
    const sim = fleet(2, [REST])
    sim.site('s00').pollMs = 2 * HOUR
    sim.site('s00').dueAtMs = sim.nowMs + 2 * HOUR
    sim.tick()
    sim.run(100 * MINUTE)
    expect(sim.state('web').sites.get('s00')?.phase).toBe('granted')
    expect(sim.state('web').phase).toBe('Progressing')
    sim.run(DAY)
    expect(sim.state('web').phase).toBe('Completed')
  })
  test('a returning site goes straight to what it should have now, skipping what it missed', () => {
    const sim = fleet(5, [REST])
    sim.site('s04').online = false
    sim.run(DAY)
    expect(sim.state('web').phase).toBe('Completed')
    const newest = release('newest')
    const targets = new Map([...sim.sites.keys()].map((name) => [name, newest]))
    sim.commit(spec('web', policy([REST]), targets))
    sim.run(DAY)
    sim.site('s04').online = true
    sim.run(3 * HOUR)
    expect(sim.workload('s04', 'web').begins.map(({ release }) => release)).toEqual([newest])
    expect(sim.state('web').sites.get('s04')?.phase).toBe('done')
  })
  test('sites that return together follow the concurrency of the rollout', () => {
    const sim = fleet(10, [wave('all', { maxConcurrent: { count: 2 } })], { minCoveragePercent: 40 })
    for (let i = 5; i < 10; i++) sim.site(`s0${i}`).online = false
    sim.run(DAY)
    expect(sim.state('web').phase).toBe('Completed')
    for (let i = 5; i < 10; i++) sim.site(`s0${i}`).online = true
    sim.step(20 * MINUTE)
    const moving = [...sim.state('web').sites.values()].filter(({ phase }) => phase === 'granted')
    expect(moving).toHaveLength(2)
  })
  test('a permit that ended unused is renewed only when a place is free: who returns follows the concurrency', () => {
    const one = { minCoveragePercent: 30, startByMs: 235 * MINUTE }
    const sim = fleet(3, [wave('all', { maxConcurrent: { count: 1 } })], one)
    sim.tick()
    sim.site('s00').online = false
    sim.run(40 * MINUTE)
    sim.site('s01').pollMs = 4 * HOUR
    sim.run(180 * MINUTE)
    // Back just before its permit ends, and too late to begin.
    sim.site('s00').online = true
    sim.run(20 * MINUTE)
    expect(sim.state('web').sites.get('s01')?.phase).toBe('granted')
    expect(why(sim, 's00')).toBe('Slot(1 of 1)')
    expect(sim.decision('web').grants).toEqual([])
    sim.run(DAY)
    expect(sim.state('web').sites.get('s00')?.phase).toBe('done')
  })
  test('a permit that ended unused is renewed only when the site is back', () => {
    const sim = fleet(2, [wave('all', { maxConcurrent: { count: 1 } })], { minCoveragePercent: 50 })
    sim.tick()
    sim.site('s00').online = false
    sim.run(3 * DAY)
    expect(sim.workload('s00', 'web').published?.release).toBe(NEW)
    expect(sim.workload('s00', 'web').begins).toEqual([])
    sim.site('s00').online = true
    sim.step(20 * MINUTE)
    expect(sim.decision('web').grants.map(({ because }) => because)).toEqual(['renew'])
    sim.run(3 * HOUR)
    expect(sim.state('web').sites.get('s00')?.phase).toBe('done')
  })
})

describe('sites that never joined', () => {
  const absent = (sim: Sim, names: readonly string[]): void => {
    for (const name of names) Object.assign(sim.site(name), { enrolled: false, lastContactMs: null, dueAtMs: null })
  }
  /** Listed in Git, with nothing installed anywhere yet. */
  function listed(count: number, waves: Parameters<typeof policy>[0]): Sim {
    const sim = new Sim()
    const names = Array.from({ length: count }, (_, i) => `s${String(i).padStart(2, '0')}`)
    for (const name of names) sim.addSite(name, { cohort: name < 's04' ? 'canary' : 'rest' })
    sim.commit(spec('web', policy(waves), new Map(names.map((name) => [name, NEW]))))
    return sim
  }
  const join = (sim: Sim, name: string): void => {
    sim.site(name).enrolled = true
  }
  const whole = (sim: Sim): string => formatWaiting(sim.decision('web').because ?? { reason: 'Hold' })

  test.each([1, 2, 4])('%i of them and nobody else: it waits for coverage and is not Completed', (count) => {
    const sim = listed(count, [CANARY, REST])
    absent(sim, [...sim.sites.keys()])
    sim.run(3 * DAY)
    expect(sim.state('web').phase).toBe('Progressing')
    expect(whole(sim)).toBe('Coverage(0 of 1)')
    expect(why(sim, 's00')).toBe('LinkDown(never connected)')
    join(sim, 's00')
    sim.run(DAY)
    expect(sim.state('web').sites.get('s00')?.phase).toBe('done')
    expect(sim.state('web').phase).toBe('Completed')
  })
  test('canaries that never joined keep nobody: the next wave begins with one site, soaked as long as a canary', () => {
    const sim = listed(8, [
      { ...CANARY, soakMs: 2 * HOUR },
      { ...REST, maxConcurrent: { count: 4 } },
    ])
    absent(sim, ['s00', 's01', 's02', 's03'])
    sim.run(2 * HOUR)
    expect(published(sim)).toEqual(['s04'])
    expect(sim.state('web').waves.map(({ state }) => state)).toEqual(['skipped', 'active'])
    sim.run(DAY)
    expect(sim.state('web').phase).toBe('Completed')
    expect(published(sim)).toEqual(['s04', 's05', 's06', 's07'])
    expect(why(sim, 's00')).toBe('LinkDown(never connected)')
  })
  test('the yes that a wave asks for is asked for where its sites never joined, too', () => {
    const sim = listed(6, [{ ...CANARY, approval: 'ops' }, REST])
    absent(sim, ['s00', 's01', 's02', 's03'])
    sim.run(DAY)
    expect(whole(sim)).toBe('ApprovalNeeded(ops)')
    expect(published(sim)).toEqual([])
  })
  test('the first store of a fleet that joins, whatever its wave, is the canary; those that join later are provisioned', () => {
    const sim = listed(8, [CANARY, REST])
    absent(sim, [...sim.sites.keys()])
    sim.run(3 * DAY)
    join(sim, 's06')
    sim.run(DAY)
    expect(published(sim)).toEqual(['s06'])
    expect(sim.state('web').sites.get('s06')?.phase).toBe('done')
    const places = [...sim.state('web').sites.values()]
    expect(places.filter(({ phase }) => phase === 'waiting')).toHaveLength(7)
    join(sim, 's01')
    sim.run(HOUR)
    expect(sim.state('web').sites.get('s01')?.provisioned).toBe(true)
    expect(sim.workload('s01', 'web').applied).toBe(NEW)
  })
  test('a store that is listed after all is done is provisioned when it comes, and the rollout is through meanwhile', () => {
    const sim = fleet(3, [CANARY, REST])
    sim.run(DAY)
    sim.addSite('t1')
    absent(sim, ['t1'])
    sim.commit(spec('web', policy([CANARY, REST]), new Map([...sim.sites.keys()].map((name) => [name, NEW]))))
    sim.run(DAY)
    expect(sim.state('web').phase).toBe('Completed')
    expect(why(sim, 't1')).toBe('LinkDown(never connected)')
    join(sim, 't1')
    sim.run(HOUR)
    expect(sim.workload('t1', 'web').applied).toBe(NEW)
  })
  test('a canary that is listed and never joined does not keep an update from those that run the release before', () => {
    const sim = fleet(3, [REST])
    sim.run(DAY)
    sim.addSite('c1', { cohort: 'canary' })
    absent(sim, ['c1'])
    const newest = release('newest')
    sim.commit(spec('web', policy([CANARY, REST]), new Map([...sim.sites.keys()].map((name) => [name, newest]))))
    sim.run(DAY)
    expect(sim.workload('s02', 'web').applied).toBe(newest)
    expect(sim.state('web').phase).toBe('Completed')
  })
})

describe('failures', () => {
  test('a site that is ill from what it ran before is not broken by the release that is its cure', () => {
    const sim = fleet(2, [wave('all')], {}, (world) => ({
      ...world,
      at: (site, workload) => said(world, site, workload, { health: 'Degraded', begun: false, applied: null }),
    }))
    sim.budget = { changingSites: null, brokenSites: { count: 1 } }
    sim.site('s01').hold = { reason: 'audit', untilMs: null }
    sim.run(40 * MINUTE)
    expect(sim.state('web').sites.get('s00')?.phase).toBe('granted')
    sim.site('s01').hold = null
    sim.tick()
    expect(published(sim)).toEqual(['s00', 's01'])
  })
  test('a workload that Git suspends is as it should be and passes its waves', () => {
    const sim = fleet(3, [CANARY, REST])
    sim.behaviours.set(NEW, { is: 'suspended' })
    sim.run(DAY)
    expect(sim.state('web').phase).toBe('Completed')
    expect(sim.state('web').sites.get('s02')?.phase).toBe('done')
  })
  test('suspended is no evidence where the site does not say that this very release is well', () => {
    const sim = fleet(2, [CANARY, REST], {}, (world) => ({
      ...world,
      at: (site, workload) => said(world, site, workload, { healthy: { digest: OLD, atMs: world.nowMs } }),
    }))
    sim.behaviours.set(NEW, { is: 'suspended' })
    sim.run(DAY)
    expect(sim.state('web').sites.get('s00')?.phase).not.toBe('done')
    expect(published(sim)).toEqual(['s00'])
  })
  test('a release that crashes stops at its canary and goes back, and its digest is withdrawn', () => {
    const sim = fleet(4, [CANARY, REST], { onFailure: 'Rollback' })
    sim.behaviours.set(NEW, { is: 'giveUp' })
    sim.tick()
    sim.run(DAY)
    expect(sim.state('web').phase).toBe('RolledBack')
    expect([...sim.withdrawn]).toEqual([NEW])
    expect(sim.workload('s00', 'web').applied).toBe(OLD)
    expect(published(sim)).toEqual([])
    expect(why(sim, 's01')).toMatch(/^Withdrawn\(/)
  })
  test('with Pause it stays, says who stopped it, and goes on in spite of it when an operator resumes and promotes', () => {
    const sim = fleet(4, [CANARY, REST])
    sim.behaviours.set(NEW, { is: 'crash', at: new Set(['s00']) })
    sim.tick()
    sim.run(DAY)
    expect(sim.state('web').phase).toBe('Paused')
    expect(why(sim, 's01')).toMatch(/^Paused\(policy, 1 site failed, the limit is 1\)/)
    expect(sim.state('web').sites.get('s00')?.failure?.reason).toBe('ProgressDeadline')
    expect(sim.say('web', { kind: 'resume', by: 'ann' })).toBeNull()
    sim.run(HOUR)
    expect(sim.state('web').phase).toBe('Progressing')
    expect(formatWaiting(sim.decision('web').because ?? { reason: 'Hold' })).toBe('Coverage(0 of 1)')
    expect(sim.say('web', { kind: 'promote', by: 'ann' })).toBeNull()
    sim.run(DAY)
    expect(sim.state('web').phase).toBe('Completed')
  })
  test('a yes that is said while the canary is on its way is none to a silence that comes after', () => {
    const sim = fleet(2, [CANARY, REST])
    const canary = sim.site('s00')
    const yes = (): string | null =>
      sim.say('web', { kind: 'approve', by: 'ann', wave: 'canary', id: sim.state('web').id })
    const whole = (): string => formatWaiting(sim.decision('web').because ?? { reason: 'Hold' })
    canary.online = false
    sim.tick()
    sim.run(6 * HOUR)
    expect(whole()).toBe('Coverage(0 of 1)')
    canary.online = true
    sim.run(10 * MINUTE)
    expect(sim.state('web').sites.get('s00')?.phase).not.toBe('waiting')
    expect(yes()).toBeNull()
    canary.online = false
    sim.run(6 * HOUR)
    expect(whole()).toBe('Coverage(0 of 1)')
    expect(published(sim)).toEqual(['s00'])
    expect(yes()).toBeNull()
    sim.run(HOUR)
    expect(published(sim)).toEqual(['s00', 's01'])
  })
  test('a crash loop that is healthy between two polls never passes the soak', () => {
    const sim = fleet(2, [CANARY, REST])
    sim.behaviours.set(NEW, { is: 'flaky' })
    sim.tick()
    sim.run(2 * DAY)
    expect(sim.state('web').phase).toBe('Paused')
    expect(published(sim)).toEqual(['s00'])
  })
  test('the progress deadline runs only while the site can act', () => {
    const sim = fleet(2, [CANARY, REST])
    sim.behaviours.set(NEW, { is: 'slow' })
    sim.tick()
    sim.step(20 * MINUTE)
    sim.step(20 * MINUTE)
    sim.site('s00').online = false
    sim.run(2 * DAY)
    expect(sim.state('web').sites.get('s00')?.phase).toBe('changing')
    sim.site('s00').online = true
    sim.run(2 * HOUR)
    expect(sim.state('web').sites.get('s00')?.phase).toBe('failed')
  })
  test('a site that the hub could not publish to is not late, however long that lasts', () => {
    const sim = fleet(1, [REST])
    const decideOnly = (): RolloutState => {
      const world = sim.world()
      const [decision] = decide(world)
      if (decision === undefined) throw new Error('no decision')
      const rollout = sim.rollouts.get('web')
      if (rollout !== undefined) rollout.state = decision.state
      return decision.state
    }
    for (let hour = 0; hour < 48; hour++) {
      expect(decideOnly().sites.get('s00')?.phase).toBe('granted')
      sim.nowMs += HOUR
      const site = sim.site('s00')
      site.lastContactMs = sim.nowMs
      site.dueAtMs = sim.nowMs + site.pollMs
    }
    sim.run(DAY)
    expect(sim.state('web').phase).toBe('Completed')
  })
  test('the progress deadline stands still while a batch job waits for its queue or for room', () => {
    const sim = fleet(2, [CANARY, REST], {}, (world) => ({
      ...world,
      at: (site, workload) =>
        said(world, site, workload, { waiting: { reason: 'Capacity', detail: '0 of 4 pods run' } }),
    }))
    sim.behaviours.set(NEW, { is: 'slow' })
    sim.tick()
    sim.run(2 * DAY)
    expect(sim.state('web').sites.get('s00')?.phase).toBe('changing')
  })
  test('a withdrawn digest is never granted again until somebody readmits it, and then goes in waves', () => {
    const sim = fleet(3, [CANARY, REST], { onFailure: 'Rollback' })
    sim.behaviours.set(NEW, { is: 'giveUp' })
    sim.tick()
    sim.run(DAY)
    expect(sim.state('web').phase).toBe('RolledBack')
    sim.behaviours.delete(NEW)
    sim.run(DAY)
    expect(published(sim)).toEqual([])
    expect(sim.say('web', { kind: 'readmit', by: 'ann' })).toBeNull()
    sim.tick()
    expect(published(sim)).toEqual(['s00'])
    sim.run(DAY)
    expect(sim.state('web').phase).toBe('Completed')
  })
})

describe('operators', () => {
  test('after an abort nothing more is told to move, and what had not begun is taken back', () => {
    const sim = fleet(6, [wave('all', { maxConcurrent: { count: 3 } })])
    sim.site('s02').pollMs = DAY
    sim.site('s02').dueAtMs = sim.nowMs + DAY
    sim.tick()
    sim.step(20 * MINUTE)
    sim.step(20 * MINUTE)
    expect(sim.say('web', { kind: 'abort', by: 'ann', why: 'wrong season' })).toBeNull()
    const { decisions } = sim.tick()
    expect(decisions[0]?.grants.map(({ site, release, because }) => [site, release, because])).toEqual([
      ['s02', OLD, 'revoke'],
    ])
    sim.run(3 * DAY)
    expect(published(sim)).toEqual(['s00', 's01'])
    expect(sim.workload('s02', 'web').begins).toEqual([])
    expect(why(sim, 's05')).toBe('Paused(ann, abort: wrong season)')
  })
  test('an undo sends each site to its own last good one and withdraws the digest', () => {
    const sim = fleet(3, [REST])
    sim.install('s01', 'web', release('older'))
    sim.run(DAY)
    expect(sim.state('web').phase).toBe('Completed')
    expect(sim.say('web', { kind: 'undo', by: 'ann', why: 'tills freeze' })).toBeNull()
    expect([...sim.withdrawn]).toEqual([NEW])
    sim.run(HOUR)
    expect(sim.workload('s00', 'web').applied).toBe(OLD)
    expect(sim.workload('s01', 'web').applied).toBe(release('older'))
  })
  test('a held site is told nothing, blocks nobody, and moves when it is let go', () => {
    const sim = fleet(5, [REST])
    sim.site('s01').hold = { reason: 'audit', untilMs: null }
    sim.run(DAY)
    expect(sim.state('web').phase).toBe('Completed')
    expect(why(sim, 's01')).toBe('Hold(audit)')
    sim.site('s01').hold = null
    sim.run(DAY)
    expect(sim.state('web').sites.get('s01')?.phase).toBe('done')
  })
  test('an observing site is told its content with a permit that is over, and is no evidence', () => {
    const sim = fleet(2, [CANARY, REST])
    sim.site('s00').mode = 'observe'
    sim.run(DAY)
    expect(sim.workload('s00', 'web').published?.release).toBe(NEW)
    expect(sim.workload('s00', 'web').begins).toEqual([])
    expect(why(sim, 's00')).toBe('Observe')
    expect(sim.state('web').sites.get('s01')?.phase).toBe('done')
  })
})

describe('a newer map', () => {
  test('sites not begun skip the old one and sites on the old one come first', () => {
    const sim = fleet(6, [wave('all', { maxConcurrent: { count: 2 } })])
    sim.tick()
    sim.run(2 * HOUR)
    const begun = published(sim).filter((name) => sim.workload(name, 'web').inHand?.release === NEW)
    const newest = release('newest')
    sim.site('s00').labels = { cohort: 'rest' }
    sim.commit(
      spec(
        'web',
        policy([wave('all', { maxConcurrent: { count: 2 } })]),
        new Map([...sim.sites.keys()].map((n) => [n, newest])),
      ),
    )
    sim.tick()
    sim.run(3 * DAY)
    expect(sim.state('web').phase).toBe('Completed')
    for (const name of sim.sites.keys()) {
      const seen = sim.workload(name, 'web').begins.map(({ release }) => release)
      expect(seen).toEqual(begun.includes(name) ? [NEW, newest] : [newest])
    }
  })
  test('with finishWave the running wave ends first, and only the newest of the newer maps follows', () => {
    const finish = { onSupersede: 'finishWave' as const }
    const waves = [CANARY, REST]
    const sim = fleet(4, waves, finish)
    sim.tick()
    const all = [...sim.sites.keys()]
    const first = spec('web', policy(waves, finish), new Map(all.map((n) => [n, release('v2')])))
    const second = spec('web', policy(waves, finish), new Map(all.map((n) => [n, release('v3')])))
    sim.step(10 * MINUTE)
    sim.commit(first)
    sim.step(10 * MINUTE)
    expect(sim.state('web').id).not.toBe(first.id)
    sim.commit(second)
    sim.run(2 * HOUR)
    expect(sim.state('web').id).toBe(second.id)
    expect(sim.workload('s01', 'web').begins).toEqual([])
    expect(sim.workload('s00', 'web').begins.map(({ release }) => release)[0]).toBe(NEW)
  })
  test('a map that takes begun sites back starts at once even with finishWave', () => {
    const finish = { onSupersede: 'finishWave' as const }
    const sim = fleet(4, [CANARY, REST], finish)
    sim.tick()
    sim.step(20 * MINUTE)
    sim.step(20 * MINUTE)
    const back = spec('web', policy([CANARY, REST], finish), new Map([...sim.sites.keys()].map((n) => [n, OLD])))
    sim.commit(back)
    sim.tick()
    expect(sim.state('web').id).toBe(back.id)
    sim.run(3 * HOUR)
    expect(sim.workload('s00', 'web').applied).toBe(OLD)
    expect(sim.state('web').phase).toBe('Completed')
  })
})

describe('new sites', () => {
  test("a fleet's very first commit goes in waves", () => {
    const sim = new Sim()
    for (const name of ['a', 'b', 'c']) sim.addSite(name)
    const waves = [wave('one', { size: { count: 1 } }), REST]
    sim.commit(spec('web', policy(waves), { a: NEW, b: NEW, c: NEW }))
    sim.tick()
    expect(published(sim)).toEqual(['a'])
  })
  test('a site that comes to a completed rollout is provisioned at once, outside its waves', () => {
    const sim = fleet(3, [CANARY, REST])
    sim.run(DAY)
    sim.addSite('t1')
    sim.addSite('t2')
    sim.addSite('t3')
    const waves = policy([CANARY, REST])
    sim.commit(spec('web', waves, new Map([...sim.sites.keys()].map((name) => [name, NEW]))))
    sim.tick()
    expect(sim.decision('web').grants.map(({ site, because }) => `${site} ${because}`)).toEqual([
      't1 provision',
      't2 provision',
      't3 provision',
    ])
  })
  test('a site that comes during a rollout gets what completed before, and then its wave', () => {
    const sim = fleet(4, [CANARY, REST])
    sim.tick()
    sim.addSite('t1')
    sim.commit(spec('web', policy([CANARY, REST]), new Map([...sim.sites.keys()].map((name) => [name, NEW]))))
    sim.tick()
    expect(sim.workload('t1', 'web').published?.release).toBe(OLD)
    sim.run(2 * DAY)
    expect(sim.workload('t1', 'web').applied).toBe(NEW)
    expect(sim.state('web').phase).toBe('Completed')
  })
})

describe('budgets and dependencies', () => {
  test("the fleet's budget bounds the sites that change over all rollouts, by priority", () => {
    const sim = new Sim()
    for (const name of ['a', 'b', 'c', 'd']) {
      sim.addSite(name)
      sim.install(name, 'web', OLD)
      sim.install(name, 'pos', OLD)
    }
    sim.budget = { changingSites: { count: 1 }, brokenSites: null }
    sim.commit(spec('web', policy([wave('all')]), { a: NEW, b: NEW, c: OLD, d: OLD }))
    sim.commit(spec('pos', policy([wave('all')]), { a: OLD, b: OLD, c: NEW, d: NEW }, { priority: 5 }))
    sim.tick()
    expect(published(sim)).toEqual([])
    expect(sim.workload('c', 'pos').published?.release).toBe(NEW)
    expect(why(sim, 'a')).toBe('Budget(changingSites 1 of 1)')
  })
  test('a site whose permit an abort takes back counts as changing until it has heard of it', () => {
    const sim = new Sim()
    for (const name of ['a', 'b']) {
      sim.addSite(name)
      sim.install(name, 'web', OLD)
      sim.install(name, 'db', OLD)
    }
    sim.site('a').pollMs = 30 * MINUTE
    sim.budget = { changingSites: { count: 1 }, brokenSites: null }
    sim.commit(spec('db', policy([wave('all')]), { a: NEW, b: OLD }, { priority: 1 }))
    sim.tick()
    sim.step(10 * MINUTE)
    expect(sim.workload('a', 'db').inHand?.release).toBe(NEW)
    sim.commit(spec('web', policy([wave('all')]), { a: OLD, b: NEW }))
    sim.say('db', { kind: 'abort', by: 'ann', why: 'wrong' })
    sim.step(10 * MINUTE)
    sim.step(10 * MINUTE)
    expect(why(sim, 'b')).toBe('Budget(changingSites 1 of 1)')
    sim.run(2 * HOUR)
    expect(published(sim)).toEqual(['b'])
  })
  test('a site that failed with nothing to go back to is broken, and does not keep the budget of sites that change', () => {
    const sim = new Sim()
    for (const name of ['a', 'b']) {
      sim.addSite(name)
      sim.install(name, 'db', OLD)
    }
    sim.budget = { changingSites: { count: 1 }, brokenSites: { count: 2 } }
    sim.behaviours.set(NEW, { is: 'giveUp', at: new Set(['a']) })
    sim.commit(spec('web', policy([REST], { onFailure: 'Rollback' }), { a: NEW, b: NEW }))
    sim.run(4 * HOUR)
    expect(sim.state('web').phase).toBe('RolledBack')
    expect(sim.state('web').sites.get('a')).toMatchObject({ phase: 'rolledBack', failure: {} })
    const newest = release('newest')
    sim.commit(spec('db', policy([REST]), { a: newest, b: newest }))
    sim.run(4 * HOUR)
    expect(sim.workload('b', 'db').applied).toBe(newest)
  })
  test('a dependent waits until its dependency is healthy at that site at the newest release', () => {
    const sim = fleet(2, [REST])
    for (const name of sim.sites.keys()) sim.install(name, 'db', OLD)
    sim.commit(spec('db', policy([REST]), new Map([...sim.sites.keys()].map((name) => [name, NEW]))))
    const web = sim.rollouts.get('web')
    if (web === undefined) throw new Error('no rollout')
    web.spec = { ...web.spec, dependsOn: [{ name: 'db', optional: false }] }
    sim.tick()
    expect(why(sim, 's00')).toBe('Dependency(db)')
    sim.run(DAY)
    expect(sim.state('web').phase).toBe('Completed')
  })
  test('maxUnavailable bounds the sites that are not healthy', () => {
    const sim = fleet(10, [wave('all')], { maxUnavailable: { percent: 20 } })
    sim.tick()
    expect(published(sim)).toHaveLength(2)
    expect(why(sim, 's09')).toBe('Budget(maxUnavailable 2 of 2)')
  })
})
