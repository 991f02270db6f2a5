/**
 * `node test/simulation/planted.ts [find|known|survive|unit] [count] [text]`: each planted bug (or those whose name holds the text) and
 * what becomes of it. `find`: the first of `count` seeds from 1 that finds it; `known`: of `count` from the one in the list;
 * `survive`: of `count` seeds without faults; `unit`: whether the unit suite passes.
 */
import { PLANTED } from './planted-bugs.ts'
import { Field } from './plant.ts'

const [what = 'known', count = '30', text = ''] = process.argv.slice(2)
using field = new Field()
let missed = 0
for (const planted of PLANTED) {
  if (!planted.bug.includes(text)) continue
  const [verdict, good] = field.plant(planted, () => judge(planted.seed))
  if (!good) missed += 1
  console.log(`${planted.kind.padEnd(7)}${planted.bug.padEnd(86)} ${verdict}`)
}
process.exitCode = missed > 0 ? 1 : 0

function judge(seed: number | null): readonly [verdict: string, good: boolean] {
  if (what === 'unit') {
    const verdict = field.unitSuite()
    return [verdict, verdict === 'passes']
  }
  const done = field.seeds(what === 'known' ? (seed ?? 1) : 1, Number(count), what === 'survive' ? 'none' : 'any')
  if (!done.found) return [`not found in ${done.seeds} seeds`, what === 'survive']
  return [`${done.seeds} seeds, seed ${done.seed}: ${done.says.slice(0, 120)}`, what !== 'survive']
}
