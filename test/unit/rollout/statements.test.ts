/** Sentences of the language's section on rollouts, one by one, where no table beside says them already. */
import { describe, expect, test } from 'vitest'
import { CAUTIOUS } from '../../../src/core/fleet/policy.ts'
import { formatWaiting } from '../../../src/core/model/state.ts'
import { decide } from '../../../src/core/rollout/decide.ts'
import { etaOf } from '../../../src/core/rollout/eta.ts'
import { DAY, HOUR, MINUTE, policy, release, Sim, spec, wave } from '../../property/rollout/sim.ts'

const OLD = release('old')
const NEW = release('new')
const NEWER = release('newer')

const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `s${String(i).padStart(2, '0')}`)
const everywhere = (sim: Sim, digest = NEW) => new Map([...sim.sites.keys()].map((name) => [name, digest]))

/** Sites that run OLD; the first `canaries` of them are canaries; NEW is committed for all. */
function fleet(count: number, rules: ReturnType<typeof policy>, canaries = 1): Sim {
  const sim = new Sim()
  for (const [i, name] of names(count).entries()) {
    sim.addSite(name, { cohort: i < canaries ? 'canary' : 'rest' })
    sim.install(name, 'web', OLD)
  }
  sim.commit(spec('web', rules, everywhere(sim)))
  return sim
}
const CANARY = wave('canary', { selector: { matchLabels: { cohort: 'canary' } } })
const REST = wave('rest')
const runs = (sim: Sim, digest = NEW): string[] =>
  [...sim.sites.keys()].filter((name) => sim.workload(name, 'web').published?.release === digest)
const whole = (sim: Sim): string => {
  const because = sim.decision('web').because
  return because === null ? '-' : formatWaiting(because)
}
const phases = (sim: Sim): string[] => [...sim.state('web').sites.values()].map(({ phase }) => phase)

describe('a new map', () => {
  test('starts soaks, failures and approvals anew: an approval names the rollout', () => {
    const rules = policy([{ ...CANARY, approval: 'ops' }, REST], { maxFailures: { count: 2 } })
    const sim = fleet(4, rules, 2)
    sim.behaviours.set(NEW, { is: 'giveUp', at: new Set(['s00']) })
    sim.run(HOUR)
    sim.say('web', { kind: 'approve', by: 'ann', wave: 'canary', id: sim.state('web').id })
    expect(phases(sim)).toContain('failed')
    sim.commit(spec('web', rules, everywhere(sim, NEWER)))
    sim.tick()
    expect(sim.state('web').approvals).toEqual({})
    expect(phases(sim)).not.toContain('failed')
    sim.run(DAY)
    expect(whole(sim)).toBe('ApprovalNeeded(ops)')
    expect(runs(sim, NEWER)).toEqual(['s00', 's01'])
  })

  test('begins with the sites that are on the old one', () => {
    const one = policy([wave('all', { maxConcurrent: { count: 1 } })])
    const sim = fleet(4, one)
    sim.site('s00').hold = { reason: 'audit', untilMs: null }
    sim.run(2 * HOUR)
    expect(runs(sim)).toContain('s01')
    sim.site('s00').hold = null
    sim.commit(spec('web', one, everywhere(sim, NEWER)))
    sim.tick()
    expect(runs(sim, NEWER)).toEqual(['s01'])
  })
})

describe('evidence', () => {
  test('too little of it ends when enough sites come', () => {
    const sim = fleet(4, policy([wave('first', { size: { count: 2 } }), REST], { minCoveragePercent: 100 }))
    sim.site('s01').online = false
    sim.run(DAY)
    expect(whole(sim)).toBe('Coverage(1 of 2)')
    expect(runs(sim)).toEqual(['s00', 's01'])
    sim.site('s01').online = true
    sim.run(4 * HOUR)
    expect(runs(sim)).toHaveLength(4)
  })

  test('a wave with no changed site is skipped without its approval once there is some, and not before', () => {
    const rules = policy([CANARY, { ...wave('empty', { selector: { matchLabels: { cohort: 'empty' } } }), approval: 'ops' }, REST]) // prettier-ignore
    const after = fleet(5, rules)
    after.site('s01').labels = { cohort: 'empty' }
    after.install('s01', 'web', NEW)
    after.run(DAY)
    expect(after.state('web').waves.map(({ state }) => state)).toEqual(['passed', 'skipped', 'passed'])

    const before = fleet(5, policy([{ ...CANARY, approval: 'ops' }, REST]))
    before.install('s00', 'web', NEW)
    before.run(DAY)
    expect(whole(before)).toBe('ApprovalNeeded(ops)')
    expect(runs(before)).toEqual(['s00'])
  })

  test('needs more than what is healthy when it is told: a site that only ran it before is none', () => {
    const sim = fleet(3, policy([CANARY, REST]))
    sim.install('s00', 'web', NEW)
    sim.install('s01', 'web', NEW)
    sim.install('s02', 'web', NEW)
    sim.tick()
    expect(phases(sim)).toEqual(['unchanged', 'unchanged', 'unchanged'])
    expect(sim.state('web').phase).toBe('Completed')
  })
})

describe('an excused site that returns', () => {
  test('and fails counts: the rollout that was through is stopped for somebody to look, and takes no fleet back', () => {
    const sim = fleet(10, policy([REST], { onFailure: 'Rollback', minCoveragePercent: 50 }))
    sim.behaviours.set(NEW, { is: 'giveUp', at: new Set(['s09']) })
    sim.site('s09').online = false
    sim.run(DAY)
    expect(sim.state('web').phase).toBe('Completed')
    sim.site('s09').online = true
    sim.run(HOUR)
    expect(sim.state('web').phase).toBe('Paused')
    expect(sim.state('web').paused).toMatchObject({ by: 'policy', why: '1 site failed, the limit is 1' })
    expect(runs(sim)).toHaveLength(10)
  })

  test('shares the places of the wave that runs, by the count that stands there', () => {
    const waves = [wave('first', { size: { count: 4 } }), wave('rest', { size: { count: 1 }, maxConcurrent: { count: 3 } })]
    const sim = fleet(5, policy(waves, { minCoveragePercent: 50 }))
    sim.site('s02').online = false
    sim.site('s03').online = false
    sim.tick()
    sim.run(90 * MINUTE)
    expect(sim.state('web').waves[1]?.state).toBe('active')
    sim.site('s02').online = true
    sim.site('s03').online = true
    sim.step(20 * MINUTE)
    // One of the running wave's own and two that returned.
    expect(phases(sim).filter((phase) => phase === 'granted' || phase === 'changing')).toHaveLength(3)
  }) // prettier-ignore
})

describe('sites that change meanwhile', () => {
  test('one that leaves the map blocks nobody, and one that failed and leaves counts no more', () => {
    const sim = fleet(4, policy([wave('all', { maxConcurrent: { count: 2 } })], { maxFailures: { count: 2 } }))
    sim.behaviours.set(NEW, { is: 'giveUp', at: new Set(['s00']) })
    sim.run(HOUR)
    expect(phases(sim)).toContain('failed')
    const targets = everywhere(sim)
    targets.delete('s00')
    const running = sim.rollouts.get('web')
    if (running !== undefined) running.spec = { ...running.spec, targets }
    sim.run(DAY)
    expect(sim.state('web').phase).toBe('Completed')
    expect(sim.state('web').sites.has('s00')).toBe(false)
  })

  test('one that is relabelled into a wave that is through goes by the wave that runs', () => {
    const sim = fleet(6, policy([CANARY, wave('rest', { maxConcurrent: { count: 1 } })]))
    sim.run(80 * MINUTE)
    expect(sim.state('web').waves[0]?.state).toBe('passed')
    sim.site('s05').labels = { cohort: 'canary' }
    sim.run(DAY)
    expect(sim.state('web').phase).toBe('Completed')
    expect(runs(sim)).toHaveLength(6)
  })
})

describe('a site with nothing installed', () => {
  test.each(['pause', 'abort', 'undo'] as const)(
    'gets what completed last, also after a rollout met its %s',
    (kind) => {
      const sim = fleet(4, policy([CANARY, REST]))
      sim.run(HOUR)
      expect(sim.say('web', { kind, by: 'ann', why: 'x' })).toBeNull()
      sim.tick()
      sim.addSite('t1')
      const running = sim.rollouts.get('web')
      if (running !== undefined) running.spec = { ...running.spec, targets: everywhere(sim) }
      sim.run(HOUR)
      expect(sim.workload('t1', 'web').applied).toBe(OLD)
      expect(sim.workload('t1', 'web').begins.map(({ release }) => release)).toEqual([OLD])
    },
  )
  test('gets it outside of its window, and what comes then goes by the window', () => {
    const sim = fleet(3, policy([CANARY, REST]))
    sim.run(DAY)
    sim.addSite('t1').window = { opens: 5, hours: 2 }
    sim.commit(spec('web', policy([CANARY, REST]), everywhere(sim)))
    sim.run(HOUR)
    expect(sim.workload('t1', 'web').applied).toBe(NEW)
    sim.commit(spec('web', policy([CANARY, REST]), everywhere(sim, NEWER)))
    sim.run(3 * HOUR)
    expect(sim.workload('t1', 'web').published?.release).toBe(NEW)
    sim.run(DAY)
    expect(sim.workload('t1', 'web').applied).toBe(NEWER)
  })
})

describe('undo', () => {
  test('of a release with nothing before it: who has not begun it never will', () => {
    const sim = new Sim()
    for (const name of names(3)) sim.addSite(name)
    sim.commit(spec('web', policy([REST]), everywhere(sim)))
    sim.tick()
    expect(sim.say('web', { kind: 'undo', by: 'ann', why: 'wrong' })).toBeNull()
    sim.tick()
    sim.run(DAY)
    for (const name of names(3)) expect(sim.workload(name, 'web').begins).toEqual([])
  })

  test('readmit lets back in what it names, and nothing else', () => {
    const sim = fleet(2, policy([REST]))
    sim.commit(spec('web', policy([REST]), { s00: NEW, s01: NEWER }))
    sim.run(DAY)
    sim.say('web', { kind: 'undo', by: 'ann', why: 'wrong' })
    expect([...sim.withdrawn].toSorted()).toEqual([NEW, NEWER].toSorted())
    sim.run(HOUR)
    expect(sim.say('web', { kind: 'readmit', by: 'ann', digest: OLD })).toMatch(/is not withdrawn by it$/)
    expect(sim.say('web', { kind: 'readmit', by: 'ann', digest: NEW })).toBeNull()
    sim.run(DAY)
    expect(sim.workload('s00', 'web').applied).toBe(NEW)
    expect(sim.workload('s01', 'web').applied).toBe(OLD)
  })
})

describe('a permit', () => {
  test('waits for its window without a place, and is given shortly before it opens', () => {
    const sim = fleet(2, policy([wave('all', { maxConcurrent: { count: 1 } })]))
    sim.site('s00').window = { opens: 6, hours: 2 }
    sim.tick()
    // s00 comes first and waits: its place is nobody's meanwhile.
    expect(runs(sim)).toEqual(['s01'])
    expect(formatWaiting(sim.decision('web').waiting.get('s00') ?? { reason: 'Slot' })).toMatch(/^WindowClosed\(/)
    sim.run(5 * HOUR + 40 * MINUTE)
    expect(runs(sim)).toEqual(['s01'])
    sim.step(10 * MINUTE)
    expect(runs(sim)).toEqual(['s00', 's01'])
    expect(sim.workload('s00', 'web').begins).toEqual([])
    sim.run(2 * HOUR)
    expect(sim.state('web').sites.get('s00')?.phase).toBe('done')
  })

  test('ends with the window, and at most 48 hours from now by default', () => {
    expect(CAUTIOUS.startByMs).toBe(48 * HOUR)
    const sim = fleet(1, policy([REST]))
    sim.site('s00').window = { opens: 0, hours: 3 }
    sim.tick()
    expect(sim.workload('s00', 'web').published?.startByMs).toBe(sim.nowMs + 3 * HOUR)
  })

  test('is not counted against the deadline while its window is closed', () => {
    const sim = fleet(1, policy([REST], { progressDeadlineMs: HOUR }))
    sim.site('s00').window = { opens: 12, hours: 2 }
    sim.run(11 * HOUR)
    expect(phases(sim)).toEqual(['waiting'])
    sim.run(5 * HOUR)
    expect(phases(sim)).toEqual(['done'])
  })
})

test('who broke the glass tells a site that a window stopped half way that it may go on, once', () => {
  const sim = fleet(1, policy([REST]))
  sim.behaviours.set(NEW, { is: 'slow' })
  sim.run(HOUR)
  expect(phases(sim)).toEqual(['changing'])
  const { id } = sim.state('web')
  const grants = (glass?: readonly string[]) => {
    const world = sim.world()
    const at: typeof world.at = (site, workload) => {
      const told = world.at(site, workload)
      if (told?.observation == null) return told
      const observation = { ...told.observation, applied: null, waiting: { reason: 'WindowClosed' as const } }
      return { ...told, observation, ...(glass === undefined ? {} : { glass }) }
    }
    const decisions = decide({ ...world, at })
    return decisions.flatMap((decision) => decision.grants).map((grant) => [grant.because, grant.release, grant.glass])
  }
  expect(grants()).toEqual([])
  const untilMs = sim.nowMs + HOUR
  expect(sim.say('web', { kind: 'breakGlass', by: 'cas', team: 'ops', why: 'tills', id, untilMs })).toBeNull()
  expect(grants()).toEqual([['renew', NEW, ['ops']]])
  expect(grants(['ops'])).toEqual([])
  sim.nowMs = untilMs
  expect(grants()).toEqual([])
})

test('the default policy is cautious: one site, 5 %, the rest; no failure; half an hour each', () => {
  expect(CAUTIOUS).toMatchObject({ maxFailures: { count: 1 }, onFailure: 'Pause', minCoveragePercent: 80 })
  expect(CAUTIOUS.waves.map(({ size, soakMs }) => [size, soakMs])).toEqual([
    [{ count: 1 }, 30 * MINUTE],
    [{ percent: 5 }, 30 * MINUTE],
    [null, 30 * MINUTE],
  ])
  const sim = fleet(60, CAUTIOUS)
  sim.tick()
  expect(runs(sim)).toHaveLength(1)
  sim.run(60 * MINUTE)
  // 5 % of 60 are 3, a quarter of those at a time.
  expect(runs(sim)).toHaveLength(2)
})

test('budgets count a site once, however many workloads change there, and the older rollout comes first', () => {
  const sim = new Sim()
  for (const name of ['a', 'b']) {
    sim.addSite(name)
    for (const workload of ['db', 'web']) sim.install(name, workload, OLD)
  }
  sim.budget = { changingSites: { count: 1 }, brokenSites: null }
  sim.commit(spec('db', policy([wave('one', { maxConcurrent: { count: 1 } })]), { a: OLD, b: NEW }, { createdAtMs: 1 }))
  sim.commit(spec('web', policy([REST]), { a: NEW, b: NEW }, { createdAtMs: 2 }))
  sim.tick()
  expect(sim.workload('b', 'db').published?.release).toBe(NEW)
  // b changes already: another workload makes it no second site.
  expect(runs(sim)).toEqual(['b'])
})

describe('when it may be through', () => {
  const rules = policy([wave('one', { size: { count: 1 } }), wave('rest', { maxConcurrent: { count: 2 } })])
  const eta = (sim: Sim, left: readonly number[]): number | null => {
    const { spec: of } = sim.rollouts.get('web') ?? {}
    if (of === undefined) throw new Error('no rollout')
    const at = etaOf(of, sim.state('web'), left, [1, 6], sim.nowMs)
    return at === null ? null : (at - sim.nowMs) / MINUTE
  }
  test('each wave in as many goes as its places ask for, by a guess first and then by the pace of those that are through', () => {
    const sim = fleet(7, rules)
    sim.tick()
    // 35 minutes for the one and for each of three pairs.
    expect(eta(sim, [1, 6])).toBe(4 * 35)
    sim.run(90 * MINUTE, 10 * MINUTE, () => sim.state('web').waves[0]?.state === 'passed')
    const { startedAtMs = 0, passedAtMs = 0 } = sim.state('web').waves[0] ?? {}
    expect(eta(sim, [0, 6])).toBe((3 * (passedAtMs - startedAtMs)) / MINUTE)
  })
  test('nobody can say where somebody must say yes, or where it does not run', () => {
    const sim = fleet(7, policy([CANARY, { ...REST, approval: 'ops' }]))
    sim.tick()
    expect(eta(sim, [1, 6])).toBeNull()
    const other = fleet(7, rules)
    other.tick()
    other.say('web', { kind: 'pause', by: 'ann', why: 'x' })
    expect(eta(other, [1, 6])).toBeNull()
  })
})
