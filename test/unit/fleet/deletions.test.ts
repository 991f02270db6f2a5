import { describe, expect, test } from 'vitest'
import { formatDeletions, judgeDeletions } from '../../../src/core/fleet/deletions.ts'
import { isDigest, type Digest } from '../../../src/core/model/digest.ts'
import { configMap, FLEET, fleetOf, lint, site, workload, type Files } from './tree.ts'

/** Forty sites with two workloads. */
const FORTY: Files = {
  'flotilla.yaml': FLEET,
  ...Object.fromEntries(
    Array.from({ length: 40 }, (_, i) => [`sites/s${i}.yaml`, site(`s${i}`, `country: dk, n: "${i}"`)]),
  ),
  'apps/web/workload.yaml': workload('web'),
  'apps/web/base/a.yaml': configMap('a'),
  'apps/web/base/b.yaml': configMap('b'),
  'apps/db/workload.yaml': workload('db'),
  'apps/db/base/c.yaml': configMap('c'),
}
const without = (files: Files, ...prefixes: readonly string[]): Files =>
  Object.fromEntries(Object.entries(files).filter(([path]) => !prefixes.some((prefix) => path.startsWith(prefix))))

function judge(after: Files, options: { before?: Files; spent?: readonly Digest[] } = {}) {
  const previous = fleetOf(options.before ?? FORTY).rendered
  const { parsed, rendered, problems } = lint(after)
  if (parsed.fleet === null || rendered === null) throw new Error(JSON.stringify(problems))
  return judgeDeletions({ previous, next: rendered, fleet: parsed.fleet, spent: new Set(options.spent) })
}

const brake = (text: string): Files => ({
  'flotilla.yaml': FLEET.replace('layers:', `deletionBrake: { ${text} }, layers:`),
})
const narrow = (n: number): string =>
  workload('web', `  targets: [{ selector: { matchExpressions: [{ key: n, operator: Lt, values: ["${n}"] }] } }]\n`)

describe('what the brake lets through, and what it stops', () => {
  const table: readonly (readonly [string, Files, string | null])[] = [
    ['nothing changes', FORTY, null],
    ['a new workload', { ...FORTY, 'apps/x/workload.yaml': workload('x'), 'apps/x/base/x.yaml': configMap('x') }, null],
    ['one site goes', without(FORTY, 'sites/s7.'), null],
    ['two sites go', without(FORTY, 'sites/s7.', 'sites/s8.'), '2 Sites would be removed, the limit is 1'],
    ['the folder of sites goes', { ...without(FORTY, 'sites/', 'apps/'), 'x.txt': '' }, '40 Sites would be removed, the limit is 1'],
    ['a workload leaves five sites', { ...FORTY, 'apps/web/workload.yaml': narrow(35) }, null],
    ['a workload leaves six sites', { ...FORTY, 'apps/web/workload.yaml': narrow(34) }, 'web would leave 6 sites, the limit is 5'],
    ['a workload goes', without(FORTY, 'apps/db/'), 'db would leave 40 sites, the limit is 5'],
    ['one object of each site goes', without(FORTY, 'apps/web/base/b'), null],
    ['the same above the object limit', { ...without(FORTY, 'apps/web/base/b'), ...brake('objects: 39') }, '40 objects would be deleted, the limit is 39'],
    ['the same where nothing is pruned', { ...without(FORTY, 'apps/web/base/b'), ...brake('objects: 39'), 'apps/web/workload.yaml': workload('web', '  prune: false\n') }, null],
    ['an object moves to another workload', { ...without(FORTY, 'apps/web/base/b'), ...brake('objects: 1'), 'apps/db/base/b.yaml': configMap('b') }, null],
    ['a workload is renamed', { ...FORTY, 'apps/web/workload.yaml': workload('shop', '  formerNames: [web]\n') }, null],
    ['a workload is renamed without saying so', { ...FORTY, 'apps/web/workload.yaml': workload('shop') }, 'web would leave 40 sites, the limit is 5'],
    ['a site is renamed', { ...without(FORTY, 'sites/s7.', 'sites/s8.'), 'sites/x.yaml': site('x', 'country: dk', '  formerNames: [s7]\n'), 'sites/z.yaml': site('z', 'country: dk', '  formerNames: [s8]\n') }, null],
    ['an error holds a workload', { ...FORTY, 'apps/web/base/a.yaml': 'a: [' }, null],
    ['a namespace changes', { ...FORTY, ...brake('objects: 1'), 'apps/web/workload.yaml': workload('web', '  namespace: shop\n') }, '80 objects would be deleted, the limit is 1'],
    ['a version changes and the object stays', { ...FORTY, ...brake('objects: 1'), 'apps/web/base/a.yaml': configMap('a', '{ a: c }') }, null],
    ['higher limits', { ...without(FORTY, 'sites/s7.', 'sites/s8.', 'apps/db'), ...brake('sites: 2, percentOfSites: 100') }, null],
  ] // prettier-ignore
  test.each(table)('%s', (_, after, stopped) => {
    const verdict = judge(after)
    if (stopped === null) expect(verdict).toMatchObject({ kind: 'ok', confirmed: null })
    else {
      expect(verdict.kind).toBe('stopped')
      expect(verdict.kind === 'stopped' && verdict.message).toContain(stopped)
    }
  })
})

test('the yes stands in Git, names the list, and counts once', () => {
  const after = without(FORTY, 'apps/db/')
  const stopped = judge(after)
  if (stopped.kind !== 'stopped') throw new Error('not stopped')
  expect(isDigest(stopped.digest)).toBe(true)
  const confirmed = { ...after, ...brake(`confirmed: ["${stopped.digest}"]`) }
  expect(judge(confirmed)).toMatchObject({ kind: 'ok', confirmed: stopped.digest })
  expect(judge(confirmed, { spent: [stopped.digest] })).toMatchObject({ kind: 'stopped', digest: stopped.digest })
  const other = { ...without(confirmed, 'apps/web/base/b'), 'apps/x.txt': '' }
  expect(judge(other).kind).toBe('stopped')
})

test('the list says what goes where, by name', () => {
  const verdict = judge({
    ...without(FORTY, 'apps/web/base/b'),
    'apps/db/workload.yaml': workload(
      'db',
      '  targets: [{ selector: { matchExpressions: [{ key: n, operator: Lt, values: ["38"] }] } }]\n',
    ),
  })
  expect(verdict.list.untargeted).toEqual([{ workload: 'db', sites: ['s38', 's39'] }])
  expect(verdict.list.objects.map(({ workload, object, sites }) => [workload, object, sites.length])).toEqual([
    ['db', '/ConfigMap/default/c', 2],
    ['web', '/ConfigMap/default/b', 40],
  ])
  expect(formatDeletions(verdict.list)[1]).toBe('ConfigMap default/c of db is deleted at 2 sites: s38, s39')
})
