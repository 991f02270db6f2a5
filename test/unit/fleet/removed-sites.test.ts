import { describe, expect, test } from 'vitest'
import { createFleetCache, parseFleet } from '../../../src/core/fleet/parse.ts'
import { renderFleet } from '../../../src/core/fleet/render.ts'
import { judgeDeletions } from '../../../src/core/fleet/deletions.ts'
import { treeOfFolder } from './tree.ts'

const cache = createFleetCache()
const tree = treeOfFolder('fleet-example')
const before = parseFleet(tree, { root: '', revision: 'a', cache })
const without = new Map([...tree].filter(([path]) => !path.startsWith('sites/')))

describe('git rm -r sites', () => {
  test('is the deletion brake to judge, not a heap of groups that match nothing', () => {
    if (before.fleet === null) throw new Error('the example does not parse')
    const after = parseFleet(without, { root: '', revision: 'b', cache, previous: before.fleet })
    expect(after.problems.filter(({ severity }) => severity === 'error')).toEqual([])
    if (after.fleet === null) throw new Error('refused')
    const verdict = judgeDeletions({
      previous: renderFleet(before.fleet, tree, cache),
      next: renderFleet(after.fleet, without, cache),
      fleet: after.fleet,
      spent: new Set(),
    })
    expect(verdict).toMatchObject({ kind: 'stopped', message: expect.stringContaining('43') as string })
  })

  test('without the fleet before it, as lint sees it, the empty groups are errors', () => {
    const after = parseFleet(without, { root: '', revision: 'b', cache })
    expect(after.fleet).toBeNull()
    expect(after.problems.map(({ code }) => code)).toContain('FLT2109')
  })
})
