import { describe, expect, test } from 'vitest'
import { formatWaiting } from '../../../src/core/model/state.ts'
import { decodeState, encodeState, stateDelta } from '../../../src/core/rollout/codec.ts'
import { explain } from '../../../src/core/rollout/explain.ts'
import type { RolloutCommand } from '../../../src/core/rollout/types.ts'
import { DAY, HOUR, MINUTE, policy, release, Sim, spec, wave } from '../../property/rollout/sim.ts'

const NEW = release('new')

function fleet(): Sim {
  const sim = new Sim()
  for (const name of ['a', 'b', 'c']) {
    sim.addSite(name)
    sim.install(name, 'web', release('old'))
  }
  const waves = [wave('one', { size: { count: 1 } }), wave('rest', { maxConcurrent: { count: 1 } })]
  sim.commit(spec('web', policy(waves), { a: NEW, b: NEW, c: NEW }))
  sim.tick()
  return sim
}

describe('a word that does not fit is refused with its reason', () => {
  test.each<[string, RolloutCommand, RegExp]>([
    ['resume what runs', { kind: 'resume', by: 'ann' }, /^it is Progressing, not Paused$/],
    [
      'promote a wave that does not run',
      { kind: 'promote', by: 'ann', wave: 'rest' },
      /^the running wave is one, not rest$/,
    ],
    ['a yes to another rollout', { kind: 'approve', by: 'ann', wave: 'one', id: NEW }, /^the yes names/],
    [
      'a broken glass for another rollout',
      { kind: 'breakGlass', by: 'ann', team: 'ops', why: 'x', id: NEW, untilMs: Infinity },
      /^the yes names/,
    ],
    ['readmit what is not withdrawn', { kind: 'readmit', by: 'ann' }, /^nothing of it is withdrawn$/],
  ])('%s', (_sentence, word, because) => {
    expect(fleet().say('web', word)).toMatch(because)
  })
  test('the glass is broken once, until that is over', () => {
    const sim = fleet()
    const { id } = sim.state('web')
    const word = { kind: 'breakGlass', by: 'ann', team: 'ops', why: 'x', id, untilMs: sim.nowMs + HOUR } as const
    expect(sim.say('web', word)).toBeNull()
    expect(sim.say('web', { ...word, by: 'bob' })).toMatch(/^ops broke the glass already: it lasts until 2026-/)
    expect(sim.state('web').glass).toMatchObject([{ team: 'ops', by: 'ann', why: 'x' }])
    sim.nowMs += HOUR
    expect(sim.say('web', { ...word, by: 'bob', untilMs: sim.nowMs + HOUR })).toBeNull()
    expect(sim.state('web').glass).toMatchObject([{ team: 'ops', by: 'bob' }])
  })
  test('a yes to a wave that is not there, or is through', () => {
    const sim = fleet()
    const { id } = sim.state('web')
    expect(sim.say('web', { kind: 'approve', by: 'ann', wave: 'two', id })).toBe('there is no wave two')
    sim.run(2 * HOUR)
    expect(sim.say('web', { kind: 'approve', by: 'ann', wave: 'one', id })).toBe('wave one is through')
  })
  test('an abort of what is through, and an undo of what went back', () => {
    const sim = fleet()
    sim.run(DAY)
    expect(sim.say('web', { kind: 'abort', by: 'ann', why: 'late' })).toBe('it is Completed: nothing runs')
    expect(sim.say('web', { kind: 'undo', by: 'ann', why: 'x' })).toBeNull()
    expect(sim.say('web', { kind: 'undo', by: 'ann', why: 'x' })).toBe('it is RolledBack')
  })
})

test('a pause stops new sites and says by whom; what has begun goes on', () => {
  const sim = fleet()
  sim.step(20 * MINUTE)
  sim.say('web', { kind: 'pause', by: 'ann', why: 'inventory night' })
  sim.run(3 * HOUR)
  expect(sim.state('web').sites.get('a')?.phase).toBe('done')
  expect(sim.workload('b', 'web').published?.release).toBe(release('old'))
  expect(explain(sim.world(), sim.decision('web'), 'b').map(formatWaiting)).toEqual(['Paused(ann, inventory night)'])
})

test('explain gives the nearest cause first and then the others', () => {
  const sim = fleet()
  sim.site('b').hold = { reason: 'audit', untilMs: null }
  sim.tick()
  expect(explain(sim.world(), sim.decision('web'), 'b').map(formatWaiting)).toEqual(['WaveNotReached', 'Hold(audit)'])
  expect(explain(sim.world(), sim.decision('web'), 'a')).toEqual([])
})

describe('stored states', () => {
  test('what is written is read back, in the order that the engine keeps', () => {
    const sim = fleet()
    sim.run(2 * HOUR)
    const state = sim.state('web')
    const text = JSON.stringify(encodeState(state))
    const back = decodeState(JSON.parse(text))
    expect(JSON.stringify(encodeState(back))).toBe(text)
    expect([...back.sites.keys()]).toEqual([...state.sites.keys()])
  })
  test.each([
    ['a later format', { format: 2, id: NEW, phase: 'Paused', waves: [], approvals: {}, sites: [] }],
    ['no sites', { format: 1, id: NEW, phase: 'Paused', waves: [], approvals: {} }],
    ['no object', [1]],
  ])('%s is refused as corrupt', (_sentence, json) => {
    expect(() => decodeState(json)).toThrow(/a stored rollout cannot be read/)
  })
  test('a tick writes the rows that changed and no others', () => {
    const sim = fleet()
    const before = sim.state('web')
    sim.run(70 * MINUTE)
    const delta = stateDelta(before, sim.state('web'))
    expect(delta.sites.map(([site]) => site)).toEqual(['a', 'b'])
    expect(delta.gone).toEqual([])
    expect(stateDelta(before, before)).toEqual({ head: null, sites: [], gone: [] })
  })
})
