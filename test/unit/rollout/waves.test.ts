import { expect, test } from 'vitest'
import { amountOf, coverageNeeded, percentOf } from '../../../src/core/rollout/amount.ts'
import { assignWaves, LEFTOVER_WAVE } from '../../../src/core/rollout/waves.ts'
import { policy, wave } from '../../property/rollout/sim.ts'

const SITES = new Map(
  Object.entries({
    a: { country: 'se', cohort: 'canary' },
    b: { country: 'dk' },
    c: { country: 'fi' },
    d: { country: 'no' },
    e: {},
    f: { country: 'dk' },
  }),
)
const CANARY = wave('canary', { selector: { matchLabels: { cohort: 'canary' } } })

test.each([
  ['a selector takes its sites and the next wave the rest', [CANARY, wave('rest')], ['canary: a', 'rest: b c d e f']],
  [
    'a count takes so many of what is left, by name',
    [wave('one', { size: { count: 1 } }), wave('rest')],
    ['one: a', 'rest: b c d e f'],
  ],
  [
    'a percentage is of the whole rollout, rounded up',
    [CANARY, wave('some', { size: { percent: 20 } }), wave('rest')],
    ['canary: a', 'some: b c', 'rest: d e f'],
  ],
  [
    'by makes a wave a value in order; other values follow, and sites without the label are last',
    [CANARY, wave('rest', { by: 'country', order: ['dk', 'no', 'se'] })],
    ['canary: a', 'rest/dk: b f', 'rest/no: d', 'rest/se: ', 'rest/fi: c', 'rest/-: e'],
  ],
  ['sites that no wave takes go last of all', [CANARY], ['canary: a', `${LEFTOVER_WAVE}: b c d e f`]],
])('%s', (_sentence, waves, expected) => {
  const plan = assignWaves(policy(waves), SITES)
  expect(plan.waves.map(({ name, sites }) => `${name}: ${sites.join(' ')}`)).toEqual(expected)
  for (const [site, index] of plan.waveOf) expect(plan.waves[index]?.sites).toContain(site)
  expect(plan.waveOf.size).toBe(SITES.size)
})

test.each([
  ['5 % of 100 is 5 and not 6 by binary fractions', percentOf(5, 100), 5],
  ['7 % of 100 is 7', percentOf(7, 100), 7],
  ['percent is rounded up', percentOf(1, 101), 2],
  ['an amount is never less than one site', amountOf({ percent: 1 }, 3), 1],
  ['a count is what it says: sites of earlier waves that return share it', amountOf({ count: 9 }, 3), 9],
  ['coverage is rounded down: 80 % of 4 is 3', coverageNeeded(80, 4), 3],
  ['and never none', coverageNeeded(80, 1), 1],
])('%s', (_sentence, got, expected) => {
  expect(got).toBe(expected)
})
