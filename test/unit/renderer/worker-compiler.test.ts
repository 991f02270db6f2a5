/** The thread that reads revisions says what the functions say, and one that does not come to an end is ended. */
import { expect, test } from 'vitest'
import { createFleetCache } from '../../../src/core/fleet/cache.ts'
import { parseFleet } from '../../../src/core/fleet/parse.ts'
import { renderFleet } from '../../../src/core/fleet/render.ts'
import type { SourceTree } from '../../../src/core/fleet/types.ts'
import { createWorkerCompiler, type WorkerCompiler } from '../../../src/renderer/worker-compiler.ts'
import { site, SMALL, treeOf } from '../fleet/tree.ts'

const OPTIONS = { root: '', revision: 'r1', cache: createFleetCache() }

async function both(compiler: WorkerCompiler, tree: SourceTree) {
  const cache = createFleetCache()
  const here = parseFleet(tree, { ...OPTIONS, cache })
  const there = await compiler.parse(tree, OPTIONS)
  if (here.fleet === null || there.fleet === null) return { here, there }
  return {
    here: { parsed: here.problems, ...renderFleet(here.fleet, tree, cache) },
    there: { parsed: there.problems, ...(await compiler.render(there.fleet, tree)) },
  }
}

test.each([
  ['a good fleet', SMALL],
  ['a file that does not parse', { ...SMALL, 'sites/d.yaml': 'kind: [' }],
  ['a source that holds its workload', { ...SMALL, 'apps/web/base/web.yaml': 'kind: Deployment' }],
])('%s reads and renders as it does in process', async (_sentence, files) => {
  await using compiler = createWorkerCompiler()
  const { here, there } = await both(compiler, treeOf(files))
  expect(there).toEqual(here)
})

test('the revision before judges the next one, by name or as a copy', async () => {
  await using compiler = createWorkerCompiler()
  await using other = createWorkerCompiler()
  const { fleet } = await compiler.parse(treeOf(SMALL), OPTIONS)
  const next = treeOf({ ...SMALL, 'sites/d.yaml': site('d', 'country: dk, format: big') })
  for (const asked of [compiler, other]) {
    const parsed = await asked.parse(next, {
      ...OPTIONS,
      revision: 'r2',
      ...(fleet === null ? {} : { previous: fleet }),
    })
    expect(parsed.problems.filter(({ severity }) => severity === 'error')).toEqual([])
    expect([...(parsed.fleet?.sites.keys() ?? [])]).toEqual(['a', 'b', 'c', 'd'])
  }
})

test('what is not read in time is a fault, nothing hangs, and the next revision is read by a new thread', async () => {
  await using compiler = createWorkerCompiler({ deadlineMs: 0 })
  const [first, second] = await Promise.allSettled([
    compiler.parse(treeOf(SMALL), OPTIONS),
    compiler.parse(treeOf({}), OPTIONS),
  ])
  expect(first).toMatchObject({ status: 'rejected', reason: { reason: 'Timeout' } })
  expect(second).toMatchObject({ status: 'rejected', reason: { reason: 'Timeout' } })
  await using patient = createWorkerCompiler()
  const { fleet } = await patient.parse(treeOf(SMALL), OPTIONS)
  await patient[Symbol.asyncDispose]()
  // The fleet outlives the thread that made it.
  expect(fleet === null ? 0 : (await patient.render(fleet, treeOf(SMALL))).releases.size).toBe(1)
})
