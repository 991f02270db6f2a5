import { describe, expect, test } from 'vitest'
import { acceptTrust } from '../../../src/core/protocol/trust.ts'
import { rootOfIdentity, trustOf } from '../../../src/adapters/link/identity.ts'
import { accept } from '../../../src/core/protocol/accept.ts'
import { judgeTime, timeSubject } from '../../../src/core/protocol/time.ts'
import { MANIFEST, NO_BASES, startBench, upOf } from './hub-twin.ts'

const signal = (): AbortSignal => AbortSignal.timeout(10_000)

describe('one exchange over the real link', () => {
  test('a site that joins and syncs holds a manifest that it accepts, at a time that it believes', async () => {
    await using bench = await startBench()
    const me = await bench.join('0417')
    const published = bench.hub.publish({ ...MANIFEST, site: me.site, siteId: me.siteId })
    const link = bench.link(me)
    const up = upOf(me)
    const answer = await link.sync(up, NO_BASES, signal())
    const trust = trustOf(me)
    const statement = {
      siteId: me.siteId,
      nonce: up.nonce,
      ...answer.head.time,
      ...timeSubject(published.manifest, up.have),
    }
    const input = {
      statement,
      keyid: answer.head.time.keyid,
      sig: answer.timeSignature,
      trust,
      held: undefined,
      monotonicMs: 5,
      boot: 'k',
    }
    expect(judgeTime(input)).toEqual({
      verdict: 'accept',
      time: { timeMs: bench.hub.nowMs, timeEpoch: 1, atMonotonicMs: 5, boot: 'k' },
    })
    const verdict = accept({
      envelope: answer.manifest!,
      trust,
      site: me.site,
      siteId: me.siteId,
      floor: null,
      hubNow: { known: 'exact', ms: bench.hub.nowMs },
    })
    expect(verdict).toMatchObject({ verdict: 'accept', floor: { body: published.body } })
    expect(bench.hub.seen[0]).toEqual(up)
    expect(answer.bytes.up).toBeGreaterThan(500)
    const have = { generation: published.manifest.generation, root: published.manifest.root, body: published.body }
    const bases = { manifest: published.envelope.payload, blob: () => undefined }
    const idle = await link.sync(upOf(me, { have, seq: 2 }), bases, signal())
    expect(idle.manifest).toBeUndefined()
    const third = await link.sync(upOf(me, { have, seq: 3, nonce: 'BBBBBBBBBBBBBBBB' }), bases, signal())
    expect(third.head.ack).toBe(3)
    expect(third.bytes.up + third.bytes.down).toBeLessThan(560)
    expect(bench.server.stats()).toMatchObject({ connections: 1, exchanges: 0, shed: 0, refused: 0 })
  })

  test('a trust statement that the site does not have comes along', async () => {
    await using bench = await startBench()
    const me = await bench.join('0417')
    const { trust } = await bench.link(me).sync(upOf(me, { trust: 0 }), NO_BASES, signal())
    expect(acceptTrust(trust!, rootOfIdentity(me), trustOf(me)).verdict).toBe('current')
  })
})
