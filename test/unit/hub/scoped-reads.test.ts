/** What a token that is scoped by labels reads, over HTTP as people do: its sites, and not one word that names another. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type ApiServer, startApiServer } from '../../../src/adapters/http/api-server.ts'
import { digestJson } from '../../../src/core/model/digest.ts'
import type { LabelSelector } from '../../../src/core/model/selector.ts'
import type { Logger } from '../../../src/runtime/logger.ts'
import { SECOND, shops } from './files.ts'
import { ADMIN, type LightSite, Rig } from './rig.ts'

const silent: Logger = { info: () => {}, warn: () => {}, error: () => {}, debug: () => {}, child: () => silent }
const CANARY = { matchLabels: { cohort: 'canary' } }
const REST = { matchLabels: { cohort: 'rest' } }
/** Workload b is for the rest alone. */
const B = Object.fromEntries(
  Object.entries(SECOND).map(([file, text]) => [file, text.replace('open: "yes"', 'cohort: rest')]),
)
/** An overlay that patches nothing holds web back at s3. */
const HELD = (name: string): string =>
  name === 's3'
    ? `  overlays: [{ workload: web, patches: [{ target: { kind: Secret, name: none }, patch: [{ op: add, path: /x, value: 1 }] }] }]\n`
    : ''

let rig: Rig
let server: ApiServer
let sites: LightSite[]

beforeEach(async () => {
  rig = await Rig.open()
  rig.git.commit({ ...shops(), ...B })
  await rig.settle()
  sites = [await rig.join('s1'), await rig.join('s2'), await rig.join('s3')]
  await rig.run(sites, 60)
  const good = sites[1]!.releaseOf('web')
  sites[1]!.luck = (release) => (release === good || release === sites[1]!.releaseOf('b') ? 'healthy' : 'crashing')
  rig.git.commit({ ...shops({ tag: '2', site: HELD }), ...B })
  await rig.settle()
  await rig.run(sites, 60)
  const facts = { batch: { jobs: [], queues: [], nodes: [] } }
  for (const site of sites) await site.sync({ facts, factsDigest: digestJson('facts', facts) })
  await sites[2]!.sync({ conditions: [{ type: 'Box', reason: 'Paused', message: 'by kim at s3', sinceMs: 5 }] })
  await rig.hub.api.hold(ADMIN, 's2', 'inventory at s2', null)
  await rig.hub.api.hold(ADMIN, 's1', 'inventory', null)
  await rig.hub.api.freeze(ADMIN, { selector: REST, reason: 'sale at s3', untilMs: rig.clock.nowMs() + 3_600_000 })
  await rig.hub.api.createApiToken('of-s2', 'viewer', [], { by: ADMIN })
  await rig.hub.api.command(ADMIN, 'web', 'pause', { why: 's2 burns' }).catch(() => undefined)
  server = await startApiServer({ api: rig.hub.api, log: silent, port: 0, nowMs: () => rig.clock.nowMs() })
})
afterEach(async () => {
  await server.close()
  await rig[Symbol.asyncDispose]()
})

interface Answer {
  readonly status: number
  readonly text: string
  // oxlint-disable-next-line typescript/no-explicit-any -- the bodies are what is tested
  readonly body: any
}

async function reader(scope: LabelSelector | null): Promise<(path: string) => Promise<Answer>> {
  const { secret } = await rig.hub.api.createApiToken('cas', 'viewer', [], { by: ADMIN, scope })
  return async (path) => {
    const answer = await fetch(`${server.url}${path}`, { headers: { authorization: `Bearer ${secret}` } })
    const text = await answer.text()
    return { status: answer.status, text, body: JSON.parse(text) }
  }
}

const LISTS = [
  '/v1/status',
  '/v1/sites',
  '/v1/workloads',
  '/v1/rollouts',
  '/v1/events?limit=500',
  '/v1/freezes',
  '/v1/batch',
]
const OF_WEB = [
  '/v1/workloads/web',
  '/v1/rollouts/web',
  '/v1/rollouts/web/history',
  '/v1/why/rollout/web',
  '/v1/why/workload/web',
]
const of = (site: string): string[] => [`/v1/sites/${site}`, `/v1/why/site/${site}`, `/v1/batch?sites=${site}`]

describe('a token of cohort=canary, which is s1', () => {
  test('finds no other site named in anything that it may read, and a token of all sites does', async () => {
    const [all, own] = [await reader(null), await reader(CANARY)]
    for (const path of [...LISTS, ...OF_WEB, ...of('s1')]) {
      const { status, text } = await own(path)
      expect([path, status]).toEqual([path, 200])
      expect([path, /\bs[23]\b/.exec(text)?.[0]]).toEqual([path, undefined])
    }
    // The world is one in which there was something to tell.
    const told = await Promise.all([...LISTS, ...OF_WEB].map(async (path) => (await all(path)).text))
    expect(told.filter((text) => /\bs[23]\b/.test(text)).length).toBeGreaterThan(7)
  })

  test('counts its own sites alone', async () => {
    const own = await reader(CANARY)
    const status = (await own('/v1/status')).body
    expect(status.sites.total).toBe(1)
    for (const axis of ['link', 'sync', 'health'])
      expect(Object.values<number>(status.sites[axis]).reduce((sum, one) => sum + one, 0)).toBe(1)
    expect((await own('/v1/sites')).body).toMatchObject({ total: 1, items: [{ name: 's1' }] })
    expect((await own('/v1/workloads')).body).toMatchObject({ total: 1, items: [{ name: 'web', sites: 1 }] })
    expect((await own('/v1/rollouts')).body).toMatchObject({
      total: 1,
      items: [{ workload: 'web', counts: { total: 1 } }],
    })
    const { items } = (await own('/v1/rollouts/web/history')).body
    expect(items.at(-1)).toMatchObject({ phase: 'Completed', counts: null })
    expect((await own('/v1/freezes')).body.items).toEqual([])
    expect((await own('/v1/batch')).body).toMatchObject({ total: 1 })
  })

  test('is refused what is none of its, in the same words whether that exists or not', async () => {
    const own = await reader(CANARY)
    const refusals = [...of('s2'), ...of('s77'), '/v1/workloads/b', '/v1/workloads/none', '/v1/rollouts/b', '/v1/rollouts/none', '/v1/rollouts/b/history', '/v1/why/rollout/b', '/v1/why/workload/b', '/v1/audit'] // prettier-ignore
    for (const path of refusals) {
      const { status, body } = await own(path)
      expect([path, status, body.code]).toEqual([path, 403, 'Forbidden'])
      expect(body.message).toMatch(/^cas reads sites of cohort=canary, and /)
    }
    const word = async (path: string): Promise<string> => (await own(path)).body.message as string
    expect((await word('/v1/sites/s2')).replace('s2', 'X')).toBe((await word('/v1/sites/s77')).replace('s77', 'X'))
  })

  test('sees why its own site stands as it does, with numbers of the rollout', async () => {
    const own = await reader(CANARY)
    const why = (await own('/v1/why/site/s1')).body
    expect(why.causes[0]).toMatchObject({ reason: 'Hold', message: 'inventory (by ann)' })
    expect((await own('/v1/why/rollout/web')).body.subject).toBe('rollout/web')
  })

  test('watches events: each of its own once, past those of others', async () => {
    const own = await reader(CANARY)
    const seen: string[] = []
    let after = '0'
    const news = async (): Promise<void> => {
      for (;;) {
        const { items, next } = (await own(`/v1/events?after=${after}&limit=2`)).body
        seen.push(...items.map(({ subject, message }: Record<string, string>) => `${subject} ${message}`))
        if (next === null) return
        after = next
      }
    }
    await news()
    expect(seen.filter((event) => event === 's1 hold by ann')).toHaveLength(1)
    const before = seen.length
    await rig.hub.api.release(ADMIN, 's2')
    await news()
    expect(seen).toHaveLength(before)
    await rig.hub.api.release(ADMIN, 's1')
    await news()
    expect(seen.slice(before)).toEqual(['s1 release by ann'])
  })
})

test('a token of the rest reads what is theirs: the failure, the freeze, what is held, the other workload', async () => {
  const rest = await reader(REST)
  expect((await rest('/v1/sites')).body.items.map(({ name }: { name: string }) => name)).toEqual(['s2', 's3'])
  expect((await rest('/v1/freezes')).body.items).toMatchObject([{ reason: 'sale at s3', sites: 2 }])
  expect((await rest('/v1/workloads')).body.items.map(({ name }: { name: string }) => name)).toEqual(['b', 'web'])
  expect((await rest('/v1/workloads/web')).body.heldBy).toMatchObject([{ code: 'FLT2109' }])
  const { needsYou } = (await rest('/v1/status')).body
  expect(JSON.stringify(needsYou)).toContain('s2 fails')
  for (const path of [...LISTS, ...OF_WEB, ...of('s2')])
    expect([path, /\bs1\b/.exec((await rest(path)).text)?.[0]]).toEqual([path, undefined])
})

test('labels decide as they are now: a site that is relabelled in Git changes hands', async () => {
  const own = await reader({ matchLabels: { cohort: 'pilot' } })
  expect((await own('/v1/sites')).body.total).toBe(0)
  const files = { ...shops({ tag: '2' }), ...B }
  const text = files['sites/s3.yaml']!.replace('cohort: rest', 'cohort: pilot')
  rig.git.commit({ ...files, 'sites/s3.yaml': text })
  await rig.settle()
  expect((await own('/v1/sites')).body).toMatchObject({ total: 1, items: [{ name: 's3' }] })
})

test('names that every object has are no workloads', async () => {
  const all = await reader(null)
  for (const path of ['/v1/workloads/constructor', '/v1/why/workload/constructor', '/v1/sites/__proto__'])
    expect([path, (await all(path)).body.code]).toEqual([path, 'NotFound'])
})
