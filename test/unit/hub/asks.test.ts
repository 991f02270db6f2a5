/** What the hub carries to a site and what it keeps of the answer: who may ask, once, until when, and what is said when nothing comes. */
import { describe, expect, test } from 'vitest'
import type { JsonObject } from '../../../src/core/model/json.ts'
import type { AskAnswer } from '../../../src/core/protocol/ask.ts'
import { answerBodies, ASK_MAX_MS, asksAmong, judgeAsk, takenBody } from '../../../src/core/protocol/ask.ts'
import type { OutboxItem } from '../../../src/core/protocol/messages.ts'
import type { SyncReply } from '../../../src/core/protocol/ports.ts'
import type { Actor, AskRequest, Role } from '../../../src/hub/api.ts'
import { brokenAudit } from '../../../src/hub/world.ts'
import { TRUST } from '../protocol/fixed.ts'
import { shops } from './files.ts'
import { ADMIN, authority, type LightSite, Rig } from './rig.ts'

const MINUTE = 60_000
const DIFF: AskRequest = { verb: 'diff', args: {}, sites: ['s1'], selector: null }
const EVERYWHERE = { sites: null, selector: { matchLabels: { open: 'yes' } } } as const

interface World extends AsyncDisposable {
  readonly rig: Rig
  readonly site: LightSite
  readonly sites: readonly LightSite[]
  readonly called: string[]
}

async function world(): Promise<World> {
  const called: string[] = []
  const rig = await Rig.open({ nudge: (names) => called.push(...names) })
  rig.git.commit(shops({ site: (name) => (name === 's3' ? '  link: { class: metered }\n' : '') }))
  await rig.settle()
  const sites = [await rig.join('s1'), await rig.join('s2'), await rig.join('s3')]
  await rig.run(sites, 60)
  called.length = 0
  return { rig, sites, site: sites[0]!, called, [Symbol.asyncDispose]: () => rig[Symbol.asyncDispose]() }
}

/** As the site would take them. */
function taken(rig: Rig, site: LightSite, reply: SyncReply) {
  return asksAmong(reply.head.asks).map((item) => {
    const hubNow = { known: 'exact', ms: rig.clock.nowMs() } as const
    const verdict = judgeAsk(item, { trust: TRUST, site: site.name, siteId: site.siteId, hubNow })
    if (verdict.verdict !== 'take') throw new Error(verdict.because)
    return verdict.ask
  })
}

let seq = 0
function words(...bodies: readonly JsonObject[]): { readonly outbox: readonly OutboxItem[] } {
  return { outbox: bodies.map((body) => ({ class: 'result', seq: (seq += 1), atMs: 1, body })) }
}

const said = (id: string, what: JsonObject = { objects: [] }): readonly JsonObject[] =>
  answerBodies(id, { ok: true, said: what } satisfies AskAnswer, 100_000)

const who = (role: Role, more: Partial<Actor> = {}): Actor => ({ name: role, role, teams: ['*'], ...more })

describe('an ask goes to its site', () => {
  test('in the answer to its next message, signed, until the site says that it has it', async () => {
    await using w = await world()
    const { rig, site } = w
    const { id } = await rig.hub.api.ask(who('viewer'), { ...DIFF, forMs: 10 * MINUTE })
    expect(w.called).toEqual(['s1'])
    expect((await w.sites[1]!.sync()).head.asks).toBeUndefined()
    const [first] = taken(rig, site, await site.sync())
    expect(first).toMatchObject({ id, verb: 'diff', by: 'viewer', site: 's1', siteId: site.siteId, timeEpoch: 1 })
    expect(Date.parse(first!.expires) - Date.parse(first!.issued)).toBe(10 * MINUTE)
    expect(taken(rig, site, await site.sync())).toHaveLength(1)
    expect((await site.sync(words(takenBody(id)))).head.asks).toBeUndefined()
    expect((await rig.hub.api.asked(ADMIN, id, 'counts')).counts.taken).toBe(1)
  })

  test('also by a hub that was killed in between, and not once it has expired', async () => {
    await using w = await world()
    const { rig, site } = w
    await rig.hub.api.ask(ADMIN, DIFF)
    await rig.restart()
    expect(taken(rig, site, await site.sync())).toHaveLength(1)
    await rig.restart()
    expect(taken(rig, site, await site.sync())).toHaveLength(1)
    await rig.clock.advance(5 * MINUTE)
    expect((await site.sync()).head.asks).toBeUndefined()
  })

  test('nothing is added to the answer to a site that is asked nothing', async () => {
    await using w = await world()
    const { head } = await w.site.sync()
    expect(Object.keys(head).toSorted()).toEqual(['ack', 'ackOutbox', 'nextDueMs', 'v'])
  })

  test('a metered site is not called, and gets it at its next contact', async () => {
    await using w = await world()
    await w.rig.hub.api.ask(ADMIN, { ...DIFF, sites: ['s3'], forMs: 3 * 60 * MINUTE })
    expect(w.called).toEqual([])
    await w.rig.clock.advance(2 * 60 * MINUTE)
    expect(taken(w.rig, w.sites[2]!, await w.sites[2]!.sync())).toHaveLength(1)
  })

  test('many come a few at a time, oldest first', async () => {
    await using w = await world()
    const ids: string[] = []
    for (let i = 0; i < 10; i++) ids.push((await w.rig.hub.api.ask(ADMIN, DIFF)).id)
    expect(taken(w.rig, w.site, await w.site.sync()).map(({ id }) => id)).toEqual(ids.slice(0, 8))
    const large = { verb: 'sbatch', args: { script: 'x'.repeat(40_000) }, sites: ['s2'], selector: null }
    for (let i = 0; i < 4; i++) await w.rig.hub.api.ask(ADMIN, large)
    expect(taken(w.rig, w.sites[1]!, await w.sites[1]!.sync())).toHaveLength(1)
  })
})

describe('what comes back', () => {
  test('in parts, in any order, once each, and after a restart', async () => {
    await using w = await world()
    const { rig, site } = w
    const { id } = await rig.hub.api.ask(ADMIN, DIFF)
    await site.sync()
    const parts = said(id, { text: 'x'.repeat(60_000) })
    expect(parts.length).toBe(3)
    await site.sync(words(parts[2]!, parts[0]!))
    expect((await rig.hub.api.asked(ADMIN, id, 'answers')).counts).toMatchObject({ taken: 1, answered: 0 })
    await rig.restart()
    await site.sync(words(parts[0]!, parts[1]!))
    await site.sync(words(...said(id, { text: 'another' })))
    const view = await rig.hub.api.asked(ADMIN, id, 'answers')
    expect(view.counts.answered).toBe(1)
    expect(view.groups).toEqual([{ answer: { ok: true, said: { text: 'x'.repeat(60_000) } }, count: 1, sites: ['s1'] }])
    expect(await rig.store.results(0, 10)).toEqual([])
  })

  test('of nobody’s question is dropped, and so is another site’s answer', async () => {
    await using w = await world()
    const { id } = await w.rig.hub.api.ask(ADMIN, DIFF)
    await w.sites[1]!.sync(words(...said(id), ...said('ffffffffffffffff')))
    expect((await w.rig.hub.api.asked(ADMIN, id, 'answers')).counts).toMatchObject({ waiting: 1, answered: 0 })
    expect(await w.rig.store.askParts(id)).toEqual([])
    expect(await w.rig.store.askParts('ffffffffffffffff')).toEqual([])
  })

  test('alike answers of many sites stand together, most first', async () => {
    await using w = await world()
    const { id, sites } = await w.rig.hub.api.ask(ADMIN, { ...DIFF, ...EVERYWHERE })
    expect(sites).toBe(3)
    const tell = (site: LightSite, n: number): Promise<SyncReply> => site.sync(words(...said(id, { n })))
    await tell(w.sites[0]!, 1)
    await tell(w.sites[1]!, 2)
    await tell(w.sites[2]!, 2)
    const { groups, leftOut } = await w.rig.hub.api.asked(ADMIN, id, 'answers')
    expect(groups.map(({ count, sites: names }) => [count, names])).toEqual([[2, ['s2', 's3']], [1, ['s1']]]) // prettier-ignore
    expect(leftOut).toBe(0)
    expect((await w.rig.hub.api.asked(ADMIN, id, 'counts')).groups).toEqual([])
  })

  test('an hour after the expiry nothing of it is left', async () => {
    await using w = await world()
    const { id } = await w.rig.hub.api.ask(ADMIN, DIFF)
    await w.site.sync(words(...said(id)))
    await w.rig.clock.advance(64 * MINUTE)
    await w.rig.hub.turns.flush()
    expect((await w.rig.hub.api.asked(ADMIN, id, 'answers')).counts.answered).toBe(1)
    await w.rig.clock.advance(2 * MINUTE)
    await w.rig.hub.turns.flush()
    await expect(w.rig.hub.api.asked(ADMIN, id, 'answers')).rejects.toMatchObject({ reason: 'NotFound' })
    expect(await w.rig.store.askParts(id)).toEqual([])
    expect((await w.rig.store.load()).asks).toEqual([])
  })
})

describe('the end is explicit', () => {
  const stateOf = async ({ rig }: World, id: string): Promise<string> => {
    const { counts, open } = await rig.hub.api.asked(ADMIN, id, 'counts')
    const [state] = Object.entries(counts).find(([, count]) => count > 0)!
    expect(open[0]?.state ?? 'answered').toBe(state)
    return state
  }

  test('a site that did not call: it expired, and will not be done any more', async () => {
    await using w = await world()
    const { id } = await w.rig.hub.api.ask(ADMIN, DIFF)
    expect(await stateOf(w, id)).toBe('waiting')
    await w.rig.clock.advance(5 * MINUTE)
    expect(await stateOf(w, id)).toBe('expired')
    const { open } = await w.rig.hub.api.asked(ADMIN, id, 'counts')
    expect(open).toMatchObject([{ site: 's1', state: 'expired', agent: '0.1.0', lastContactMs: expect.any(Number) }])
  })

  test('a site that was told and not heard since: nobody knows', async () => {
    await using w = await world()
    const { id } = await w.rig.hub.api.ask(ADMIN, DIFF)
    await w.site.sync()
    expect(await stateOf(w, id)).toBe('told')
    await w.rig.clock.advance(5 * MINUTE)
    expect(await stateOf(w, id)).toBe('unknown')
    await w.rig.restart()
    expect(await stateOf(w, id)).toBe('unknown')
  })

  test('a site that was heard since, and did not say that it has it: an older agent passes it over', async () => {
    await using w = await world()
    const { id } = await w.rig.hub.api.ask(ADMIN, DIFF)
    await w.site.sync()
    await w.rig.clock.advance(5 * MINUTE)
    await w.site.sync()
    expect(await stateOf(w, id)).toBe('expired')
  })

  test('a site that was heard since, with so much to say that it may not have come to it: nobody knows', async () => {
    await using w = await world()
    const { id } = await w.rig.hub.api.ask(ADMIN, DIFF)
    await w.site.sync()
    await w.rig.clock.advance(5 * MINUTE)
    const jobs = Array.from({ length: 50 }, (_, i) => ({ job: `j${i}`, text: 'x'.repeat(1_500) }))
    await w.site.sync(words(...jobs))
    expect(await stateOf(w, id)).toBe('unknown')
    await w.rig.clock.advance(MINUTE)
    await w.site.sync()
    expect(await stateOf(w, id)).toBe('expired')
  })

  test('what is withdrawn is not told any more, stands in the audit log, and stays so', async () => {
    await using w = await world()
    const { id } = await w.rig.hub.api.ask(ADMIN, { ...DIFF, sites: ['s1', 's2'], forMs: 10 * MINUTE })
    await w.sites[1]!.sync()
    await expect(w.rig.hub.api.withdraw(who('viewer', { scope: { matchLabels: { cohort: 'rest' } } }), id)).rejects.toMatchObject({ reason: 'Forbidden' }) // prettier-ignore
    await w.rig.clock.advance(1_000)
    expect((await w.rig.hub.api.withdraw(who('viewer'), id)).counts).toMatchObject({ expired: 1, unknown: 1 })
    await w.rig.restart()
    expect((await w.site.sync()).head.asks).toBeUndefined()
    expect((await w.rig.hub.api.asked(ADMIN, id, 'counts')).counts).toMatchObject({ expired: 1, unknown: 1 })
    expect((await w.rig.store.audit(0, 1_000)).at(-1)).toMatchObject({ actor: 'viewer', action: 'withdraw diff', subject: '2 sites' }) // prettier-ignore
    await w.rig.clock.advance(1_000)
    await w.sites[1]!.sync(words(...said(id)))
    expect((await w.rig.hub.api.asked(ADMIN, id, 'counts')).counts).toMatchObject({ expired: 1, answered: 1 })
    await expect(w.rig.hub.api.withdraw(ADMIN, 'nothing')).rejects.toMatchObject({ reason: 'NotFound' })
  })

  test('an answer that is late is an answer', async () => {
    await using w = await world()
    const { id } = await w.rig.hub.api.ask(ADMIN, DIFF)
    await w.site.sync()
    await w.rig.clock.advance(10 * MINUTE)
    await w.site.sync(words(takenBody(id)))
    expect(await stateOf(w, id)).toBe('taken')
    await w.site.sync(words(...said(id)))
    expect(await stateOf(w, id)).toBe('answered')
  })
})

describe('who may ask what', () => {
  const OPERATORS = ['diff', 'logs', 'predict', 'reconcile', 'scancel', 'queue', 'job', 'sbatch']
  const VERBS = [...OPERATORS, 'exec']
  test.each<[Role, readonly string[]]>([
    ['viewer', ['diff']],
    ['approver', ['diff']],
    ['operator', OPERATORS],
    ['admin', VERBS],
  ])('%s', async (role, may) => {
    await using w = await world()
    for (const verb of VERBS) {
      const asked = w.rig.hub.api.ask(who(role), { ...DIFF, verb })
      if (may.includes(verb)) {
        const { id } = await asked
        expect((await w.rig.hub.api.asked(who(role), id, 'counts')).verb).toBe(verb)
      } else await expect(asked).rejects.toMatchObject({ reason: 'Forbidden' })
    }
  })

  test('and what came back is read by those only who may ask it, of sites in their scope', async () => {
    await using w = await world()
    const { id } = await w.rig.hub.api.ask(ADMIN, { ...DIFF, verb: 'logs', args: { of: 'web' } })
    await expect(w.rig.hub.api.asked(who('viewer'), id, 'answers')).rejects.toMatchObject({ reason: 'Forbidden' })
    const scoped = who('operator', { scope: { matchLabels: { cohort: 'rest' } } })
    await expect(w.rig.hub.api.asked(scoped, id, 'answers')).rejects.toMatchObject({ reason: 'Forbidden' })
    // Whether there is such a site or not.
    for (const name of ['s1', 's9'])
      await expect(w.rig.hub.api.ask(scoped, { ...DIFF, sites: [name] })).rejects.toMatchObject({ reason: 'Forbidden' })
    await expect(w.rig.hub.api.ask(scoped, { ...DIFF, ...EVERYWHERE })).rejects.toMatchObject({ reason: 'Forbidden' })
    expect((await w.rig.hub.api.ask(scoped, { ...DIFF, sites: ['s2', 's3'] })).sites).toBe(2)
  })

  test('each is in the audit log, with what was asked, and the chain holds', async () => {
    await using w = await world()
    const args = { script: '#!/bin/sh\n' + 'x'.repeat(5_000), name: 'a', options: [], args: [] }
    await w.rig.hub.api.ask(who('operator'), { verb: 'sbatch', args, ...EVERYWHERE })
    await w.rig.hub.api.ask(who('viewer'), DIFF)
    const records = await w.rig.store.audit(0, 1_000)
    expect(brokenAudit(records)).toBeUndefined()
    expect(records.slice(-2)).toMatchObject([
      {
        actor: 'operator',
        action: 'ask sbatch',
        subject: '3 sites',
        detail: { selector: 'open=yes', sites: ['s1', 's2', 's3'], of: 3, args: expect.stringContaining('#!/bin/sh') }, // prettier-ignore
      },
      { actor: 'viewer', action: 'ask diff', subject: 's1', detail: { args: {} } },
    ])
    expect(JSON.stringify(records.at(-2)).length).toBeLessThan(3_000)
  })
})

test('looks push no event out, orders are events', async () => {
  await using w = await world()
  await w.rig.hub.api.ask(ADMIN, DIFF)
  await w.rig.hub.api.ask(ADMIN, { ...DIFF, verb: 'scancel' })
  const events = (await w.rig.hub.api.events(0, 1_000)).items.filter(({ message }) => message.includes('asked by'))
  expect(events.map(({ subject, message }) => `${subject} ${message}`)).toEqual(['s1 scancel asked by ann'])
})

describe('refused', () => {
  test.each<[string, Partial<AskRequest>, string]>([
    ['a verb that there is none of', { verb: 'teleport' }, 'InvalidInput'],
    ['a site that there is none of', { sites: ['s9'] }, 'NotFound'],
    ['sites and a selector', { ...EVERYWHERE, sites: ['s1'] }, 'InvalidInput'],
    ['nobody in particular', { sites: null }, 'InvalidInput'],
    ['labels that no site has', { sites: null, selector: { matchLabels: { open: 'no' } } }, 'NotFound'],
    ['longer than a day', { forMs: ASK_MAX_MS + 1 }, 'InvalidInput'],
    ['no time at all', { forMs: 0 }, 'InvalidInput'],
    ['more than fits', { args: { text: 'x'.repeat(48 * 1024) } }, 'TooLarge'],
  ])('%s', async (_name, part, reason) => {
    await using w = await world()
    await expect(w.rig.hub.api.ask(ADMIN, { ...DIFF, ...part })).rejects.toMatchObject({ reason })
    expect((await w.rig.store.load()).asks).toEqual([])
  })

  test('a site that never joined, or is retired', async () => {
    await using w = await world()
    await w.rig.hub.api.retire(ADMIN, 's1')
    await expect(w.rig.hub.api.ask(ADMIN, DIFF)).rejects.toMatchObject({ reason: 'Conflict' })
    w.rig.git.commit(shops({ sites: ['s1', 's2', 's3', 's4'] }))
    await w.rig.settle()
    await expect(w.rig.hub.api.ask(ADMIN, { ...DIFF, sites: ['s4'] })).rejects.toMatchObject({ reason: 'Conflict' })
  })

  test('a site that is ahead of this hub, and anything while the hub’s clock is not believed', async () => {
    await using w = await world()
    const { have } = w.site.up()
    await w.site.sync({ have: { ...have!, generation: { epoch: 9, counter: 9 } } })
    await expect(w.rig.hub.api.ask(ADMIN, DIFF)).rejects.toMatchObject({ reason: 'Conflict' })
    await w.rig.hub.turns.flush()
    w.rig.clock.jump(-3_650 * 86_400_000)
    await w.rig.restart()
    await expect(w.rig.hub.api.ask(ADMIN, { ...DIFF, sites: ['s2'] })).rejects.toMatchObject({ reason: 'HubClock' })
  })

  test('what would run something, where the root names a release signer', async () => {
    await using w = await world()
    await w.rig.restart({ authority: { ...authority, trust: { ...TRUST, critical: ['release'] } } })
    for (const verb of ['sbatch', 'exec'])
      await expect(w.rig.hub.api.ask(ADMIN, { ...DIFF, verb, args: { script: '' } })).rejects.toMatchObject({
        reason: 'Forbidden',
        message: expect.stringContaining('release signer'),
      })
    expect((await w.rig.hub.api.ask(ADMIN, { ...DIFF, verb: 'scancel' })).sites).toBe(1)
  })
})
