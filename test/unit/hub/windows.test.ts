/** Maintenance windows through the hub: who waits for which, in whose words, and what a permit may not outlast. */
import { expect, test } from 'vitest'
import type { Files } from '../fleet/tree.ts'
import { shops } from './files.ts'
import { type LightSite, Rig } from './rig.ts'

const MINUTE = 60_000
const window = (name: string, spec: string): Files => ({
  [`windows/${name}.yaml`]: `apiVersion: flotilla.dev/v1alpha1\nkind: MaintenanceWindow\nmetadata: { name: ${name} }\nspec: { ${spec} }\n`,
})
const NIGHT = 'effect: allow, schedule: "0 3 * * *", duration: 2h'

/** At `at`, three sites at rest on the first commit, and the second, with these windows, is in Git. */
async function waiting(windows: Files, at: string): Promise<{ rig: Rig; sites: LightSite[] }> {
  const rig = await Rig.open()
  rig.git.commit(shops())
  await rig.settle()
  const sites = [await rig.join('s1'), await rig.join('s2'), await rig.join('s3')]
  rig.clock.jump(Date.parse(at) - 50 * MINUTE - rig.clock.nowMs())
  for (const site of sites) await site.sync()
  await rig.run(sites, 50)
  rig.git.commit({ ...shops({ tag: '2' }), ...windows })
  await rig.settle()
  return { rig, sites }
}
const waits = async (rig: Rig, site: string): Promise<string | undefined> =>
  (await rig.hub.api.why('site', site)).causes.map(({ reason }) => reason).find((reason) => reason.startsWith('Window'))

test.each([
  ['an allow window', NIGHT, '2026-01-10T00:50:00Z', '2026-01-10T02:00:00Z', 'opens 2026-01-10 03:00 Europe/Copenhagen, w'],
  ['a deny window', 'effect: deny, schedule: "0 7 * * *", duration: 14h', '2026-01-10T12:00:00Z', '2026-01-10T20:00:00Z', 'opens 2026-01-10 21:00 Europe/Copenhagen, w'],
  ['a season, by dates of the site', 'effect: deny, from: 2026-01-05, until: 2026-01-11', '2026-01-10T12:00:00Z', '2026-01-10T23:00:00Z', 'opens 2026-01-11 00:00 Europe/Copenhagen, w'],
  ['a zone of its own', `${NIGHT}, timeZone: Asia/Tokyo`, '2026-01-10T12:00:00Z', '2026-01-10T18:00:00Z', 'opens 2026-01-10 19:00 Europe/Copenhagen, w'],
  ['the night in which clocks go forward', NIGHT, '2026-03-28T12:00:00Z', '2026-03-29T01:00:00Z', 'opens 2026-03-29 03:00 Europe/Copenhagen, w'],
  ['the night in which clocks go back', NIGHT, '2026-10-24T12:00:00Z', '2026-10-25T02:00:00Z', 'opens 2026-10-25 03:00 Europe/Copenhagen, w'],
] as const)('%s keeps what is new until it opens, and says when by the clock on the site’s wall', async (_, spec, at, opens, says) => {
  const { rig, sites } = await waiting(window('w', `${spec}, targets: [{ selector: { matchLabels: { open: "yes" } } }]`), at)
  await using _rig = rig
  const before = sites[0]?.releaseOf('web')
  expect(await waits(rig, 's1')).toBe(`WindowClosed(${says})`)
  const opensMs = Date.parse(opens)
  const view = await rig.hub.api.why('site', 's1')
  expect(view.nextDecision?.atMs).toBe(opensMs - 15 * MINUTE)
  // Until shortly before it opens nobody is told.
  while (rig.clock.nowMs() < opensMs - 20 * MINUTE) {
    await rig.run(sites, 5)
    expect(sites[0]?.releaseOf('web')).toBe(before)
  }
  // Then it has the release in hand, with a permit that begins with the window and does not outlast it.
  while (rig.clock.nowMs() < opensMs) await rig.run(sites, 5)
  const entry = sites[0]?.manifest?.entries.find(({ workload }) => workload === 'web')
  expect(entry?.release).not.toBe(before)
  expect(Date.parse(entry?.startAfter ?? '')).toBe(opensMs)
}) // prettier-ignore

test('a permit ends with its window: a site that was dark through it waits for the next', async () => {
  const { rig, sites } = await waiting(window('w', `${NIGHT}, targets: [{ workloads: [web] }]`), '2026-01-10T01:40:00Z')
  await using _rig = rig
  const [s1] = sites as [LightSite, ...LightSite[]]
  await rig.run([s1], 15)
  const entry = s1.manifest?.entries[0]
  expect([entry?.startAfter, entry?.startBy]).toEqual(['2026-01-10T02:00:00.000Z', '2026-01-10T04:00:00.000Z'])
})

test('only what it names, and only where it says', async () => {
  const targets = 'targets: [{ selector: { matchLabels: { cohort: rest } }, workloads: [web] }]'
  const { rig, sites } = await waiting(window('w', `${NIGHT}, ${targets}`), '2026-01-10T12:00:00Z')
  await using _rig = rig
  const [s1, s2] = sites as [LightSite, LightSite]
  const before = s1.releaseOf('web')
  await rig.run(sites, 60)
  expect(s1.releaseOf('web')).not.toBe(before)
  expect(s2.releaseOf('web')).toBe(before)
  expect(await waits(rig, 's2')).toBe('WindowClosed(opens 2026-01-11 03:00 Europe/Copenhagen, w)')
})

test('a new site is provisioned outside of windows, and a window that goes from Git keeps nobody', async () => {
  const { rig, sites } = await waiting(window('w', `${NIGHT}, targets: [{ workloads: [web] }]`), '2026-01-10T12:00:00Z')
  await using _rig = rig
  const [s1] = sites as [LightSite, ...LightSite[]]
  const before = s1.releaseOf('web')
  rig.git.commit({
    ...shops({ tag: '2', sites: ['s1', 's2', 's3', 's4'] }),
    ...window('w', `${NIGHT}, targets: [{ workloads: [web] }]`),
  })
  await rig.settle()
  const s4 = await rig.join('s4')
  await rig.run([...sites, s4], 15)
  expect(s4.releaseOf('web')).toBe(before)
  expect(s1.releaseOf('web')).toBe(before)
  rig.git.commit(shops({ tag: '2', sites: ['s1', 's2', 's3', 's4'] }))
  await rig.settle()
  await rig.run([...sites, s4], 90)
  expect(s1.releaseOf('web')).not.toBe(before)
  expect(s4.releaseOf('web')).toBe(s1.releaseOf('web'))
})

const FREEZE = 'effect: deny, from: 2026-01-05, until: 2026-02-01'
const GLASS = 'breakGlass: { approval: store-ops }'
const EVERYWHERE = 'targets: [{ workloads: [web] }]'
const OPS = { name: 'cas', role: 'approver', teams: ['store-ops'] } as const
const why = 'the tills refuse cards'

test('one who speaks for the window’s team breaks the glass, for this rollout alone, and it stands in audit and why', async () => {
  const { rig, sites } = await waiting(window('w', `${FREEZE}, ${GLASS}, ${EVERYWHERE}`), '2026-01-10T12:00:00Z')
  await using _rig = rig
  const [s1] = sites as [LightSite, ...LightSite[]]
  const before = s1.releaseOf('web')
  const closed = 'WindowClosed(opens 2026-02-01 00:00 Europe/Copenhagen, w, or by a yes of store-ops)'
  expect(await waits(rig, 's1')).toBe(closed)
  const { id } = (await rig.hub.api.rollout('web')) ?? {}
  if (id === undefined) throw new Error('no rollout of web')
  await rig.hub.api.command(OPS, 'web', 'break-glass', { why, id })
  await rig.restart()
  await rig.decide()
  expect((await rig.hub.api.why('rollout', 'web')).causes[0]).toMatchObject({
    reason: 'GlassBroken',
    message: `no window of store-ops keeps it until 2026-01-11 12:00Z: ${why} (by cas)`,
  })
  expect((await rig.hub.api.audit(0, 500)).items.at(-1)).toMatchObject({
    actor: 'cas',
    action: 'rollout breakGlass',
    subject: 'web',
    detail: { id, why, team: 'store-ops', untilMs: Date.parse('2026-01-11T12:00:00Z') },
  })
  await rig.run(sites, 60)
  for (const site of sites) expect(site.releaseOf('web')).not.toBe(before)
  expect((await rig.hub.api.why('rollout', 'web')).settled).toBe(true)
  // The next change is another rollout, and nobody said yes to it.
  const after = s1.releaseOf('web')
  rig.git.commit({ ...shops({ tag: '3' }), ...window('w', `${FREEZE}, ${GLASS}, ${EVERYWHERE}`) })
  await rig.settle()
  await rig.run(sites, 60)
  expect(s1.releaseOf('web')).toBe(after)
  expect(await waits(rig, 's1')).toBe(closed)
  await expect(rig.hub.api.command(OPS, 'web', 'break-glass', { why, id })).rejects.toThrow(/^the yes names/)
})

test('a window without a glass keeps it still, and bounds the permit', async () => {
  const windows = {
    ...window('freeze', `${FREEZE}, ${GLASS}, ${EVERYWHERE}`),
    ...window('night', `${NIGHT}, ${EVERYWHERE}`),
  }
  const { rig, sites } = await waiting(windows, '2026-01-10T12:00:00Z')
  await using _rig = rig
  const [s1] = sites as [LightSite, ...LightSite[]]
  expect(await waits(rig, 's1')).toBe('WindowClosed(opens 2026-02-01 03:00 Europe/Copenhagen, freeze)')
  await rig.hub.api.command(OPS, 'web', 'break-glass', { why, team: 'store-ops' })
  await rig.decide()
  expect(await waits(rig, 's1')).toBe('WindowClosed(opens 2026-01-11 03:00 Europe/Copenhagen, night)')
  while (rig.clock.nowMs() < Date.parse('2026-01-11T02:00:00Z')) await rig.run(sites, 5)
  const entry = s1.manifest?.entries[0]
  expect([entry?.startAfter, entry?.startBy]).toEqual(['2026-01-11T02:00:00.000Z', '2026-01-11T04:00:00.000Z'])
})

test.each([
  ['another team’s approver', { ...OPS, teams: ['tills'] }, { why }, 'cas does not speak for store-ops'],
  ['an operator', { ...OPS, role: 'operator' }, { why }, 'cas is operator; this takes approver or admin'],
  ['no reason', OPS, {}, 'a reason of 1 to 500 characters: whoever finds it must see why'],
  ['a team that no window names', { ...OPS, teams: ['*'] }, { why, team: 'tills' }, 'team is one whose yes a window takes: store-ops'],
] as const)('the glass stays whole: %s', async (_, actor, word, because) => {
  const { rig } = await waiting(window('w', `${FREEZE}, ${GLASS}, ${EVERYWHERE}`), '2026-01-10T12:00:00Z')
  await using _rig = rig
  await expect(rig.hub.api.command(actor, 'web', 'break-glass', word)).rejects.toThrow(because)
  await rig.decide()
  expect(await waits(rig, 's1')).toMatch(/^WindowClosed/)
}) // prettier-ignore

test('nobody’s yes opens windows that have no glass', async () => {
  const { rig } = await waiting(window('w', `${FREEZE}, ${EVERYWHERE}`), '2026-01-10T12:00:00Z')
  await using _rig = rig
  const said = rig.hub.api.command({ ...OPS, role: 'admin' }, 'web', 'break-glass', { why })
  await expect(said).rejects.toThrow('no window of web has a glass to break')
})

const STOP = `${NIGHT}, overrun: stop`
const NOON = 'effect: allow, schedule: "0 12 * * *", duration: 1h'
const told = ({ manifest }: LightSite) => ({
  gates: manifest?.entries.find(({ workload }) => workload === 'web')?.gates,
  windows: manifest?.windows,
  critical: manifest?.critical,
})

test('a window that stops what has begun stands in the manifest of whom it concerns, with those that let it go on', async () => {
  const targets = 'targets: [{ selector: { matchLabels: { cohort: rest } }, workloads: [web] }]'
  const windows = { ...window('night', `${STOP}, ${targets}`), ...window('noon', `${NOON}, ${EVERYWHERE}`) }
  const { rig, sites } = await waiting(windows, '2026-01-10T01:40:00Z')
  await using _rig = rig
  const [s1, s2] = sites as [LightSite, LightSite]
  await rig.run(sites, 5)
  expect(told(s1)).toEqual({ gates: [], windows: undefined, critical: [] })
  expect(told(s2)).toEqual({
    gates: ['night', 'noon'],
    windows: {
      night: { effect: 'allow', overrun: 'stop', timeZone: 'Europe/Copenhagen', schedule: '0 3 * * *', durationMs: 120 * MINUTE },
      noon: { effect: 'allow', overrun: 'finish', timeZone: 'Europe/Copenhagen', schedule: '0 12 * * *', durationMs: 60 * MINUTE },
    },
    critical: ['gates', 'windows'],
  })
  // Git changes it: whoever it concerns is told, and no release moves for it.
  const { since } = s2.manifest?.entries[0] ?? {}
  rig.git.commit({ ...shops({ tag: '2' }), ...window('night', `${NIGHT}, ${targets}`) })
  await rig.settle()
  await rig.run(sites, 5)
  expect(told(s2)).toEqual({ gates: [], windows: undefined, critical: [] })
  expect(s2.manifest?.entries[0]?.since).toEqual(since)
}) // prettier-ignore

test('a store that is new is provisioned, and no window stops that', async () => {
  const windows = window('night', `${STOP}, ${EVERYWHERE}`)
  const { rig, sites } = await waiting(windows, '2026-01-10T12:00:00Z')
  await using _rig = rig
  rig.git.commit({ ...shops({ tag: '2', sites: ['s1', 's2', 's3', 's4'] }), ...windows })
  await rig.settle()
  const s4 = await rig.join('s4')
  await rig.run([...sites, s4], 15)
  expect(told(s4)).toEqual({ gates: [], windows: undefined, critical: [] })
})

test('what a yes let go is not stopped by the window that it was said about; others stop it still', async () => {
  const season = `effect: deny, from: 2026-01-05, until: 2026-02-01, overrun: stop, ${GLASS}, ${EVERYWHERE}`
  const trading = `effect: deny, schedule: "0 7 * * *", duration: 14h, overrun: stop, ${EVERYWHERE}`
  const { rig, sites } = await waiting({ ...window('season', season), ...window('trading', trading) }, '2026-01-10T21:30:00Z')
  await using _rig = rig
  await rig.hub.api.command(OPS, 'web', 'break-glass', { why })
  await rig.decide()
  await rig.run(sites, 10)
  expect(told(sites[0] as LightSite).gates).toEqual(['trading'])
}) // prettier-ignore

test('a broken glass ends: what is not told by then waits again, and a new yes is another one', async () => {
  const policy = `spec:
  waves: [{ name: canary, selector: { matchLabels: { cohort: canary } }, soak: 3h }, { name: rest, maxConcurrent: 100%, soak: 10m }]
  maxUnavailable: 100%
`
  const windows = window('w', `${FREEZE}, ${GLASS}, ${EVERYWHERE}`)
  const { rig, sites } = await waiting(windows, '2026-01-10T12:00:00Z')
  await using _rig = rig
  rig.git.commit({ ...shops({ tag: '3', policy }), ...windows })
  await rig.settle()
  const [s1, s2] = sites as [LightSite, LightSite]
  const before = s2.releaseOf('web')
  const said = (forMs?: number) =>
    rig.hub.api.command(OPS, 'web', 'break-glass', { why, ...(forMs === undefined ? {} : { forMs }) })
  await said(2 * 60 * MINUTE)
  await rig.decide()
  await rig.run(sites, 10)
  // Its permit is no longer than the yes.
  expect(s1.releaseOf('web')).not.toBe(before)
  const entry = s1.manifest?.entries[0]
  expect(Date.parse(entry?.startBy ?? '') - rig.clock.nowMs()).toBeLessThanOrEqual(2 * 60 * MINUTE)
  await expect(said()).rejects.toThrow(/^store-ops broke the glass already: it lasts until 2026-01-10/)
  expect((await rig.hub.api.why('rollout', 'web')).causes[0]?.message).toMatch(/until 2026-01-10 1\d:\d\dZ/)
  await rig.run(sites, 5 * 60)
  expect(s2.releaseOf('web')).toBe(before)
  expect(await waits(rig, 's2')).toBe('WindowClosed(opens 2026-02-01 00:00 Europe/Copenhagen, w, or by a yes of store-ops)')
  await said()
  await rig.decide()
  await rig.run(sites, 30)
  expect(s2.releaseOf('web')).not.toBe(before)
  await expect(said(30 * 86_400_000)).rejects.toThrow('7 days')
}) // prettier-ignore
