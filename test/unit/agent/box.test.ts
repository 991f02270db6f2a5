/** What somebody says at the box with the hub away: what it does, that it is kept, and that nobody is told it was the hub's word. */
import { describe, expect, test } from 'vitest'
import type { BoxWord } from '../../../src/core/api/box.ts'
import { Fault } from '../../../src/core/model/fault.ts'
import { refOf } from '../../../src/core/model/object.ts'
import { configMap, createSite, deployment, liveOf, SIGNAL, type Site, type Told } from './site.ts'

async function publish(site: Site, workloads: Readonly<Record<string, Told>>): Promise<void> {
  site.hub.publish(workloads)
  await site.agent.exchange(SIGNAL)
  await site.settle()
}

const data = async (site: Site): Promise<unknown> => (await liveOf(site, configMap('settings')))?.['data']
const settings = (a: string): Told => ({ objects: [configMap('settings', { a })] })
const observed = (site: Site, workload = 'till') => site.agent.status().workloads.find((it) => it.workload === workload)
const box = (site: Site) => site.agent.status().conditions.find(({ type }) => type === 'Box')
const pause = (forMs: number | null = null): BoxWord => ({
  kind: 'pause',
  by: 'kim',
  reason: 'a disk is replaced',
  forMs,
})
const back: BoxWord = { kind: 'rollback', by: 'kim', reason: 'the till hangs', workload: 'till' }
const reasonOf = (work: () => unknown): string | undefined => {
  try {
    work()
    return undefined
  } catch (error) {
    return (error as Fault).reason
  }
}
const audits = (site: Site) =>
  site.store
    .outbox()
    .filter((item) => item.class === 'audit')
    .map(({ body }) => body)

describe('a pause', () => {
  test('starts nothing new, and says who waits for what', async () => {
    const site = createSite()
    await publish(site, { till: settings('1') })
    site.agent.desk.say(pause())
    const writes = site.writes()
    await publish(site, { till: settings('2'), more: { objects: [configMap('more')] } })
    expect(site.writes()).toBe(writes)
    expect(await data(site)).toEqual({ a: '1' })
    const waiting = { reason: 'Paused', detail: 'kim: a disk is replaced' }
    expect(observed(site)).toMatchObject({ sync: 'Waiting', waiting, begun: false })
    expect(observed(site, 'more')).toMatchObject({ sync: 'Waiting', waiting, applied: null })
    expect(box(site)).toMatchObject({ reason: 'Paused' })
    site.agent.desk.say({ kind: 'resume', by: 'kim', workload: null })
    await site.settle()
    expect(await data(site)).toEqual({ a: '2' })
    expect(observed(site, 'more')).toMatchObject({ sync: 'Synced', begun: true })
    expect(box(site)).toBeUndefined()
  })

  test('corrects nothing, prunes nothing, and calls neither applied', async () => {
    const site = createSite()
    await publish(site, { till: settings('1'), gone: { objects: [configMap('gone')] } })
    site.agent.desk.say(pause())
    const patch = { data: { a: 'by hand' } }
    await site.cluster.patch(
      configMap('settings'),
      refOf(configMap('settings')),
      patch,
      { fieldManager: 'edit' },
      SIGNAL,
    )
    await publish(site, { till: settings('1') })
    expect(await data(site)).toEqual({ a: 'by hand' })
    expect(await liveOf(site, configMap('gone'))).toBeDefined()
    expect(observed(site)).toMatchObject({ sync: 'Drifted', applied: null, healthy: null })
  })

  test('of what was begun goes on no further, and is not said to be applied', async () => {
    let refused = true
    const site = createSite({
      sim: {
        interfere: ({ verb, ref }) =>
          refused && verb === 'apply' && ref?.name === 'late'
            ? { refuse: new Fault('ServerError', 'not now') }
            : undefined,
      },
    })
    site.hub.publish({ till: { objects: [configMap('settings'), configMap('late')] } })
    await site.agent.exchange(SIGNAL)
    await site.agent.turn(SIGNAL)
    site.agent.desk.say(pause())
    refused = false
    await site.settle()
    expect(await liveOf(site, configMap('late'))).toBeUndefined()
    expect(observed(site)).toMatchObject({ sync: 'Waiting', begun: true, waiting: { reason: 'Paused' }, applied: null })
  })

  test('of a quiet site is a condition of the site, and its workloads stay Synced', async () => {
    const site = createSite()
    await publish(site, { till: settings('1') })
    site.agent.desk.say(pause())
    await site.settle()
    expect(observed(site)).toMatchObject({ sync: 'Synced', health: 'Healthy' })
    expect(box(site)?.message).toContain('kim: a disk is replaced')
    await site.agent.exchange(SIGNAL)
    expect(site.hub.heard.at(-1)?.conditions).toMatchObject([{ type: 'Box', reason: 'Paused' }])
  })

  test('ends by itself, by the monotonic clock', async () => {
    const site = createSite()
    await publish(site, { till: settings('1') })
    site.agent.desk.say(pause(3_600_000))
    await publish(site, { till: settings('2') })
    expect(await data(site)).toEqual({ a: '1' })
    await site.clock.advance(3_500_000)
    await site.agent.turn(SIGNAL)
    expect(await data(site)).toEqual({ a: '1' })
    await site.clock.advance(200_000)
    await site.agent.turn(SIGNAL)
    expect(await data(site)).toEqual({ a: '2' })
    expect(audits(site).at(-1)).toMatchObject({ word: 'resume', because: 'its time is over' })
  })

  test('asks for its next turn when it ends', async () => {
    const site = createSite()
    await publish(site, { till: settings('1') })
    site.agent.desk.say(pause(90_000))
    const { nextMs } = await site.agent.turn(SIGNAL)
    expect(nextMs).toBeGreaterThan(80_000)
    expect(nextMs).toBeLessThanOrEqual(90_000)
  })

  test('is kept over a restart, and the hub is told of it when it is back', async () => {
    const site = createSite()
    await publish(site, { till: settings('1') })
    site.hub.reachable = false
    site.agent.desk.say(pause())
    site.restart(site.hub)
    await site.settle()
    expect(site.agent.desk.view().paused).toMatchObject({ by: 'kim', reason: 'a disk is replaced', leftMs: null })
    site.hub.reachable = true
    await site.agent.exchange(SIGNAL)
    expect(site.hub.heard.at(-1)?.outbox).toMatchObject([
      { class: 'audit', body: { kind: 'box', word: 'pause', by: 'kim', reason: 'a disk is replaced' } },
    ])
  })

  test.each([
    ['an endless one by mistake', { ...pause(), forMs: 10 ** 12 }, 'InvalidInput'],
    ['one without a reason', { ...pause(), reason: ' ' }, 'InvalidInput'],
    ['ending what is not there', { kind: 'resume', by: 'kim', workload: null }, 'NotFound'],
    ['ending a rollback that is not there', { kind: 'resume', by: 'kim', workload: 'till' }, 'NotFound'],
  ] as [string, BoxWord, string][])('%s is refused', async (_what, word, reason) => {
    const site = createSite()
    await publish(site, { till: settings('1') })
    expect(reasonOf(() => site.agent.desk.say(word))).toBe(reason)
    expect(audits(site)).toEqual([])
  })
})

describe('a rollback', () => {
  async function released(): Promise<Site> {
    const site = createSite()
    await publish(site, { till: settings('1') })
    await publish(site, { till: settings('2') })
    site.hub.reachable = false
    return site
  }

  test('puts the release before back, from the local library, and never calls it the one of the hub', async () => {
    const site = await released()
    const { desired } = observed(site)!
    site.agent.desk.say(back)
    await site.settle()
    expect(await data(site)).toEqual({ a: '1' })
    const seen = observed(site)!
    expect(seen).toMatchObject({
      sync: 'Waiting',
      waiting: { reason: 'Hold', detail: 'rolled back at the box by kim: the till hangs' },
      desired,
      health: 'Healthy',
    })
    expect(seen.applied?.digest).not.toBe(desired?.digest)
    expect(seen.healthy?.digest).not.toBe(desired?.digest)
    expect(box(site)).toMatchObject({ reason: 'RolledBack' })
    const writes = site.writes()
    await site.agent.turn(SIGNAL)
    expect(site.writes()).toBe(writes)
  })

  test('stays over a restart and over a generation about something else, and ends with a new word about it', async () => {
    const site = await released()
    site.agent.desk.say(back)
    await site.settle()
    site.restart(site.hub)
    await site.settle()
    expect(await data(site)).toEqual({ a: '1' })
    site.hub.reachable = true
    await publish(site, { till: settings('2'), other: { objects: [configMap('other')] } })
    expect(await data(site)).toEqual({ a: '1' })
    expect(await liveOf(site, configMap('other'))).toBeDefined()
    await publish(site, { till: settings('3') })
    expect(await data(site)).toEqual({ a: '3' })
    expect(observed(site)).toMatchObject({ sync: 'Synced' })
    expect(box(site)).toBeUndefined()
    await site.agent.exchange(SIGNAL)
    const told = site.hub.heard
      .flatMap(({ outbox }) => outbox)
      .map(({ body }) => JSON.stringify([body['word'], body['by']]))
    expect([...new Set(told)]).toEqual(['["rollback","kim"]', '["resume","hub"]'])
  })

  test('ends by the word of whoever stands there', async () => {
    const site = await released()
    site.agent.desk.say(back)
    await site.settle()
    site.agent.desk.say({ kind: 'resume', by: 'kim', workload: 'workload/till' })
    await site.settle()
    expect(await data(site)).toEqual({ a: '2' })
    expect(observed(site)).toMatchObject({ sync: 'Synced' })
  })

  test('goes to the last that was well, not to one that never was', async () => {
    const crash = new Fault('Rejected', 'a policy says no')
    let refuse = false
    const site = createSite({
      sim: {
        interfere: ({ verb, ref }) =>
          refuse && verb === 'apply' && ref?.name === 'settings' ? { refuse: crash } : undefined,
      },
    })
    await publish(site, { till: settings('good') })
    refuse = true
    await publish(site, { till: settings('never') })
    refuse = false
    await publish(site, { till: settings('last') })
    site.agent.desk.say(back)
    await site.settle()
    expect(await data(site)).toEqual({ a: 'good' })
  })

  test('of what was changed in one release brings every object back, and takes away what the newer one made', async () => {
    const site = createSite()
    await publish(site, { till: { objects: [deployment('till'), configMap('old')] } })
    await publish(site, { till: { objects: [deployment('till', 'till:2'), configMap('new')] } })
    const uid = (await liveOf(site, deployment('till')))?.metadata.uid
    site.agent.desk.say(back)
    await site.settle()
    expect(await liveOf(site, configMap('new'))).toBeUndefined()
    expect(await liveOf(site, configMap('old'))).toBeDefined()
    expect((await liveOf(site, deployment('till')))?.metadata.uid).toBe(uid)
  })

  test('waits while the site is paused', async () => {
    const site = await released()
    site.agent.desk.say(pause())
    site.agent.desk.say(back)
    await site.settle()
    expect(await data(site)).toEqual({ a: '2' })
    expect(observed(site)).toMatchObject({ sync: 'Waiting', waiting: { reason: 'Paused' } })
    site.agent.desk.say({ kind: 'resume', by: 'kim', workload: null })
    await site.settle()
    expect(await data(site)).toEqual({ a: '1' })
  })

  test('is refused where there is nothing to go back to, twice, to a withdrawn one, or of a workload that is not here', async () => {
    const site = createSite()
    await publish(site, { till: settings('1') })
    expect(reasonOf(() => site.agent.desk.say(back))).toBe('NotFound')
    expect(reasonOf(() => site.agent.desk.say({ ...back, workload: 'other' }))).toBe('NotFound')
    const first = observed(site)!.desired!.digest
    await publish(site, { till: settings('2') })
    site.agent.desk.say(back)
    expect(reasonOf(() => site.agent.desk.say(back))).toBe('Conflict')
    await site.settle()
    site.hub.publish({ till: settings('2') }, { withdrawn: [first] })
    await site.agent.exchange(SIGNAL)
    await site.settle()
    expect(await data(site)).toEqual({ a: '2' })
    expect(reasonOf(() => site.agent.desk.say(back))).toBe('NotFound')
  })

  test('keeps what it goes back to however many generations pass about other things', async () => {
    const site = createSite()
    await publish(site, { till: settings('1') })
    await publish(site, { till: settings('2') })
    for (const n of ['a', 'b', 'c', 'd']) await publish(site, { till: settings('2'), other: settings(n) })
    site.hub.reachable = false
    site.agent.desk.say(back)
    await site.settle()
    expect(await data(site)).toEqual({ a: '1' })
  })
})

describe('status and why', () => {
  test('name the generation, the floor, the last word of the hub, and every workload', async () => {
    const site = createSite()
    await publish(site, { till: settings('1'), web: { objects: [deployment('web')] } })
    const view = site.agent.desk.view()
    expect(view).toMatchObject({
      agent: { state: 'running', version: '0.1.0' },
      generation: { epoch: 1, counter: 1 },
      floor: { epoch: 1, counter: 1 },
      hub: { link: 'Online', fault: null },
      paused: null,
      objects: 2,
      workloads: [
        { workload: 'till', sync: 'Synced', health: 'Healthy', previous: null },
        { workload: 'web', sync: 'Synced', health: 'Healthy' },
      ],
    })
    expect(view.hub.lastExchangeMs).not.toBeNull()
    expect(site.agent.desk.why('till')).toMatchObject({ settled: true, causes: [] })
  })

  test.each([
    ['Deployment/shop/bad'],
    ['deployment/bad'],
    ['deployments.apps/shop/bad'],
    ['Deployment shop/bad'],
    ['bad'],
    ['workload/till'],
    ['till'],
  ])('why %s says what is wrong with it', async (subject) => {
    const site = createSite({
      sim: {
        interfere: ({ verb, ref }) =>
          verb === 'apply' && ref?.name === 'bad' ? { refuse: new Fault('Rejected', 'a policy says no') } : undefined,
      },
    })
    await publish(site, { till: { objects: [deployment('bad'), configMap('good')] } })
    const why = site.agent.desk.why(subject)
    expect(why.settled).toBe(false)
    expect(why.causes.map(({ message }) => message).join()).toContain('a policy says no')
  })

  test('why of what is nothing of ours is refused, and of what two things could be is asked again', async () => {
    const site = createSite()
    await publish(site, { till: { objects: [configMap('both'), deployment('both')] } })
    expect(reasonOf(() => site.agent.desk.why('nobody'))).toBe('NotFound')
    expect(reasonOf(() => site.agent.desk.why('both'))).toBe('InvalidInput')
    expect(site.agent.desk.why('configmap/both').settled).toBe(true)
  })
})
