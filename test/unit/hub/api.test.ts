import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type ApiServer, startApiServer } from '../../../src/adapters/http/api-server.ts'
import type { Fault } from '../../../src/core/model/fault.ts'
import type { Role } from '../../../src/hub/api.ts'
import type { Logger } from '../../../src/runtime/logger.ts'
import { shops } from './files.ts'
import { ADMIN, type LightSite, Rig } from './rig.ts'

const silent: Logger = { info: () => {}, warn: () => {}, error: () => {}, debug: () => {}, child: () => silent }
const GATED = `spec:
  waves:
    - { name: canary, selector: { matchLabels: { cohort: canary } }, soak: 10m, gate: { approval: store-ops } }
    - { name: rest, maxConcurrent: 1, soak: 10m }
`

let rig: Rig
let server: ApiServer
let sites: LightSite[]
const tokens = new Map<Role, string>()

beforeEach(async () => {
  rig = await Rig.open()
  rig.git.commit(shops())
  await rig.settle()
  sites = [await rig.join('s1'), await rig.join('s2'), await rig.join('s3')]
  await rig.run(sites, 60)
  tokens.set('admin', (await rig.hub.firstToken())!)
  for (const role of ['viewer', 'operator', 'approver'] as const)
    tokens.set(role, (await rig.hub.api.createApiToken(role, role, ['store-ops'])).secret)
  server = await startApiServer({ api: rig.hub.api, log: silent, port: 0, nowMs: () => rig.clock.nowMs() })
})
afterEach(async () => {
  await server.close()
  await rig[Symbol.asyncDispose]()
})

interface Answer {
  readonly status: number
  // oxlint-disable-next-line typescript/no-explicit-any -- the bodies are what is tested
  readonly body: any
}

async function call(method: string, path: string, role: Role | null = 'admin', body?: unknown): Promise<Answer> {
  const answer = await fetch(`${server.url}${path}`, {
    method,
    headers: {
      ...(role === null ? {} : { authorization: `Bearer ${tokens.get(role)}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  const text = await answer.text()
  return { status: answer.status, body: text.startsWith('{') ? JSON.parse(text) : text }
}

describe('who may', () => {
  const reads = [
    '/v1/status',
    '/v1/sites',
    '/v1/sites/s1',
    '/v1/workloads',
    '/v1/workloads/web',
    '/v1/rollouts',
    '/v1/rollouts/web',
    '/v1/rollouts/web/history',
    '/v1/why/site/s1',
    '/v1/why/rollout/web',
    '/v1/why/workload/web',
    '/v1/events',
    '/v1/freezes',
    '/v1/audit',
  ]
  test('everybody with a token reads, nobody without one', async () => {
    for (const path of reads) {
      expect([path, (await call('GET', path, 'viewer')).status]).toEqual([path, 200])
      expect([path, (await call('GET', path, null)).body.code]).toEqual([path, 'Unauthorized'])
    }
  })
  const writes: readonly (readonly [string, string, unknown, readonly Role[]])[] = [
    ['POST', '/v1/rollouts/web/pause', {}, ['operator', 'admin']],
    ['POST', '/v1/sites/s1/hold', { reason: 'x' }, ['operator', 'admin']],
    ['POST', '/v1/freezes', { reason: 'x', forMs: 1000 }, ['operator', 'admin']],
    ['POST', '/v1/reconcile', {}, ['operator', 'admin']],
    ['POST', '/v1/sites/s1/reconcile', {}, ['operator', 'admin']],
    ['POST', '/v1/tokens', { site: 's1' }, ['admin']],
    ['POST', '/v1/tokens', { name: 'x', role: 'viewer' }, ['admin']],
    ['POST', '/v1/sites/s1/retire', {}, ['admin']],
  ]
  test.each(writes)('%s %s', async (method, path, body, may) => {
    for (const role of ['viewer', 'operator', 'approver', 'admin'] as const) {
      const { status, body: answer } = await call(method, path, role, body)
      if (may.includes(role)) expect([role, status === 200 || answer.code === 'Conflict']).toEqual([role, true])
      else expect([role, answer.code]).toEqual([role, 'Forbidden'])
    }
  })
  test('a token is not kept in the clear, and the first is made once', async () => {
    expect(await rig.hub.firstToken()).toBeNull()
    const kept = JSON.stringify((await rig.store.load()).apiTokens)
    for (const secret of tokens.values()) expect(kept).not.toContain(secret)
  })
})

describe('what is not understood says what was found and expected', () => {
  const table: readonly (readonly [string, string, unknown, object])[] = [
    ['GET', '/v1/sites?selector=a%20in', undefined, { code: 'InvalidInput' }],
    ['GET', '/v1/sites?limit=many', undefined, { code: 'InvalidInput', found: '"many"', expected: 'a whole number' }],
    ['GET', '/v1/sites/nobody', undefined, { code: 'NotFound' }],
    ['GET', '/v1/why/planet/s1', undefined, { code: 'InvalidInput', found: '"planet"', expected: 'site, rollout, workload or object' }],
    ['GET', '/v1/nothing', undefined, { code: 'NotFound' }],
    ['POST', '/v1/sites/s1/hold', {}, { code: 'InvalidInput', expected: 'text' }],
    ['POST', '/v1/sites/s1/hold', '{', { code: 'InvalidInput' }],
    ['POST', '/v1/sites/s1/hold', { reason: 'x'.repeat(70_000) }, { code: 'TooLarge' }],
    ['POST', '/v1/freezes', { reason: 'x', forMs: 1, selector: {} }, { code: 'InvalidInput' }],
    ['POST', '/v1/tokens', { name: 'x', role: 'king' }, { code: 'InvalidInput', found: '"king"' }],
    ['POST', '/v1/rollouts/web/resume', undefined, { code: 'Conflict' }],
    ['POST', '/v1/rollouts/nothing/pause', undefined, { code: 'NotFound' }],
    ['DELETE', '/v1/sites/s1/hold', undefined, { code: 'NotFound' }],
  ] // prettier-ignore
  test.each(table)('%s %s', async (method, path, body, expected) => {
    const { status, body: answer } = await call(method, path, 'admin', body)
    expect(status).toBeGreaterThanOrEqual(400)
    expect(answer).toMatchObject(expected)
    expect(answer.message).toBeTypeOf('string')
  })
})

test('a rollout is approved by the team of its wave, for this very rollout', async () => {
  rig.git.commit(shops({ tag: '2', policy: GATED }))
  await rig.settle()
  await rig.run(sites, 30)
  const view = (await call('GET', '/v1/rollouts/web')).body
  expect(view).toMatchObject({
    phase: 'Progressing',
    wave: { name: 'canary', index: 0, of: 2 },
    waiting: { reason: 'ApprovalNeeded', detail: 'store-ops' },
  })
  expect((await call('GET', '/v1/status')).body.needsYou[0]).toMatchObject({
    next: expect.stringContaining('flotilla rollout approve web'),
  })
  const stranger = (await rig.hub.api.createApiToken('eve', 'approver', ['vision'])).secret
  tokens.set('viewer', stranger)
  expect((await call('POST', '/v1/rollouts/web/approve', 'viewer', { id: view.id })).body.code).toBe('Forbidden')
  expect((await call('POST', '/v1/rollouts/web/approve', 'operator', { id: view.id })).body.code).toBe('Forbidden')
  expect(
    (await call('POST', '/v1/rollouts/web/approve', 'approver', { id: `sha256:${'0'.repeat(64)}` })).body.code,
  ).toBe('Conflict')
  expect((await call('POST', '/v1/rollouts/web/approve', 'approver', { id: view.id })).status).toBe(200)
  await rig.run(sites, 5)
  const why = (await call('GET', '/v1/why/site/s3')).body
  expect(why).toMatchObject({ settled: false, subject: 'site/s3' })
  expect(why.causes[0]).toMatchObject({ reason: 'Slot(1 of 1)', message: 'all places of its wave are taken' })
  await rig.run(sites, 60)
  expect((await call('GET', '/v1/rollouts/web')).body).toMatchObject({
    phase: 'Completed',
    counts: { total: 3, done: 3 },
  })
  expect((await call('GET', '/v1/why/rollout/web')).body).toMatchObject({ settled: true })
  const { items } = (await call('GET', '/v1/rollouts/web/history')).body
  expect(items.map(({ phase }: { phase: string }) => phase)).toEqual(['Completed', 'Completed'])
})

test('a hold and a freeze reach the site, are echoed in its manifest, and end by themselves', async () => {
  expect(
    (await call('POST', '/v1/sites/s1/hold', 'operator', { reason: 'inventory', forMs: 3_600_000 })).body.hold,
  ).toMatchObject({ reason: 'inventory', by: 'operator' })
  expect(
    (
      await call('POST', '/v1/freezes', 'operator', {
        reason: 'sale',
        forMs: 7_200_000,
        selector: { matchLabels: { cohort: 'rest' } },
      })
    ).body.sites,
  ).toBe(2)
  await rig.restart()
  await server.close()
  server = await startApiServer({ api: rig.hub.api, log: silent, port: 0, nowMs: () => rig.clock.nowMs() })
  rig.git.commit(shops({ tag: '2', policy: GATED }))
  await rig.settle()
  await rig.run(sites, 10)
  expect(sites[0]?.manifest?.echo).toMatchObject({ hold: { reason: 'inventory', by: 'operator' } })
  expect(sites[1]?.manifest?.echo).toMatchObject({ freeze: { reason: 'sale' } })
  const why = (await call('GET', '/v1/why/site/s1')).body
  expect(why.causes[0]).toMatchObject({ reason: 'Hold', message: 'inventory (by operator)' })
  expect(why.nextDecision.atMs).toBe(why.causes[0].nextAtMs)
  await rig.run(sites, 60)
  expect(sites[0]?.manifest?.echo).toBeUndefined()
  expect(sites[1]?.manifest?.echo).toBeDefined()
  await rig.run(sites, 80)
  expect(sites[1]?.manifest?.echo).toBeUndefined()
})

test('a freeze is listed, and ends before its time when somebody says so', async () => {
  const given = await call('POST', '/v1/freezes', 'operator', { reason: 'audit', forMs: 3_600_000 })
  const { id } = given.body as unknown as { id: string }
  const listed = (await call('GET', '/v1/freezes', 'viewer')).body as unknown as { items: object[] }
  expect(listed.items).toContainEqual(expect.objectContaining({ id, reason: 'audit', selector: null }))
  expect((await call('DELETE', `/v1/freezes/${id}`, 'viewer')).body.code).toBe('Forbidden')
  expect((await call('DELETE', `/v1/freezes/${id}`, 'operator')).status).toBe(200)
  const left = (await call('GET', '/v1/freezes', 'viewer')).body as unknown as { items: { id: string }[] }
  expect(left.items.map((freeze) => freeze.id)).not.toContain(id)
  expect((await call('DELETE', `/v1/freezes/${id}`, 'operator')).body.code).toBe('NotFound')
})

describe('a token that is scoped by labels', () => {
  const scope = { matchLabels: { cohort: 'canary' } }
  const of = (role: Role, given: object = scope) =>
    rig.hub.api
      .createApiToken('cas', role, ['*'], { by: ADMIN, scope: given })
      .then(({ secret }) => rig.hub.api.authenticate(secret)!)
  const says = (work: Promise<unknown>): Promise<string> =>
    work.then(
      () => 'done',
      (error: unknown) => (error as Fault).reason,
    )

  test('speaks of its sites and of no others', async () => {
    const { api } = rig.hub
    const cas = await of('operator')
    expect(await says(api.hold(cas, 's1', 'x', null))).toBe('done')
    expect(await says(api.release(cas, 's1'))).toBe('done')
    expect(await says(api.call(cas, 's1'))).toBe('done')
    expect(await says(api.hold(cas, 's2', 'x', null))).toBe('Forbidden')
    expect(await says(api.call(cas, 's2'))).toBe('Forbidden')
    const untilMs = rig.clock.nowMs() + 60_000
    expect(await says(api.freeze(cas, { selector: null, reason: 'x', untilMs }))).toBe('Forbidden')
    expect(await says(api.freeze(cas, { selector: scope, reason: 'x', untilMs }))).toBe('done')
    const all = await api.freeze(ADMIN, { selector: null, reason: 'x', untilMs })
    expect(await says(api.thaw(cas, all.id))).toBe('Forbidden')
    await api.thaw(ADMIN, all.id)
    // A rollout that goes beyond its sites is not its to steer.
    await expect(api.command(cas, 'web', 'pause', {})).rejects.toThrow(
      'cas speaks for sites of cohort=canary, and 2 of 3 sites are none',
    )
  })

  test('even of role admin it says nothing of the fleet as a whole, and gives no rights that it has not', async () => {
    const { api } = rig.hub
    const cas = await of('admin')
    expect(await says(api.createToken(cas, 's1', 60_000))).toBe('done')
    expect(await says(api.createToken(cas, 's2', 60_000))).toBe('Forbidden')
    expect(await says(api.retire(cas, 's3'))).toBe('Forbidden')
    expect(await says(api.recover(cas))).toBe('Forbidden')
    expect(await says(api.reconcile(cas, 'a'.repeat(40)))).toBe('Forbidden')
    expect(await says(api.createApiToken('dan', 'viewer', [], { by: cas }))).toBe('Forbidden')
  })
})

test('the audit log names who, what and whom, in pages, with the head that the hub signed', async () => {
  await rig.hub.api.hold(ADMIN, 's1', 'audited', null)
  await rig.hub.api.release(ADMIN, 's1')
  await rig.hub.turns.flush()
  const first = await rig.hub.api.audit(0, 2)
  expect(first.items).toHaveLength(2)
  let page = first
  while (page.next !== null) page = await rig.hub.api.audit(Number(page.next), 500)
  const [hold, release] = page.items.slice(-2)
  expect(hold).toMatchObject({ actor: 'ann', action: 'hold', subject: 's1', detail: { reason: 'audited' } })
  expect(release).toMatchObject({ actor: 'ann', action: 'release', subject: 's1' })
  expect(page.signed).toMatchObject({ seq: release?.seq, hash: release?.hash })
  expect(first.total).toBe(release?.seq)
})

test('lists are filtered, counted and paged by the hub', async () => {
  const first = (await call('GET', '/v1/sites?limit=2')).body
  expect(first).toMatchObject({ total: 3, next: 's2' })
  const second = (await call('GET', `/v1/sites?limit=2&cursor=${first.next}`)).body
  expect(second.items.map(({ name }: { name: string }) => name)).toEqual(['s3'])
  expect(second.next).toBeNull()
  expect((await call('GET', '/v1/sites?selector=cohort%3Drest')).body.total).toBe(2)
  expect((await call('GET', '/v1/sites?sync=synced&health=Healthy&link=Online')).body.total).toBe(3)
  expect((await call('GET', '/v1/sites?link=Lost')).body).toMatchObject({ total: 0, items: [], next: null })
  expect((await call('GET', '/v1/sites?sync=faild')).body.message).toMatch(
    /^sync found faild, expected one of Synced, /,
  )
  const events = (await call('GET', '/v1/events?limit=3')).body
  const more = (await call('GET', `/v1/events?after=${events.next}&limit=3`)).body
  expect(events.items).toHaveLength(3)
  expect(more.items[0]).not.toEqual(events.items[2])
})

test('a site that went dark is not shown as fine, and says since when', async () => {
  await rig.clock.advance(30 * 3_600_000)
  const status = (await call('GET', '/v1/status')).body
  expect(status.sites).toMatchObject({
    link: { Online: 0 },
    sync: { Synced: 0, Unknown: 3 },
    health: { Healthy: 0, Unknown: 3 },
  })
  const why = (await call('GET', '/v1/why/site/s1')).body
  expect(why.causes[0].reason).toBe('LinkDown')
  expect(why.causes[0].message).toMatch(/^(Late|Lost): it was due 30h ago$/)
})

test('probes and metrics need no token and name no site', async () => {
  expect((await call('GET', '/healthz', null)).status).toBe(200)
  expect((await call('GET', '/readyz', null)).status).toBe(200)
  const { body: all } = await call('GET', '/metrics', null)
  const body = (all as string)
    .split('\n')
    .filter((line) => line.startsWith('flotilla_'))
    .join('\n')
  expect(body).toContain('flotilla_sites_health{state="Healthy"} 3')
  expect(body).toContain('flotilla_rollouts{state="Completed"} 1')
  expect(body).not.toMatch(/s[123]"/)
})
