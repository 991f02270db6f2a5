import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { play, scenarios } from './rollout/scenario.ts'

/** The same fleets in every run of the suite; another seed explores. */
const SEED = Number(process.env['ROLLOUT_SEED'] ?? 20260105)
const RUNS = Number(process.env['ROLLOUT_RUNS'] ?? 120)

test('over simulated weeks of weather, failures, commits and operators every law holds, and a healed fleet converges', () => {
  console.log(`rollout laws: ROLLOUT_SEED=${SEED} ROLLOUT_RUNS=${RUNS}`)
  fc.assert(
    fc.property(scenarios, (scenario) => {
      expect(play(scenario)).toBeNull()
    }),
    { seed: SEED, numRuns: RUNS },
  )
})
