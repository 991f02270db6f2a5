import { describe, expect, test } from 'vitest'
import { renderSite } from '../../../src/core/fleet/render.ts'
import { codesOf, fleetOf, FLEET, lint, site, SMALL, type Files } from './tree.ts'

const HEAD = 'apiVersion: flotilla.dev/v1alpha1\n'
const TARGETS = '  targets: [{ selector: { matchLabels: { country: dk } } }]\n'
const queue = (name: string, spec = '', targets = TARGETS): string =>
  `${HEAD}kind: BatchQueue\nmetadata: { name: ${name} }\nspec:\n${targets}${spec}`
const POD = '{ spec: { containers: [{ name: c, image: i }] } }'
const job = (name: string, spec = '', targets = TARGETS): string =>
  `${HEAD}kind: BatchJob\nmetadata: { name: ${name} }\nspec:\n${targets}  queue: night\n` +
  (spec.includes('tasks:') ? spec : `  tasks: [{ name: main, template: ${POD} }]\n${spec}`)
const cron = (name: string, spec: string): string =>
  `${HEAD}kind: CronBatchJob\nmetadata: { name: ${name} }\nspec:\n${TARGETS}${spec}` +
  `  jobTemplate: { spec: { queue: night, tasks: [{ name: main, template: ${POD} }] } }\n`
const NIGHT: Files = { ...SMALL, 'q.yaml': queue('night') }

describe('a batch document is a release of one object', () => {
  const zoned: Files = {
    'flotilla.yaml': FLEET,
    'sites/a.yaml': site('a', 'country: dk', '  location: { timeZone: Europe/Copenhagen }\n'),
    'sites/b.yaml': site('b', 'country: dk', '  location: { timeZone: America/Nuuk }\n'),
    'sites/c.yaml': site('c', 'country: se'),
    'q.yaml': queue('night'),
    'j.yaml': job('train', '  rollout: cautious\n'),
  }

  test('where it is targeted, by the zone of each site, without what is only the hub`s to know', () => {
    const { rendered } = fleetOf(zoned)
    expect([...rendered.sites].map(([name, workloads]) => [name, [...workloads.keys()]])).toEqual([
      ['a', ['batchjob.train', 'batchqueue.night']],
      ['b', ['batchjob.train', 'batchqueue.night']],
      ['c', []],
    ])
    const [shown] = renderSite(rendered, 'b', 'batchjob.train')
    expect(shown?.manifest).toEqual({
      apiVersion: 'flotilla.dev/v1alpha1',
      kind: 'BatchJob',
      metadata: { name: 'train', namespace: 'default', annotations: { 'flotilla.dev/time-zone': 'America/Nuuk' } },
      spec: {
        queue: 'night',
        tasks: [{ name: 'main', template: { spec: { containers: [{ image: 'i', name: 'c' }] } } }],
      },
    })
  })

  test('another rollout or another target runs nothing again', () => {
    const digest = (files: Files): unknown => fleetOf(files).rendered.sites.get('a')?.get('batchjob.train')
    const before = digest(zoned)
    expect(digest({ ...zoned, 'j.yaml': job('train', '', '  targets: [{ selector: { matchExpressions: [{ key: country, operator: Exists }] } }]\n'), 'q.yaml': queue('night', '', '  targets: [{ selector: { matchExpressions: [{ key: country, operator: Exists }] } }]\n') })).toBe(before) // prettier-ignore
  })

  test('it waits at a site for its queue, and a queue for its parent', () => {
    const { fleet } = fleetOf({ ...zoned, 'q.yaml': queue('night', '  parent: root\n'), 'r.yaml': queue('root') })
    const needs = (name: string): unknown => fleet.workloads.get(name)?.dependsOn.map((on) => on.name)
    expect(needs('batchjob.train')).toEqual(['batchqueue.night'])
    expect(needs('batchqueue.night')).toEqual(['batchqueue.root'])
  })
})

describe('what holds it, with its place, and holds nothing else', () => {
  const table: readonly (readonly [string, Files, readonly string[]])[] = [
    ['a queue that nothing has', { 'j.yaml': job('a').replace('queue: night', 'queue: noon') }, ['FLT2104 j.yaml:6:10']],
    ['a queue that is not at the site', { 'j.yaml': job('a', '', '  targets: [{ selector: { matchLabels: { country: se } } }]\n') }, ['FLT2104 j.yaml:6:10']],
    ['queues in a circle', { 'a.yaml': queue('a', '  parent: b\n'), 'b.yaml': queue('b', '  parent: a\n') }, ['FLT2104 a.yaml:6:11', 'FLT2104 b.yaml:6:11']],
    ['a queue that is its own parent', { 'a.yaml': queue('a', '  parent: a\n') }, ['FLT2013 a.yaml:6:11', 'FLT2104 a.yaml:6:11']],
    ['a guarantee above what it deserves', { 'a.yaml': queue('a', '  guarantee: { cpu: 4 }\n  deserved: { cpu: 2 }\n') }, ['FLT2013 a.yaml:6:21']],
    ['a quantity below zero', { 'a.yaml': queue('a', '  capability: { cpu: -1 }\n') }, ['FLT2013 a.yaml:6:22']],
    ['jobs that wait for each other', { 'a.yaml': job('a', '  dependency: [{ afterok: [b] }]\n'), 'b.yaml': job('b', '  dependency: [{ afterany: [a] }]\n') }, ['FLT2104 a.yaml:8:3', 'FLT2104 b.yaml:8:3']],
    ['tasks that wait for each other', { 'a.yaml': job('a', `  tasks: [{ name: x, template: ${POD}, dependsOn: { name: z } }, { name: z, template: ${POD}, dependsOn: { name: [x] } }]\n`) }, ['FLT2013 a.yaml:7:10']],
    ['a gang above its replicas', { 'a.yaml': job('a', '  minAvailable: 2\n') }, ['FLT2013 a.yaml:8:17']],
    ['a pod without containers', { 'a.yaml': job('a', '  tasks: [{ name: x, template: { spec: {} } }]\n') }, ['FLT2013 a.yaml:7:32']],
    ['an array that is no range', { 'a.yaml': job('a', '  array: { range: 7-0 }\n') }, ['FLT2013 a.yaml:8:19']],
    ['a cron that is none', { 'a.yaml': cron('a', '  schedule: "61 * * * *"\n') }, ['FLT2013 a.yaml:6:13']],
    ['a zone that is none', { 'a.yaml': cron('a', '  schedule: "@daily"\n  timeZone: Europe/Nowhere\n') }, ['FLT2013 a.yaml:7:13']],
    ['two jobs of one name', { 'a.yaml': job('a'), 'b.yaml': job('a') }, ['FLT1012 b.yaml:1:1']],
    ['an action that is none', { 'a.yaml': job('a', '  policies: [{ event: PodFailed, action: Retry }]\n') }, ['FLT1003 a.yaml:8:42']],
  ] // prettier-ignore
  test.each(table)('%s', (_, files, expected) => {
    const linted = lint({ ...NIGHT, ...files })
    expect(codesOf(linted)).toEqual(expected)
    if (expected.some((code) => code.startsWith('FLT1'))) return
    expect([...(linted.rendered?.sites.get('a')?.keys() ?? [])]).toContain('web')
    const held = new Set(linted.rendered?.held.map(({ workload }) => workload))
    expect([...held].every((name) => /batch/.test(name))).toBe(true)
  })

  test.each([
    ['@daily, and a limit of what is kept', cron('a', '  schedule: "@daily"\n  successfulJobsHistoryLimit: 0\n')],
    ['the queue that every site has', job('a').replace('queue: night', 'queue: default')],
    ['all that Volcano`s policies say', job('a', '  minSuccess: 1\n  gangTimeout: 5m\n  policies: [{ events: [PodFailed, PodEvicted], action: RestartJob, timeout: 90s }, { exitCode: 137, action: AbortJob }]\n')], // prettier-ignore
  ])('is taken: %s', (_, text) => {
    expect(codesOf(lint({ ...NIGHT, 'a.yaml': text }))).toEqual([])
  })

  test('a team without a right to the namespace or the kind', () => {
    const team = `${HEAD}kind: Team\nmetadata: { name: t }\nspec: { paths: [apps/t], may: { namespaces: [t], clusterScoped: false } }\n`
    const files = { ...NIGHT, 'teams.yaml': team, 'apps/t/q.yaml': queue('own') }
    expect(codesOf(lint({ ...files, 'apps/t/j.yaml': job('j', '  namespace: t\n') }))).toEqual([])
    expect(codesOf(lint({ ...files, 'apps/t/j.yaml': job('j') }))).toEqual(['FLT2110 apps/t/j.yaml:1:1'])
  })
})

describe('guarantees above what a site has', () => {
  const nodes = (cpu: number): string =>
    `  nodes: [{ name: n1, capacity: { cpu: ${cpu}, memory: 8Gi } }, { name: n2, capacity: { cpu: ${cpu} } }]\n`
  const fleet = (more: Files): Files => ({
    ...SMALL,
    'sites/a.yaml': site('a', 'country: dk', nodes(4)),
    'sites/b.yaml': site('b', 'country: dk', nodes(16)),
    ...more,
  })
  const heldAt = (files: Files): unknown =>
    lint(files).rendered?.held.map(({ workload, sites, problem }) => [workload, sites, problem.code, problem.message])

  test('hold the queues at the sites that are too small, and nowhere else', () => {
    const files = fleet({
      'q.yaml': queue('night', '  guarantee: { cpu: 6 }\n'),
      'r.yaml': queue('day', '  guarantee: { cpu: 3500m }\n'),
    })
    expect(heldAt(files)).toEqual([
      [
        'batchqueue.day',
        ['a'],
        'FLT2106',
        'queue day is promised more than its sites have: cpu 9.5 is promised, the nodes have 8',
      ],
      [
        'batchqueue.night',
        ['a'],
        'FLT2106',
        'queue night is promised more than its sites have: cpu 9.5 is promised, the nodes have 8',
      ],
    ])
  })

  test.each([
    ['what just fits', fleet({ 'q.yaml': queue('night', '  guarantee: { cpu: 8, memory: 8Gi }\n') })],
    [
      'a child shares its parent`s',
      fleet({
        'q.yaml': queue('night', '  guarantee: { cpu: 8 }\n'),
        'r.yaml': queue('late', '  parent: night\n  guarantee: { cpu: 8 }\n'),
      }),
    ],
    ['where Git does not say what a site has', { ...SMALL, 'q.yaml': queue('night', '  guarantee: { cpu: 800 }\n') }],
  ])('nothing is held: %s', (_, files) => {
    expect(heldAt(files)).toEqual([])
  })

  test('a resource that no node has', () => {
    const files = fleet({ 'q.yaml': queue('night', '  guarantee: { nvidia.com/gpu: 1 }\n') })
    expect(lint(files).rendered?.held).toMatchObject([
      { workload: 'batchqueue.night', sites: ['a', 'b'], problem: { code: 'FLT2106' } },
    ])
  })
})
