import { describe, expect, test } from 'vitest'
import { openHubStore } from '../../../src/adapters/store/hub-store.ts'
import { join } from 'node:path'
import { type Digest, digestBytes } from '../../../src/core/model/digest.ts'
import { brokenAudit } from '../../../src/hub/world.ts'
import { shops } from './files.ts'
import { ADMIN, LightSite, never, Rig, STEP_MS } from './rig.ts'

const DAY = 86_400_000
const digest = (n: number): Digest => `sha256:${String(n).padStart(64, '0')}`

async function oneSite(options: Parameters<typeof Rig.open>[1] = {}): Promise<{ rig: Rig; site: LightSite }> {
  const rig = await Rig.open({}, options)
  rig.git.commit(shops({ sites: ['s1'] }))
  await rig.settle()
  const site = await rig.join('s1')
  await rig.run([site], 30)
  return { rig, site }
}

describe('joining', () => {
  const request = (site: string, secret: string, key: string) => ({
    site,
    secret,
    keyHash: key,
    publicKey: Buffer.from(key),
    recipient: 'age1',
  })

  test('a token works once, for its site, in its time, and again only for the key that spent it', async () => {
    await using rig = await Rig.open()
    const { handler, api } = rig.hub
    const { token, line } = await api.createToken(ADMIN, 's1', 60_000)
    expect(line).toBe(`https://hub:1 s1 ${token}`)
    await expect(handler.enrol(request('s2', token, 'k'))).rejects.toMatchObject({ reason: 'TokenRefused' })
    await expect(handler.enrol(request('s1', 'guess', 'k'))).rejects.toMatchObject({ reason: 'TokenRefused' })
    const first = await handler.enrol(request('s1', token, 'k1'))
    expect(handler.standing('k1')).toMatchObject({ state: 'active', site: 's1', siteId: first.siteId })
    // The answer was lost on the way: the same key is told the same again.
    expect((await handler.enrol(request('s1', token, 'k1'))).siteId).toBe(first.siteId)
    await expect(handler.enrol(request('s1', token, 'k2'))).rejects.toMatchObject({ reason: 'TokenRefused' })
    expect(handler.standing('k2')).toBeUndefined()
    const { token: late } = await api.createToken(ADMIN, 's3', 60_000)
    await rig.clock.advance(60_001)
    await expect(handler.enrol(request('s3', late, 'k3'))).rejects.toMatchObject({ reason: 'TokenRefused' })
    await expect(api.createToken(ADMIN, 's3', DAY)).rejects.toMatchObject({ reason: 'InvalidInput' })
    await expect(api.createToken({ ...ADMIN, role: 'operator' }, 's3', 1)).rejects.toMatchObject({
      reason: 'Forbidden',
    })
  })

  test('a box in the place of another fences the old key, keeps the floor, and is told all', async () => {
    const { rig, site } = await oneSite()
    await using _ = rig
    const before = site.floor
    const box = await rig.join('s1')
    expect(box.siteId).toBe(site.siteId)
    expect(rig.hub.handler.standing(site.keyHash)?.state).toBe('retired')
    await rig.decide()
    await rig.run([box], 30)
    // Provisioned anew, by a permit of today.
    expect(Date.parse(box.manifest!.entries[0]!.startBy)).toBeGreaterThan(rig.clock.nowMs() - STEP_MS * 6)
    expect(box.manifest!.entries[0]!.since.counter).toBeGreaterThan(before!.generation.counter)
    expect(box.floor?.generation.counter).toBeGreaterThanOrEqual(before?.generation.counter ?? Infinity)
    expect(box.releaseOf('web')).toBe(site.releaseOf('web'))
  })

  test('a retired name that joins anew inherits nothing', async () => {
    const { rig, site } = await oneSite()
    await using _ = rig
    await rig.hub.api.retire(ADMIN, 's1')
    expect(rig.hub.handler.standing(site.keyHash)?.state).toBe('retired')
    await expect(site.sync()).rejects.toMatchObject({ reason: 'KeyRetired' })
    const again = await rig.join('s1')
    expect(again.siteId).not.toBe(site.siteId)
    await expect(site.sync()).rejects.toMatchObject({ reason: 'KeyUnknown' })
    await rig.run([again], 30)
    expect(again.manifest).toMatchObject({ siteId: again.siteId, generation: { epoch: 1 } })
    expect(again.releaseOf('web')).toBeDefined()
  })
})

describe('retirement in Git', () => {
  test('refuses the key at once, new tokens too, and what runs there is not touched', async () => {
    const rig = await Rig.open()
    await using _ = rig
    rig.git.commit(shops())
    await rig.settle()
    const [site, s2] = [await rig.join('s1'), await rig.join('s2')]
    await rig.run([site, s2], 60)
    const { token } = await rig.hub.api.createToken(ADMIN, 's1', 60_000)
    const retired = (name: string): string => (name === 's1' ? '  retired: { reason: the store is closed }\n' : '')
    const revision = rig.git.commit(shops({ site: retired }))
    await rig.hub.turns.source(never)
    expect(rig.hub.handler.standing(site.keyHash)?.state).toBe('retired')
    await expect(site.sync()).rejects.toMatchObject({ reason: 'KeyRetired' })
    const request = { site: 's1', secret: token, keyHash: 'another', publicKey: Buffer.from('x'), recipient: 'age1x' }
    await expect(rig.hub.handler.enrol(request)).rejects.toMatchObject({ reason: 'TokenRefused' })
    await expect(rig.hub.api.createToken(ADMIN, 's1', 60_000)).rejects.toMatchObject({ reason: 'Conflict' })
    expect((await rig.hub.api.why('site', 's1')).causes).toContainEqual(
      expect.objectContaining({ reason: 'Retired', message: 'its key is refused: the store is closed' }),
    )
    expect((await rig.hub.api.audit(0, 500)).items.at(-1)).toMatchObject({
      actor: `git ${revision.slice(0, 12)}`,
      action: 'retire',
      subject: 's1',
      detail: { reason: 'the store is closed' },
    })
    // The others go on, and a restart remembers.
    await rig.restart()
    expect(rig.hub.handler.standing(site.keyHash)?.state).toBe('retired')
    const before = s2.releaseOf('web')
    rig.git.commit(shops({ tag: '2', site: retired }))
    await rig.settle()
    await rig.run([s2], 120)
    expect(s2.releaseOf('web')).not.toBe(before)
    expect(site.releaseOf('web')).toBe(before)
    // Taken back in Git, the name needs a new token and inherits nothing.
    rig.git.commit(shops({ tag: '2' }))
    await rig.settle()
    await expect(site.sync()).rejects.toMatchObject({ reason: 'KeyRetired' })
    const again = await rig.join('s1')
    expect(again.siteId).not.toBe(site.siteId)
  })
})

describe('who knows more', () => {
  test('a site of a higher generation is told nothing, and no rollout moves it', async () => {
    const { rig, site } = await oneSite()
    await using _ = rig
    const have = { generation: { epoch: 1, counter: 99 }, body: digest(1), root: digest(2) }
    expect((await site.sync({ have })).manifest).toBeUndefined()
    rig.git.commit(shops({ sites: ['s1'], tag: '2' }))
    await rig.settle()
    expect((await site.sync({ have })).manifest).toBeUndefined()
    await rig.restart()
    await rig.settle()
    expect((await site.sync({ have })).manifest).toBeUndefined()
    const view = await rig.hub.api.site('s1')
    expect(view.conditions.map(({ reason }) => reason)).toEqual(['HubBehind'])
    expect((await rig.hub.api.why('site', 's1')).causes[0]?.reason).toBe('HubBehind')
    expect((await rig.hub.api.status()).needsYou.map(({ message }) => message).join()).toContain('HubBehind')
  })

  test('an equal generation with another body is a fork', async () => {
    const { rig, site } = await oneSite()
    await using _ = rig
    const have = { generation: site.floor!.generation, body: digest(1), root: digest(2) }
    expect((await site.sync({ have })).manifest).toBeUndefined()
    expect((await rig.hub.api.site('s1')).conditions[0]?.reason).toBe('ForkedHub')
  })

  test('of two hubs on one store, only one moves a site', async () => {
    const { rig, site } = await oneSite()
    await using _ = rig
    const other = await openHubStore({ file: join(rig.dir, 'hub.db') })
    const generation = site.floor!.generation
    const record = {
      site: 's1',
      generation: { epoch: 1, counter: generation.counter + 1 },
      body: digest(7),
      payload: Buffer.from('{}'),
    }
    await other.commit({ manifests: [{ record, expected: generation }] })
    await expect(other.commit({ manifests: [{ record, expected: generation }] })).rejects.toMatchObject({
      reason: 'Conflict',
    })
    await other.close()
    rig.git.commit(shops({ sites: ['s1'], tag: '2' }))
    await rig.hub.turns.source(never)
    await expect(rig.hub.turns.rollouts()).rejects.toMatchObject({ reason: 'Conflict' })
    expect((await site.sync()).manifest).toBeUndefined()
  })
})

describe('an exchange', () => {
  test('what is acknowledged is stored: results once, whatever is repeated', async () => {
    const { rig, site } = await oneSite()
    await using _ = rig
    const outbox = [1, 2, 3].map((seq) => ({ class: 'result' as const, seq, atMs: 1, body: { job: `j${seq}` } }))
    expect((await site.sync({ outbox })).head.ackOutbox).toBe(3)
    expect((await site.sync({ outbox: outbox.slice(1) })).head.ackOutbox).toBe(3)
    await site.sync({ outbox: [{ ...outbox[0]!, atMs: 2 }], storeEpoch: 'another' })
    await rig.restart()
    const stored = await rig.store.results(0, 100)
    expect(stored.map(({ storeEpoch, seq }) => `${storeEpoch} ${seq}`)).toEqual([
      'store-1 1',
      'store-1 2',
      'store-1 3',
      'another 1',
    ])
  })

  test('a result is kept for 30 days from when the hub acknowledged it, whatever its site’s clock said', async () => {
    const { rig, site } = await oneSite()
    await using _ = rig
    const said = async (seq: number): Promise<readonly number[]> => {
      await site.sync({ outbox: [{ class: 'result', seq, atMs: seq % 2 === 0 ? 1 : Date.UTC(2090, 0, 1), body: {} }] })
      return (await rig.store.results(0, 100)).map((result) => result.seq)
    }
    const DAY_MS = 86_400_000
    expect(await said(1)).toEqual([1])
    await rig.clock.advance(10 * DAY_MS)
    expect(await said(2)).toEqual([1, 2])
    await rig.clock.advance(20 * DAY_MS)
    expect(await said(3)).toEqual([1, 2, 3])
    await rig.clock.advance(1)
    expect(await said(4)).toEqual([2, 3, 4])
    await rig.clock.advance(10 * DAY_MS)
    expect(await said(5)).toEqual([3, 4, 5])
  })

  test('what a site had to drop is told once, and again when it is more', async () => {
    const { rig, site } = await oneSite()
    await using _ = rig
    for (const dropped of [{ log: 2 }, { log: 2 }, { log: 2, metric: 1 }]) await site.sync({ dropped })
    const events = (await rig.hub.api.events(0, 1_000)).items.filter(({ kind }) => kind === 'Dropped')
    expect(events.map(({ message }) => message)).toEqual([
      '2 more items were dropped for want of room on the link: 2 log since its agent began',
      '1 more items were dropped for want of room on the link: 2 log, 1 metric since its agent began',
    ])
  })

  test('a message that comes late says nothing new', async () => {
    const { rig, site } = await oneSite()
    await using _ = rig
    const old = site.observe()
    await rig.clock.advance(STEP_MS)
    const now = site.observe()
    await site.sync({ seq: 50, observations: now })
    await site.sync({ seq: 49, observations: old })
    const kept = await rig.store.atSite('s1')
    expect(kept.get('web')?.observation?.healthyForMs).toBe(now[0]?.healthyForMs)
  })

  test('a delta has its base, small blobs come along, and what the site has does not', async () => {
    const { rig, site } = await oneSite()
    await using _ = rig
    rig.git.commit(shops({ sites: ['s1'], tag: '2' }))
    await rig.settle()
    const reply = await site.sync()
    expect(reply.manifest?.base?.digest).toBeDefined()
    expect(reply.blobs.map(({ domain }) => domain).toSorted()).toEqual(['object', 'release'])
    expect(reply.blobs.every(({ base }) => base !== undefined)).toBe(true)
    const again = await site.sync({ want: reply.blobs.map(({ digest: name }) => name) })
    expect(again.manifest).toBeUndefined()
    expect(again.blobs).toHaveLength(2)
  })

  test('a site reads only blobs that it was told of', async () => {
    const { rig, site } = await oneSite()
    await using _ = rig
    const told = site.releaseOf('web')!
    expect(await rig.hub.handler.blob(site.caller, 'release', told)).toBeDefined()
    const other = new LightSite(rig, 's1', 'not-its-id', 'k')
    expect(await rig.hub.handler.blob(other.caller, 'release', told)).toBeUndefined()
    const stranger = await rig.join('s9')
    expect(await rig.hub.handler.blob(stranger.caller, 'release', told)).toBeUndefined()
    // Nor what this hub has, and told nobody of.
    const secret = digestBytes('object', 'of another')
    await rig.store.commit({ blobs: [{ digest: secret, domain: 'object', bytes: Buffer.from('of another') }] })
    expect(await rig.hub.handler.blob(site.caller, 'object', secret)).toBeUndefined()
  })

  test("another site's report is refused", async () => {
    const { rig, site } = await oneSite()
    await using _ = rig
    await expect(site.sync({ site: 's2' })).rejects.toMatchObject({ reason: 'WrongSite' })
    await expect(site.sync({ siteId: 'x' })).rejects.toMatchObject({ reason: 'WrongSite' })
  })

  test('a site that was dark until its manifest expired is given it anew', async () => {
    const { rig, site } = await oneSite()
    await using _ = rig
    const floor = site.floor!.generation.counter
    rig.git.commit(shops({ sites: ['s1'], tag: '2' }))
    await rig.settle()
    await rig.clock.advance(40 * DAY)
    await site.sync()
    expect(site.floor?.generation.counter).toBeGreaterThan(floor + 1)
    await rig.run([site], 30)
    expect((await rig.hub.api.rollout('web')).phase).toBe('Completed')
  })

  test('a metered site is asked to come in two hours, and is not late before', async () => {
    const rig = await Rig.open({}, { polls: { connectedMs: 60_000, meteredMs: [110 * 60_000, 130 * 60_000] } })
    await using _ = rig
    rig.git.commit(
      shops({ sites: ['s1', 's2'], site: (name) => (name === 's2' ? '  link: { class: metered }\n' : '') }),
    )
    await rig.settle()
    const [wired, metered] = [await rig.join('s1'), await rig.join('s2')]
    expect((await wired.sync()).head.nextDueMs).toBe(60_000)
    expect((await metered.sync()).head.nextDueMs).toBe(120 * 60_000)
    await rig.clock.advance(100 * 60_000)
    expect((await rig.hub.api.site('s2')).link).toBe('Online')
    expect((await rig.hub.api.site('s1')).link).not.toBe('Online')
    // A hub that was away itself blames nobody for it.
    await rig.hub.turns.flush()
    await rig.restart()
    expect((await rig.hub.api.site('s1')).link).toBe('Online')
  })
})

test('a result is kept once, whatever name its store has by then, and another one under the same number is another one', async () => {
  const { rig, site } = await oneSite()
  await using _ = rig
  const item = (id: string) => [{ class: 'result' as const, seq: 1, atMs: 5, body: { id } }]
  await site.sync({ outbox: item('first') })
  await site.sync({ outbox: item('first') })
  await site.sync({ outbox: item('of a disk that went back'), seq: 1 })
  await site.sync({ outbox: item('of a disk that went back'), seq: 2 })
  await site.sync({ outbox: item('first'), storeEpoch: 'a rebuilt store' })
  const kept = await rig.store.results(0, 10)
  expect(kept.map(({ body }) => body['id'])).toEqual(['first', 'of a disk that went back'])
})

describe('the clock of the hub', () => {
  test('one that goes back before what it lived through signs nothing', async () => {
    const { rig, site } = await oneSite()
    await using _ = rig
    await rig.hub.turns.flush()
    rig.clock.jump(-10 * DAY)
    await rig.restart()
    await expect(site.sync()).rejects.toMatchObject({ reason: 'HubClock' })
    rig.clock.jump(10 * DAY)
    await site.sync()
  })
  test('one that jumps ahead signs nothing until its sites agree', async () => {
    const { rig, site } = await oneSite()
    await using _ = rig
    await rig.hub.turns.flush()
    const true_ = rig.clock.nowMs()
    rig.clock.jump(3650 * DAY)
    await rig.restart()
    await expect(site.sync({ clockMs: true_ })).rejects.toMatchObject({ reason: 'HubClock' })
    await site.sync()
  })
  test('one that jumps while it runs signs nothing from the first moment, decides nothing, says so, and goes on when it is right', async () => {
    await using rig = await Rig.open()
    rig.git.commit(shops({ sites: ['s1', 's2', 's3'] }))
    await rig.settle()
    const sites = [await rig.join('s1'), await rig.join('s2'), await rig.join('s3')]
    for (const site of sites) await site.turn()
    await rig.hub.api.hold(ADMIN, 's2', 'inventory', rig.clock.nowMs() + DAY)
    const true_ = rig.clock.nowMs()
    rig.clock.jump(3650 * DAY)
    await expect(sites[0]!.sync({ clockMs: true_ })).rejects.toMatchObject({ reason: 'HubClock' })
    expect((await rig.hub.turns.rollouts()).published).toEqual([])
    expect((await rig.hub.api.status()).needsYou[0]?.message).toMatch(/^HubClock: /)
    rig.clock.jump(-3650 * DAY)
    await sites[0]!.sync()
    expect((await rig.hub.api.site('s2')).hold?.reason).toBe('inventory')
    expect((await rig.hub.api.status()).needsYou.map(({ message }) => message)).not.toContainEqual(expect.stringMatching(/^HubClock/)) // prettier-ignore
  })
  test('one that jumps in the middle of an exchange signs nothing of it', async () => {
    let jumpsMs = 0
    const random = (): number => {
      rig.clock.jump(jumpsMs)
      return 0.5
    }
    await using rig: Rig = await Rig.open({ random })
    rig.git.commit(shops({ sites: ['s1', 's2', 's3'] }))
    await rig.settle()
    const sites = [await rig.join('s1'), await rig.join('s2'), await rig.join('s3')]
    for (const site of sites) await site.turn()
    jumpsMs = 3650 * DAY
    await expect(sites[0]!.sync()).rejects.toMatchObject({ reason: 'HubClock' })
  })
  test('a median of sites that disagree is believed over the hub', async () => {
    await using rig = await Rig.open()
    const sites = [await rig.join('a'), await rig.join('b'), await rig.join('c')]
    const wrong = rig.clock.nowMs() - 3 * DAY
    for (const site of sites.slice(0, 2)) await site.sync({ clockMs: wrong })
    await expect(sites[2]!.sync({ clockMs: wrong })).rejects.toMatchObject({ reason: 'HubClock' })
  })
})

test('the audit log is a chain whose head is signed; a record that is changed is found', async () => {
  const { rig } = await oneSite()
  await using _ = rig
  await rig.hub.api.hold(ADMIN, 's1', 'inventory', null)
  await rig.hub.api.release(ADMIN, 's1')
  await rig.hub.turns.flush()
  const records = await rig.store.audit(0, 100)
  expect(records.map(({ action }) => action)).toEqual(['token create', 'site enrolled', 'hold', 'release'])
  expect(brokenAudit(records)).toBeUndefined()
  expect(brokenAudit(records.map((r) => (r.seq === 3 ? { ...r, actor: 'eve' } : r)))).toBe(3)
  expect(brokenAudit(records.filter(({ seq }) => seq !== 2))).toBe(3)
  const signed = JSON.parse((await rig.store.load()).meta.get('audit.signed') ?? '') as { seq: number; sig: string }
  expect(signed.seq).toBe(4)
})
