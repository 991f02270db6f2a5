/** What becomes at a site of what the hub asks: journaled, done once, answered; and what its owner does not take. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { AgentStore } from '../../../src/agent/ports.ts'
import { Fault, REASONS } from '../../../src/core/model/fault.ts'
import type { JsonObject } from '../../../src/core/model/json.ts'
import type { Manifest } from '../../../src/core/model/object.ts'
import { type Ask, readAnswer, readAskWord, sealAsk } from '../../../src/core/protocol/ask.ts'
import { signTrust } from '../../../src/core/protocol/trust.ts'
import { HUB, RELEASE_SIGNER, ROOT, SITE, SITE_ID, STRANGER } from '../protocol/fixed.ts'
import { batchJob, queue, task, told } from './batch-site.ts'
import {
  configMap,
  createSite,
  deployment,
  type HubStub,
  IDENTITY,
  SIGNAL,
  type Site,
  type SiteOptions,
} from './site.ts'

let made = 0

function ask(site: Site, verb: string, args: JsonObject = {}, more: Partial<Ask> = {}): JsonObject {
  const nowMs = site.clock.nowMs()
  return sealAsk(
    {
      id: `ask-${String((made += 1)).padStart(8, '0')}`,
      site: SITE,
      siteId: SITE_ID,
      timeEpoch: 1,
      verb,
      args,
      by: 'ann',
      issued: new Date(nowMs).toISOString(),
      expires: new Date(nowMs + 300_000).toISOString(),
      most: 50_000,
      ...more,
    },
    HUB,
  )
}

/** All that the hub was told of asks, whole answers for parts; each word once, however often it was sent. */
function heard(hub: HubStub): readonly unknown[] {
  const words = new Map(hub.heard.flatMap(({ outbox }) => outbox).map((item) => [item.seq, item] as const))
  const parts = new Map<string, string[]>()
  return [...words.values()].flatMap(({ class: kind, body }): readonly unknown[] => {
    const word = readAskWord(body)
    if (word === undefined) return []
    expect(kind).toBe('result')
    if ('taken' in word) return ['taken']
    const texts = parts.get(word.id) ?? []
    parts.set(word.id, [...texts, word.text])
    return word.part + 1 < word.of ? [] : [readAnswer([...texts, word.text], new Set(Object.keys(REASONS)))]
  })
}

/** The hub brings these, the site does them, and tells. */
async function asked(site: Site, ...asks: readonly JsonObject[]): Promise<readonly unknown[]> {
  const before = heard(site.hub).length
  site.hub.asks = asks
  await site.agent.exchange(SIGNAL)
  await site.agent.asked()
  site.hub.asks = []
  // More than one message where there is more than its quota.
  for (let i = 0; i < 5; i++) await site.agent.exchange(SIGNAL)
  return heard(site.hub).slice(before)
}

async function settled(options: SiteOptions = {}): Promise<Site> {
  const site = createSite(options)
  const report = { drift: { mode: 'report', ignore: [] } } as const
  site.hub.publish({ till: { objects: [deployment('till'), configMap('settings')], rules: report } })
  await site.agent.exchange(SIGNAL)
  await site.settle()
  return site
}

const DEPLOYMENT = { apiVersion: 'apps/v1', kind: 'Deployment' }
const TILL = { group: 'apps', kind: 'Deployment', namespace: 'shop', name: 'till' }

async function meddle(site: Site): Promise<void> {
  await site.cluster.patch(DEPLOYMENT, TILL, { spec: { replicas: 7 } }, { fieldManager: 'kubectl-edit' }, SIGNAL)
  await site.settle(3)
}

describe('diff', () => {
  test('of a site that is as it should be is empty', async () => {
    const site = await settled()
    const [taken, answer] = await asked(site, ask(site, 'diff'))
    expect(taken).toBe('taken')
    expect(answer).toMatchObject({ ok: true, said: { compared: 2, workloads: [], objects: [], leftOut: 0 } })
  })

  test('of a site that was told nothing yet is empty', async () => {
    const site = createSite()
    expect((await asked(site, ask(site, 'diff')))[1]).toMatchObject({ ok: true, said: { compared: 0, revision: null } })
  })

  test('names what somebody changed by hand, both values, and who', async () => {
    const site = await settled()
    await meddle(site)
    const [, answer] = await asked(site, ask(site, 'diff'))
    expect(answer).toMatchObject({
      ok: true,
      said: {
        workloads: [{ workload: 'till', sync: 'Drifted' }],
        objects: [
          {
            ref: TILL,
            workload: 'till',
            change: 'differs',
            because: 'drift-reported',
            fields: [
              { pointer: '/spec/replicas', drift: 'drift', managers: ['kubectl-edit'], desired: '2', live: '7' },
            ],
          },
        ],
      },
    })
  })

  test('says that somebody at the box paused it', async () => {
    const site = await settled()
    site.agent.desk.say({ kind: 'pause', by: 'kim', reason: 'a disk is replaced', forMs: null })
    const [, answer] = await asked(site, ask(site, 'diff'))
    expect(answer).toMatchObject({ said: { idle: { reason: 'Paused', detail: 'kim: a disk is replaced' } } })
  })

  test('does nothing about what it finds', async () => {
    const site = await settled({ agent: { mode: 'observe' } })
    const writes = site.writes()
    const [, answer] = await asked(site, ask(site, 'diff'))
    // The namespace too.
    const missing = { change: 'missing' }
    expect(answer).toMatchObject({
      said: { idle: { reason: 'Observe' }, compared: 2, objects: [missing, missing, missing] },
    })
    expect(site.writes()).toBe(writes)
  })

  test('shows nothing of what a Secret holds, on neither side, copies in annotations neither', async () => {
    const site = createSite()
    const secret = (text: string): Manifest => ({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'pin', namespace: 'shop', annotations: { copy: text } },
      stringData: { pin: text },
    })
    const report = { drift: { mode: 'report', ignore: [] } } as const
    site.hub.publish({ till: { objects: [secret('desired-4711')], rules: report } })
    await site.agent.exchange(SIGNAL)
    await site.settle()
    const ref = { group: '', kind: 'Secret', namespace: 'shop', name: 'pin' }
    const change = { metadata: { annotations: { copy: 'live-0815' } }, stringData: { pin: 'live-0815' } }
    await site.cluster.patch({ apiVersion: 'v1', kind: 'Secret' }, ref, change, { fieldManager: 'eve' }, SIGNAL)
    await site.settle(3)
    const text = JSON.stringify((await asked(site, ask(site, 'diff')))[1])
    expect(text).toContain('/metadata/annotations')
    for (const plain of ['desired-4711', 'live-0815'])
      for (const found of [plain, Buffer.from(plain).toString('base64')]) expect(text).not.toContain(found)
  })

  test('more than is kept is cut, and says how much', async () => {
    const site = createSite({ agent: { mode: 'observe' } })
    site.hub.publish({ till: { objects: Array.from({ length: 200 }, (_, i) => configMap(`c${i}`)) } })
    await site.agent.exchange(SIGNAL)
    await site.settle(3)
    const [, answer] = await asked(site, ask(site, 'diff', {}, { most: 16_384 }))
    const { said } = answer as { readonly said: { readonly objects: unknown[]; readonly leftOut: number } }
    expect(said.objects.length).toBeGreaterThan(20)
    expect(said.objects.length + said.leftOut).toBe(201)
    expect(JSON.stringify(answer).length).toBeLessThan(16_384)
  })
})

describe('logs', () => {
  const logsOf = async (site: Site, of: string, more: JsonObject = {}): Promise<unknown> =>
    (await asked(site, ask(site, 'logs', { of, ...more })))[1]

  async function writing(): Promise<{ readonly site: Site; readonly pods: readonly string[] }> {
    const site = await settled()
    const { items } = await site.cluster.list({ apiVersion: 'v1', kind: 'Pod', namespace: 'shop' }, SIGNAL)
    const pods = items.map(({ metadata }) => metadata.name).toSorted()
    for (const pod of pods) site.cluster.writeLog('shop', pod, `hello from ${pod}\nsecond line\n`)
    return { site, pods }
  }

  test('of a workload: each of its pods, by the name of what owns it', async () => {
    const { site, pods } = await writing()
    expect(pods).toHaveLength(2)
    const of = (pod: string): object => ({ pod: `shop/${pod}`, container: 'main', text: `hello from ${pod}\nsecond line\n`, cutBytes: 0, because: null }) // prettier-ignore
    const all = { ok: true, said: { logs: pods.map(of), leftOut: 0 } }
    expect(await logsOf(site, 'till')).toEqual(all)
    expect(await logsOf(site, 'workload/till')).toEqual(all)
    for (const name of [pods[0]!, `shop/${pods[0]}`, `pod/${pods[0]}`])
      expect(await logsOf(site, name)).toEqual({ ok: true, said: { logs: [of(pods[0]!)], leftOut: 0 } })
  })

  test('the newest lines; what does not fit is cut at its older end and counted', async () => {
    const { site, pods } = await writing()
    expect(await logsOf(site, pods[0]!, { tail: 1 })).toMatchObject({ said: { logs: [{ text: 'second line\n' }] } })
    const control = '\u001b'.repeat(100)
    for (let i = 0; i < 200; i++) site.cluster.writeLog('shop', pods[0]!, `${i} ${control}\n`)
    const answer = await logsOf(site, pods[0]!, { tail: 200 })
    const { logs } = (answer as { readonly said: { readonly logs: readonly { text: string; cutBytes: number }[] } })
      .said
    const [log] = logs
    expect(log?.text.endsWith(`199 ${control}\n`)).toBe(true)
    expect(log?.text).toMatch(/^\d+ /)
    const whole = Array.from({ length: 200 }, (_, i) => `${i} ${control}\n`).join('')
    expect(Buffer.byteLength(log?.text ?? '') + (log?.cutBytes ?? 0)).toBe(whole.length)
    expect(log?.cutBytes).toBeGreaterThan(10_000)
  })

  test('however little of an answer is kept', async () => {
    const { site, pods } = await writing()
    site.cluster.writeLog('shop', pods[0]!, `${'x'.repeat(50)}\n`.repeat(200))
    for (const most of [0, 200, 4_096, 5_000]) {
      const brief = ask(site, 'logs', { of: pods[0]! }, { most })
      expect(await asked(site, brief)).toMatchObject(['taken', most < 4_096 ? { reason: 'TooLarge' } : { ok: true }])
    }
  })

  test.each<[string, string, JsonObject, string, RegExp]>([
    ['nobody’s name', 'nothing', {}, 'NotFound', /no workload, no batch job and no pod of ours/],
    ['a pod that is not Flotilla’s', 'kube-system/dns', {}, 'NotFound', /nothing that Flotilla runs here/],
    ['a container that there is none of', 'till', { container: 'side' }, 'InvalidInput', /no container side: main/],
    ['no name', '', {}, 'InvalidInput', /of must be/],
    ['too many lines', 'till', { tail: 1e9 }, 'InvalidInput', /tail must be/],
  ])('not of %s', async (_name, of, more, reason, message) => {
    const { site } = await writing()
    const spec = { containers: [{ name: 'dns', image: 'dns:1' }] }
    const dns = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'dns', namespace: 'kube-system' }, spec }
    await site.cluster.create(dns, {}, SIGNAL)
    const answer = await logsOf(site, of, more)
    const refused = answer as { readonly reason: string; readonly message: string }
    expect(refused.reason).toBe(reason)
    expect(refused.message).toMatch(message)
  })

  test('one pod that has none does not hide the others', async () => {
    const { site, pods } = await writing()
    site.cluster.interfere(({ subresource, ref }) =>
      subresource === 'log' && ref?.name === pods[0]
        ? { refuse: new Fault('Rejected', 'container is waiting to start') }
        : undefined,
    )
    expect(await logsOf(site, 'till')).toMatchObject({
      ok: true,
      said: { logs: [{ because: 'Rejected: container is waiting to start' }, { because: null }] },
    })
  })
})

describe('exec', () => {
  const command = ['cat', '/etc/hostname']

  test('is not taken unless the owner of the site says so', async () => {
    const site = await settled()
    expect(await asked(site, ask(site, 'exec', { of: 'till', command }))).toMatchObject([
      { ok: false, reason: 'Forbidden' },
    ])
  })

  test('runs in a pod of the workload that runs; what it wrote and how it ended come back', async () => {
    const site = await settled({ agent: { asks: ['exec'] } })
    const ran: unknown[] = []
    site.cluster.exec = async (pod, options) => {
      ran.push([pod.namespace, options.container, options.command])
      return { stdout: 'till-1\n', stderr: '', exitCode: 3, cutBytes: 0 }
    }
    const [taken, answer] = await asked(site, ask(site, 'exec', { of: 'till', command }))
    expect(taken).toBe('taken')
    expect(answer).toMatchObject({ ok: true, said: { container: 'main', stdout: 'till-1\n', exitCode: 3 } })
    expect(ran).toEqual([['shop', 'main', command]])
  })

  test.each<[string, JsonObject, string]>([
    ['no command', { of: 'till', command: [] }, 'InvalidInput'],
    ['words that are none', { of: 'till', command: [1] }, 'InvalidInput'],
    ['nobody’s pod', { of: 'kube-system/dns', command }, 'NotFound'],
  ])('not %s', async (_name, args, reason) => {
    const site = await settled({ agent: { asks: ['exec'] } })
    expect(await asked(site, ask(site, 'exec', args))).toMatchObject(['taken', { ok: false, reason }])
  })
})

describe('reconcile', () => {
  test('tries again at once what failed, and says how it stands', async () => {
    const site = createSite()
    const refused = new Fault('Rejected', 'a webhook says no')
    site.cluster.interfere(({ verb, kind }) =>
      verb === 'apply' && kind === 'ConfigMap' ? { refuse: refused } : undefined,
    )
    site.hub.publish({ till: { objects: [configMap('settings')] } })
    await site.agent.exchange(SIGNAL)
    await site.settle(3)
    expect(site.agent.status().workloads).toMatchObject([{ sync: 'Failed' }])
    site.cluster.interfere(undefined)
    await site.agent.turn(SIGNAL)
    expect(site.agent.status().workloads).toMatchObject([{ sync: 'Failed' }])
    site.hub.asks = [ask(site, 'reconcile')]
    await site.agent.exchange(SIGNAL)
    site.hub.asks = []
    await site.agent.turn(SIGNAL)
    await site.agent.asked()
    expect(await asked(site)).toMatchObject([
      'taken',
      { ok: true, said: { workloads: [{ workload: 'till', sync: 'Synced' }] } },
    ])
  })
})

test('reconcile breaks no soak, though everything is read anew', async () => {
  const site = await settled()
  await site.clock.advance(100_000)
  const [before] = site.agent.status().workloads
  expect(before?.healthyForMs).toBeGreaterThan(100_000)
  const { lists } = site.agent.status().requests
  site.hub.asks = [ask(site, 'reconcile')]
  await site.agent.exchange(SIGNAL)
  site.hub.asks = []
  await site.agent.turn(SIGNAL)
  await site.agent.asked()
  expect(site.agent.status().requests.lists).toBeGreaterThan(lists)
  expect(site.agent.status().workloads).toMatchObject([{ sync: 'Synced', transitions: before?.transitions }])
  expect(site.agent.status().workloads[0]?.healthyForMs).toBeGreaterThanOrEqual(before?.healthyForMs ?? 0)
})

describe('once', () => {
  test('one that comes again is not done again, in this process or the next', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'flotilla-asks-'))
    onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
    const site = createSite({ dir })
    site.hub.publish(told(queue('day')))
    await site.agent.exchange(SIGNAL)
    await site.settle(3)
    const again = ask(site, 'sbatch', { script: SCRIPT, name: 'x', options: [], args: [] })
    expect(await asked(site, again)).toMatchObject(['taken', { ok: true, said: { job: 'train' } }])
    // A hub that says it again has forgotten that it was taken: a backup. It is told once by a process.
    expect(await asked(site, again)).toEqual(['taken'])
    expect(await asked(site, again)).toEqual([])
    site.restart()
    expect(await asked(site, again)).toEqual(['taken'])
    const refused = ask(site, 'teleport')
    expect(await asked(site, refused)).toHaveLength(1)
    expect(await asked(site, refused)).toEqual([])
    expect(
      [...site.agent.batch.state().journal.jobs().values()].map(({ record, user }) => [record.name, user]),
    ).toEqual([['train', 'ann']])
  })

  test('what was under way when the process ended is not begun again: nobody knows, and it is said', async () => {
    const site = await settled()
    const hangs = new Promise<never>(() => undefined)
    let begun = 0
    site.cluster.list = async () => {
      begun += 1
      return hangs
    }
    const logs = ask(site, 'logs', { of: 'till' })
    const order = ask(site, 'reconcile')
    site.hub.asks = [logs, order]
    await site.agent.exchange(SIGNAL)
    await site.clock.advance(10)
    expect(begun).toBe(1)
    site.restart()
    expect(await asked(site, logs, order)).toEqual([
      'taken',
      'taken',
      { ok: false, reason: 'Cancelled', message: 'the agent was started anew while it was at it: ask again' },
      { ok: false, reason: 'OutcomeUnknown', message: 'the agent was started anew while it was at it' },
    ])
    expect(begun).toBe(1)
  })

  test('a store that takes nothing takes no ask either: it is done when it comes again', async () => {
    let full = false
    const storeOf = (real: AgentStore): AgentStore =>
      new Proxy(real, {
        get: (object, name) => {
          if (name === 'write' && full) return () => { throw new Fault('StoreFull', 'no room') } // prettier-ignore
          const value: unknown = Reflect.get(object, name)
          return typeof value === 'function' ? (value.bind(object) as unknown) : value
        },
      })
    const site = await settled({ storeOf })
    const question = ask(site, 'diff')
    full = true
    site.hub.asks = [question]
    await site.agent.exchange(SIGNAL).catch(() => undefined)
    await site.agent.asked()
    full = false
    expect(heard(site.hub)).toEqual([])
    expect(await asked(site, question)).toMatchObject(['taken', { ok: true }])
  })

  test('remembered until it could not be good any more, and no longer', async () => {
    const site = await settled()
    await asked(site, ask(site, 'diff'), ask(site, 'diff'))
    const remembered = (): number => ((site.store.note('asks') ?? {})['held'] as readonly unknown[]).length
    expect(remembered()).toBe(2)
    await site.clock.advance(500_000)
    await asked(site)
    await asked(site, ask(site, 'diff'))
    expect(remembered()).toBe(1)
  })
})

describe('whoever waits for an answer', () => {
  const HOUR = 3_600_000

  /** A site that pays for each call: it is due in two hours. */
  async function metered(): Promise<Site> {
    const site = await settled()
    const sync = site.hub.sync.bind(site.hub)
    site.hub.sync = async (up) => {
      const answer = await sync(up)
      site.hub.asks = []
      return { ...answer, head: { ...answer.head, nextDueMs: 2 * HOUR } }
    }
    return site
  }

  test('has it with a call of its own, also from a site that pays for each; and no other call is made for it', async () => {
    const site = await metered()
    const stop = new AbortController()
    const running = site.agent.run(stop.signal)
    await site.clock.advance(10_000)
    const before = site.hub.heard.length
    await site.clock.advance(HOUR)
    expect(site.hub.heard.length).toBe(before)
    site.hub.asks = [ask(site, 'diff', {}, { expires: new Date(site.clock.nowMs() + 5 * HOUR).toISOString() })]
    await site.clock.advance(HOUR)
    expect(heard(site.hub)).toMatchObject(['taken', { ok: true }])
    expect(site.hub.heard.length).toBe(before + 2)
    site.hub.asks = []
    await site.clock.advance(HOUR)
    expect(site.hub.heard.length).toBe(before + 2)
    stop.abort()
    await running
  })

  test('does not make a site call a hub without patience that went away meanwhile', async () => {
    const site = await metered()
    const stop = new AbortController()
    const running = site.agent.run(stop.signal)
    await site.clock.advance(10_000)
    site.hub.asks = [ask(site, 'diff', {}, { expires: new Date(site.clock.nowMs() + 5 * HOUR).toISOString() })]
    let calls = 0
    const sync = site.hub.sync.bind(site.hub)
    site.hub.sync = async (up) => {
      calls += 1
      if (calls > 1) throw new Fault('Unreachable', 'the hub is away')
      return sync(up)
    }
    await site.clock.advance(2 * HOUR)
    const away = calls
    await site.clock.advance(HOUR)
    // Called each second it would be 3,600.
    expect(calls - away).toBeLessThan(200)
    expect(calls).toBeGreaterThan(2)
    stop.abort()
    await running
  })

  test('a hub that acknowledges nothing cannot fill the disk of a site with answers', async () => {
    const site = await settled()
    const sync = site.hub.sync.bind(site.hub)
    site.hub.sync = async (up) => {
      const answer = await sync(up)
      return { ...answer, head: { ...answer.head, ackOutbox: 0 } }
    }
    for (let i = 0; i < 30; i++) {
      site.hub.asks = Array.from({ length: 8 }, () => ask(site, 'diff'))
      await site.agent.exchange(SIGNAL)
      await site.agent.asked()
    }
    expect(site.store.outbox().length).toBeLessThan(120)
  })
})

describe('not done', () => {
  test('a verb that this agent does not know is answered so', async () => {
    const site = await settled()
    expect(await asked(site, ask(site, 'teleport'))).toEqual([
      { ok: false, reason: 'AgentTooOld', message: 'unknown verb teleport' },
    ])
  })

  test('one that expired by the hub’s signed time, whatever the site’s own clock says', async () => {
    const site = await settled()
    const late = ask(site, 'diff', {}, { expires: new Date(site.clock.nowMs() - 1_000).toISOString() })
    expect(await asked(site, late)).toMatchObject([{ ok: false, reason: 'Expired' }])
    site.clock.jump(10 * 365 * 86_400_000)
    site.hub.asks = []
    const inTime = ask(site, 'diff')
    expect(await asked(site, inTime)).toMatchObject(['taken', { ok: true }])
  })

  test('of a hub whose time is not believed nothing is taken', async () => {
    const site = await settled()
    const sync = site.hub.sync.bind(site.hub)
    site.hub.sync = async (up) => {
      const answer = await sync(up)
      const { time } = answer.head
      return { ...answer, head: { ...answer.head, time: { ...time, timeMs: time.timeMs + 1 } } }
    }
    expect(await asked(site, ask(site, 'diff'))).toEqual([])
  })

  test.each<[string, Partial<Ask>]>([
    ['of another site', { site: 'other' }],
    ['of another box of this name', { siteId: 'other' }],
  ])('one %s is dropped without a word', async (_name, more) => {
    const site = await settled()
    expect(await asked(site, ask(site, 'diff', {}, more))).toEqual([])
    expect(site.agent.status().conditions).toEqual([])
  })

  test('one that a stranger signed', async () => {
    const site = await settled()
    const { payload } = ask(site, 'diff')
    const forged = { ...sealAsk({} as Ask, STRANGER), payload, keyid: HUB.keyid }
    expect(await asked(site, forged)).toEqual([])
  })

  test('what the owner of the site switched off', async () => {
    const site = await settled({ agent: { asks: ['diff'] } })
    expect(await asked(site, ask(site, 'logs', { of: 'till' }), ask(site, 'diff'))).toMatchObject([
      { ok: false, reason: 'Forbidden', message: 'this site does not take logs from the hub' },
      'taken',
      { ok: true },
    ])
    site.restart(site.hub, { asks: [] })
    expect(await asked(site, ask(site, 'diff'))).toMatchObject([{ ok: false, reason: 'Forbidden' }])
  })

  test('what runs something, where the root names a release signer: a stolen hub key brings nothing', async () => {
    const critical = signTrust(
      {
        version: 2,
        issued: '2026-01-01T00:00:00Z',
        timeEpoch: 1,
        critical: ['release'],
        keys: [
          { key: HUB.publicKey, roles: ['manifest', 'time'] },
          { key: RELEASE_SIGNER.publicKey, roles: ['release'] },
        ],
        authorities: [],
      },
      ROOT,
    )
    const site = createSite()
    site.store.saveIdentity({ ...IDENTITY, trust: critical })
    site.restart(site.hub, { asks: ['sbatch', 'exec', 'scancel'] })
    expect(await asked(site, ask(site, 'exec', { of: 'till', command: ['sh'] }))).toMatchObject([
      { ok: false, reason: 'Forbidden', message: expect.stringContaining('release signer') },
    ])
    const submit = ask(site, 'sbatch', { script: SCRIPT, name: 'x', options: [], args: [] })
    expect(await asked(site, submit, ask(site, 'scancel', { jobs: ['train'] }))).toMatchObject([
      { ok: false, reason: 'Forbidden', message: expect.stringContaining('release signer') },
      'taken',
      { ok: true },
    ])
    expect(site.agent.batch.state().journal.jobs().size).toBe(0)
  })
})

const SCRIPT = '#!/bin/bash\n#SBATCH --job-name=train --container-image=task:1\npython train.py\n'

describe('batch', () => {
  test('the words of the box, by the same desk', async () => {
    const site = createSite()
    site.hub.publish(told(queue('day'), batchJob('train', { tasks: [task('main', 2)] })))
    await site.agent.exchange(SIGNAL)
    await site.settle(3)
    const answers = await asked(
      site,
      ask(site, 'queue', { queue: 'day', word: 'hold' }),
      ask(site, 'queue', { queue: 'night', word: 'hold' }),
      ask(site, 'scancel', { jobs: ['nothing'], user: null, partition: null, state: null, name: null }),
      ask(site, 'sbatch', { script: '#!/bin/sh\ntrue\n', name: 'x', options: [], args: [] }),
      ask(site, 'queue', { queue: 'day' }),
    )
    expect(answers.filter((answer) => answer !== 'taken')).toMatchObject([
      { ok: true, said: { queue: 'day', word: 'hold' } },
      { ok: false, reason: 'NotFound', message: 'there is no queue night at this site' },
      { ok: true, said: { cancelled: [], unknown: ['nothing'] } },
      { ok: true, said: { refused: [expect.stringContaining('--container-image')] } },
      { ok: false, reason: 'InvalidInput' },
    ])
  })
})
