/** `node test/simulation/seeds.ts [from] [count] [faults,...|none]`: a line a seed, and the failing ones at the end. */
import { type FaultName } from './weather.ts'
import { simulate } from './run.ts'

const [from = '1', count = '10', only] = process.argv.slice(2)
const faults = only === undefined ? undefined : only === 'none' ? [] : (only.split(',') as FaultName[])
const failed: number[] = []
for (let seed = Number(from); seed < Number(from) + Number(count); seed++) {
  const began = performance.now()
  const done = await simulate(seed, faults === undefined ? {} : { faults })
  if (done.broken !== null) failed.push(seed)
  console.log(`${seed} ${done.digest} ${done.events} events ${Math.round(performance.now() - began)} ms ${done.faults.join()} ${done.broken ?? 'ok'}`) // prettier-ignore
  if (process.env['TRACE'] !== undefined) console.log(done.trace.join('\n'))
  if (done.broken !== null && process.env['FIRST'] !== undefined) break
}
console.log(`failed: ${failed.join() || 'none'}`)
process.exitCode = failed.length > 0 ? 1 : 0
