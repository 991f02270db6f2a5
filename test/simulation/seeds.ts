/**
 * `node test/simulation/seeds.ts [from] [count] [faults,...|none]`: a line a seed, and the failing ones at the end. `FIRST=1` stops at
 * the first that fails, `TRACE=1` prints the stories; `NEEDS=a,b` passes over seeds that have not all of these faults and traits on,
 * `UNTIL=heal` leaves out the way back.
 */
import { setFlagsFromString } from 'node:v8'
import { shapeOf, traitsOf } from './shape.ts'
import { simulate } from './run.ts'
import { type FaultName, weatherOf } from './weather.ts'

// Thousands of faults are thrown and as many short-lived things made: neither their stacks nor small nurseries serve anybody.
Error.stackTraceLimit = Number(process.env['STACKS'] ?? 0)
setFlagsFromString('--max-semi-space-size=64')

const [from = '1', count = '10', only] = process.argv.slice(2)
const faults = only === undefined ? undefined : only === 'none' ? [] : (only.split(',') as FaultName[])
const needs = (process.env['NEEDS'] ?? '').split(',').filter((need) => need !== '')
const until = process.env['UNTIL'] === 'heal' ? 'heal' : 'converged'
const failed: number[] = []
for (let seed = Number(from); seed < Number(from) + Number(count); seed++) {
  const has = new Set([...weatherOf(seed, faults ?? 'any').rates.keys(), ...traitsOf(shapeOf(seed))])
  if (!needs.every((need) => (need.startsWith('!') ? !has.has(need.slice(1)) : has.has(need)))) continue
  const began = performance.now()
  const done = await simulate(seed, { until, ...(faults === undefined ? {} : { faults }) })
  if (done.broken !== null) failed.push(seed)
  console.log(`${seed} ${done.digest} ${done.events} events ${Math.round(performance.now() - began)} ms ${done.faults.join()} ${done.broken ?? 'ok'}`) // prettier-ignore
  if (process.env['TRACE'] !== undefined) console.log(done.trace.join('\n'))
  if (done.broken !== null && process.env['FIRST'] !== undefined) break
}
console.log(`failed: ${failed.join() || 'none'}`)
process.exitCode = failed.length > 0 ? 1 : 0
