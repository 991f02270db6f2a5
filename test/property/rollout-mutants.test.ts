import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { MUTANTS } from './rollout/mutants.ts'
import { play, scenarios } from './rollout/scenario.ts'

const SEED = Number(process.env['ROLLOUT_SEED'] ?? 20260105)
/** A planted mistake must be found within so many random scenarios. */
const WITHIN = 400

test.each(MUTANTS)('an engine that $mistake is found by $law', ({ mistake, law, engine }) => {
  const seen = new Set<string>()
  for (const [tried, scenario] of fc.sample(scenarios, { seed: SEED, numRuns: WITHIN }).entries()) {
    const broken = play(scenario, engine())
    if (broken === null) continue
    if (law.test(broken)) {
      console.log(`rollout mutants: "${mistake}" found after ${tried + 1} scenarios of seed ${SEED}: ${broken}`)
      return
    }
    seen.add(broken.split(':')[0] ?? broken)
  }
  expect.fail(`not found in ${WITHIN} scenarios of seed ${SEED}; other laws that broke: ${[...seen].join(', ')}`)
})
