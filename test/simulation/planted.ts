/**
 * `node test/simulation/planted.ts [table|find|known|survive|together|unit] [count] [text]`: each planted bug (or those whose name holds
 * the text) and what becomes of it. `table`: what is known of it. `find`: the first of `count` seeds from 1 that finds it; `known`: of
 * `count` from the one in the list; `survive`: of `count` seeds without faults; `unit`: whether the unit suite passes. `together`: all
 * hidden ones at once, through `count` seeds without faults.
 */
import { PLANTED, type PlantedBug, untilOf } from './planted-bugs.ts'
import { Field } from './plant.ts'

const [what = 'known', count = '30', text = ''] = process.argv.slice(2)
const chosen = PLANTED.filter(({ bug }) => bug.includes(text))
const most = Number(count)
using field = what === 'table' ? undefined : new Field()
let missed = 0
if (what === 'table') for (const planted of chosen) console.log(row(planted))
else if (what === 'together') console.log(together(field!))
else
  for (const planted of chosen) {
    const [verdict, good] = field!.plant([planted], () => judge(field!, planted))
    if (!good) missed += 1
    console.log(`${planted.kind.padEnd(7)}${planted.bug.padEnd(86)} ${verdict}`)
  }
process.exitCode = missed > 0 ? 1 : 0

function row({ bug, law, kind, unit, survived, seed }: PlantedBug): string {
  return `| ${bug} | ${law} | ${kind} | ${unit} | ${survived} | ${seed} |`
}

function judge(on: Field, planted: PlantedBug): readonly [verdict: string, good: boolean] {
  if (what === 'unit') {
    const verdict = on.unitSuite()
    return [verdict, verdict === 'passes']
  }
  const { needs, seed } = planted
  const done =
    what === 'survive'
      ? on.seeds({ from: 1, count: most, faults: 'none' })
      : on.seeds({ from: what === 'known' ? seed : 1, count: most, needs, until: untilOf(planted) })
  if (!done.found) return [`not found in ${done.seeds} seeds`, what === 'survive']
  return [`${done.seeds} seeds, seed ${done.seed}: ${done.says.slice(0, 120)}`, what !== 'survive']
}

/** What none of them does alone they might do together: the harder question, in the time of one. */
function together(on: Field): string {
  const bugs = PLANTED.filter(({ kind }) => kind === 'hidden')
  const done = on.plant(bugs, () => on.seeds({ from: 1, count: most, faults: 'none' }))
  missed = Number(done.found)
  return `${bugs.length} at once, ${done.seeds} seeds without faults: ${done.found ? `seed ${done.seed}: ${done.says}` : 'nothing found'}`
}
