/** `confirm: uplink`: when a site goes back to the signed fallback by itself, and when it does not. */
import { describe, expect, test } from 'vitest'
import { isConfirmed, judgeTrial, type Judged, type Trial } from '../../../src/agent/uplink.ts'
import { digestJson } from '../../../src/core/model/digest.ts'
import { Fault } from '../../../src/core/model/fault.ts'
import { isObject } from '../../../src/core/model/json.ts'
import type { Manifest } from '../../../src/core/model/object.ts'
import type { ManifestEntry } from '../../../src/core/protocol/messages.ts'
import { configMap, createSite, liveOf, SIGNAL, type Site, type Told } from './site.ts'

const T_MS = 300_000

const TRIAL: Trial = {
  workload: 'till',
  since: { epoch: 1, counter: 2 },
  release: digestJson('release', 'new'),
  fallback: digestJson('release', 'old'),
  tries: 1,
  state: 'open',
  boot: 'b1',
  changedMs: 1_000,
}
const JUDGED: Judged = {
  trial: TRIAL,
  uptimeMs: 1_000 + T_MS,
  boot: 'b1',
  heard: { boot: 'b1' },
  misses: 2,
  silentMs: 0,
  confirmMs: T_MS,
}

describe('goes back by itself', () => {
  test.each<[string, Partial<Judged>, 'revert' | 'wait']>([
    ['where the hub was heard since the boot, and not since the change, through T', {}, 'revert'],
    ['not before T', { uptimeMs: 999 + T_MS }, 'wait'],
    ['not where the hub was not heard since the last boot', { heard: { boot: 'b0' } }, 'wait'],
    ['not where it was never heard', { heard: undefined }, 'wait'],
    ['not where the machine was started anew since', { boot: 'b2', heard: { boot: 'b1' } }, 'wait'],
    ['not before it called and was not answered', { misses: 1 }, 'wait'],
    ['where a call that was under way had no answer for long', { misses: 0, silentMs: T_MS / 2 }, 'revert'],
    ['not where it had none for a while', { misses: 0, silentMs: T_MS / 2 - 1 }, 'wait'],
    ['not twice', { trial: { ...TRIAL, state: 'back' } }, 'wait'],
  ])('%s', (_case, part, kind) => {
    expect(judgeTrial({ ...JUDGED, ...part }).kind).toBe(kind)
  })

  test.each<[string, Parameters<typeof isConfirmed>, boolean]>([
    ['an answer once it settled', [TRIAL, 11_000, 'b1', true, T_MS], true],
    ['no answer to what was asked before it settled', [TRIAL, 10_999, 'b1', true, T_MS], false],
    ['no early answer while it is not healthy', [TRIAL, 11_000, 'b1', false, T_MS], false],
    ['a late one, healthy or not', [TRIAL, 1_000 + T_MS / 2, 'b1', false, T_MS], true],
    ['any answer after a boot', [TRIAL, 0, 'b2', false, T_MS], true],
  ])('is kept from it by %s', (_case, args, confirmed) => {
    expect(isConfirmed(...args)).toBe(confirmed)
  })
})

const ROUTE = (route: string): Manifest => configMap('uplink', { route })
const OLD: Told = { objects: [ROUTE('good')] }
const BAD: Told = { objects: [ROUTE('none')] }
const GOOD: Told = { objects: [ROUTE('better')] }

type Changed = { readonly [name in keyof ManifestEntry]?: ManifestEntry[name] | null }

/** Publishes with the release before as the signed fallback; null: without. */
function publish(site: Site, told: Told, more: Changed = {}): void {
  const fallback = site.hub.manifest?.entries[0]?.release
  site.hub.publish({ till: told })
  const entries = site.hub.manifest!.entries.map((entry) => {
    const all = { ...entry, ...(fallback === undefined ? {} : { confirm: 'uplink', fallback }), ...more }
    return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== null)) as unknown as ManifestEntry
  })
  site.hub.publish({ till: told }, { entries })
}

async function route(site: Site): Promise<unknown> {
  const data = (await liveOf(site, ROUTE('')))?.['data']
  return isObject(data) ? data['route'] : undefined
}

/** Time passes in turns and calls; what is applied decides whether the hub is reached, as long as there is no outage. */
async function pass(site: Site, ms: number, outage = false): Promise<void> {
  for (let at = 0; at < ms; at += 10_000) {
    await site.clock.advance(10_000)
    site.hub.reachable = !outage && (await route(site)) !== 'none'
    await site.agent.exchange(SIGNAL).catch(() => undefined)
    await site.agent.turn(SIGNAL)
    await site.agent.turn(SIGNAL)
  }
}

async function started(): Promise<Site> {
  const site = createSite()
  publish(site, OLD)
  await site.agent.exchange(SIGNAL)
  await site.settle()
  return site
}

/** Told, brought home and begun; from here on the link is as `pass` says. */
async function told(site: Site, next: Told, more: Changed = {}): Promise<void> {
  publish(site, next, more)
  await site.agent.exchange(SIGNAL)
  await site.agent.turn(SIGNAL)
}

const seen = (site: Site) => site.agent.status().workloads[0]!
const audits = (site: Site) =>
  site.hub.heard.flatMap(({ outbox }) => outbox).map(({ body }) => [body['word'], body['cause'], body['reason']])

describe('a change that cuts the link', () => {
  test('is taken back after T, reported with its reason once the hub is heard, tried once more and then left', async () => {
    const site = await started()
    await told(site, BAD)
    expect(await route(site)).toBe('none')
    await pass(site, T_MS - 20_000)
    expect(await route(site)).toBe('none')
    await pass(site, 40_000)
    expect(await route(site)).toBe('good')
    await pass(site, 20_000)
    expect(audits(site)).toContainEqual(['rollback', 'uplink', 'the hub was not heard for 300 s after it'])
    expect(site.hub.heard.flatMap(({ observations }) => observations).at(-1)?.failure).toBeUndefined()
    // Once more, when the hub had time to say otherwise.
    await pass(site, T_MS - 60_000)
    expect(await route(site)).toBe('good')
    await pass(site, 60_000)
    expect(await route(site)).toBe('none')
    await pass(site, T_MS + 40_000)
    expect(await route(site)).toBe('good')
    await pass(site, 3 * T_MS)
    expect(await route(site)).toBe('good')
    expect(seen(site).waiting?.detail).toMatch(/^RevertedUnconfirmed: the hub was not heard/)
    expect(seen(site).failure).toBeUndefined()
  })

  test('is taken back although the process was killed in between', async () => {
    const site = await started()
    await told(site, BAD)
    await pass(site, T_MS / 2)
    site.restart()
    await pass(site, T_MS / 2 + 40_000)
    expect(await route(site)).toBe('good')
  })

  test('is on the disk as a trial before the cluster is touched', async () => {
    const noted: unknown[] = []
    const site = createSite({
      clusterOf: (cluster) =>
        new Proxy(cluster, {
          get(target, name) {
            const member = Reflect.get(target, name, target) as unknown
            if (typeof member !== 'function') return member
            if (name === 'apply') noted.push(site.store.note('uplink')?.['trials'])
            return member.bind(target) as unknown
          },
        }),
    })
    publish(site, OLD)
    await site.agent.exchange(SIGNAL)
    await site.settle()
    noted.length = 0
    await told(site, BAD)
    expect(noted).toHaveLength(1)
    expect(noted[0]).toMatchObject([{ workload: 'till', state: 'open', tries: 1 }])
  })

  test('is left to whoever took it back at the box meanwhile', async () => {
    const site = await started()
    await told(site, BAD)
    await pass(site, 60_000)
    site.agent.desk.say({ kind: 'rollback', by: 'ann', reason: 'the tills are offline', workload: 'till' })
    await pass(site, 3 * T_MS)
    expect(await route(site)).toBe('good')
    expect(seen(site).waiting?.detail).toBe('rolled back at the box by ann: the tills are offline')
    expect(site.store.note('uplink')).toBeUndefined()
  })

  test('that the disk did not take is no try', async () => {
    let full = true
    const site = createSite({
      storeOf: (store) =>
        new Proxy(store, {
          get(target, name) {
            const member = Reflect.get(target, name, target) as unknown
            if (typeof member !== 'function') return member
            return (...args: Parameters<typeof store.write>) => {
              if (name === 'write' && full && args[0].notes?.has('uplink') === true) {
                full = false
                throw new Fault('StoreFull', 'no room on the disk')
              }
              return (member as (...all: typeof args) => unknown).apply(target, args)
            }
          },
        }),
    })
    publish(site, OLD)
    await site.agent.exchange(SIGNAL)
    await site.settle()
    publish(site, BAD)
    await site.agent.exchange(SIGNAL)
    await expect(site.agent.turn(SIGNAL)).rejects.toThrow('no room')
    expect(await route(site)).toBe('good')
    await site.agent.turn(SIGNAL)
    expect(await route(site)).toBe('none')
    expect(site.store.note('uplink')).toMatchObject({ trials: [{ workload: 'till', state: 'open', tries: 1 }] })
  })

  test('is not taken back by a box that was started anew since: it cannot tell an outage from it', async () => {
    const site = await started()
    await told(site, BAD)
    await pass(site, 60_000)
    site.machine.bootId = 'another'
    site.restart()
    await pass(site, 3 * T_MS)
    expect(await route(site)).toBe('none')
  })

  test('is not tried again after its permit ended, without a fresh word', async () => {
    const site = await started()
    await told(site, BAD, { startBy: new Date(site.clock.nowMs() + T_MS / 2).toISOString() })
    await pass(site, 3 * T_MS)
    expect(await route(site)).toBe('good')
    expect(seen(site).waiting?.reason).toBe('PermitExpired')
  })

  test('ends with the hub’s next word', async () => {
    const site = await started()
    await told(site, BAD)
    await pass(site, T_MS + 40_000)
    await told(site, GOOD)
    await pass(site, 60_000)
    expect(await route(site)).toBe('better')
    expect(seen(site)).toMatchObject({ sync: 'Synced' })
  })

  test.each(['fallback', 'confirm'] as const)(
    'without its %s stays: the site never chooses by itself',
    async (name) => {
      const site = await started()
      await told(site, BAD, { [name]: null })
      await pass(site, 2 * T_MS)
      expect(await route(site)).toBe('none')
    },
  )
})

describe('an ordinary outage', () => {
  test('after a good release reverts nothing, however long it lasts', async () => {
    const site = await started()
    await told(site, GOOD)
    await pass(site, 30_000)
    await pass(site, 5 * T_MS, true)
    site.restart()
    await pass(site, 2 * T_MS, true)
    expect(await route(site)).toBe('better')
    expect(site.store.note('uplink')).toBeUndefined()
  })

  test('in which the box was started anew reverts nothing', async () => {
    const site = await started()
    await told(site, GOOD)
    await pass(site, 10_000, true)
    site.machine.bootId = 'another'
    site.restart()
    await pass(site, 5 * T_MS, true)
    expect(await route(site)).toBe('better')
    await pass(site, 20_000)
    expect(site.store.note('uplink')).toBeUndefined()
  })
})

test('a site that pays for each call calls while it must know whether it is heard, and not after', async () => {
  const site = await started()
  const stop = new AbortController()
  const link = site.hub.sync.bind(site.hub)
  site.hub.sync = async (up) => {
    const answer = await link(up)
    return { ...answer, head: { ...answer.head, nextDueMs: 7_200_000 } }
  }
  const running = site.agent.run(stop.signal)
  await site.clock.advance(1_000)
  const calls = site.hub.heard.length
  publish(site, GOOD)
  // The next call is due in two hours; only then does it hear of the change.
  await site.clock.advance(7_200_000)
  await site.clock.advance(60_000)
  const during = site.hub.heard.length - calls
  expect(during).toBeGreaterThan(1)
  expect(site.store.note('uplink')).toBeUndefined()
  await site.clock.advance(3_600_000)
  expect(site.hub.heard.length - calls).toBe(during)
  stop.abort()
  await running
})

test('once it went back it is heard at once: no patience is left over from the time in which nobody answered', async () => {
  const site = await started()
  const stop = new AbortController()
  const running = site.agent.run(stop.signal)
  publish(site, BAD)
  const until = async (to: string, most: number): Promise<void> => {
    for (let at = 0; at < most && (await route(site)) !== to; at += 1_000) {
      await site.clock.advance(1_000)
      site.hub.reachable = (await route(site)) !== 'none'
    }
    expect(await route(site)).toBe(to)
  }
  await until('none', 120_000)
  await until('good', T_MS + 60_000)
  const calls = site.hub.heard.length
  await site.clock.advance(T_MS / 20 + 1_000)
  expect(site.hub.heard.length).toBeGreaterThan(calls)
  stop.abort()
  await running
})
