/**
 * Bytes of the link, TLS included, as the sockets count them, and what an exchange costs the hub. TCP and IP headers (52 bytes
 * a packet, about four packets an exchange) are added as `with TCP`, computed and not captured.
 */
import { randomBytes } from 'node:crypto'
import { bodyDigest } from '../src/core/protocol/manifest.ts'
import { digestBytes, type Digest } from '../src/core/model/digest.ts'
import { canonicalJson } from '../src/core/model/json.ts'
import type { ManifestEntry } from '../src/core/protocol/messages.ts'
import { MANIFEST, NO_BASES, startBench, upOf } from '../test/unit/link/hub-twin.ts'
import type { Row } from './row.ts'

const TCP_BYTES = 4 * 52
const SYNCS = 1_000
const OBJECTS = 200

function object(i: number, tag: string): Buffer {
  const labels = { app: `app-${i}` }
  const env = Array.from({ length: 8 }, (_, k) => ({
    name: `VAR_${k}`,
    value: digestBytes('object', `${i}/${k}`).slice(7, 39),
  }))
  const container = {
    name: 'main',
    image: `images.example/app-${i}:${tag}`,
    env,
    resources: { requests: { cpu: '100m', memory: '64Mi' } },
  }
  const spec = {
    replicas: 2,
    selector: { matchLabels: labels },
    template: { metadata: { labels }, spec: { containers: [container] } },
  }
  return Buffer.from(
    canonicalJson({
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: `app-${i}`, namespace: 'shop', labels },
      spec,
    }),
  )
}

export async function run(): Promise<Row[]> {
  const signal = AbortSignal.timeout(120_000)
  await using bench = await startBench({ exchanges: 1_000 })
  const { hub } = bench
  const me = await bench.join('0417')
  const link = bench.link(me)
  const entryOf = (release: Digest, counter: number, i: number): ManifestEntry => ({
    workload: `team-${i % 7}/app-${i}`,
    since: { epoch: 1, counter },
    release,
    order: i % 5,
    startAfter: '2026-01-01T00:00:00Z',
    startBy: '2026-01-08T00:00:00Z',
    gates: [],
  })
  const others = Array.from({ length: 19 }, (_, i) => entryOf(digestBytes('release', randomBytes(8)), 1, i + 1))
  const releaseOf = (tag: string): Buffer => {
    const objects = Array.from({ length: OBJECTS }, (_, i) => ({
      ref: { group: 'apps', kind: 'Deployment', namespace: 'shop', name: `app-${i}` },
      apiVersion: 'apps/v1',
      blob: digestBytes('object', object(i, i === 70 ? tag : '1.0.0')),
    }))
    return Buffer.from(
      canonicalJson({ format: 1, workload: 'team-0/app-0', namespace: 'shop', objects, dependsOn: [], rules: {} }),
    )
  }
  const [r0, r1] = [hub.put('release', releaseOf('1.0.0')), hub.put('release', releaseOf('1.0.1'))]
  const [o0, o1] = [hub.put('object', object(70, '1.0.0')), hub.put('object', object(70, '1.0.1'))]
  const held = new Map([r0, o0].map((digest) => [digest, hub.blobs.get(digest)!.bytes]))
  const publish = (release: Digest, counter: number) =>
    hub.publish({
      ...MANIFEST,
      site: me.site,
      siteId: me.siteId,
      generation: { epoch: 1, counter },
      entries: [entryOf(release, counter, 0), ...others],
    })
  const haveOf = ({ manifest, body }: ReturnType<typeof publish>) => ({
    generation: manifest.generation,
    root: manifest.root,
    body,
  })
  let seq = 1
  const up = (have: ReturnType<typeof haveOf> | null) =>
    upOf(me, { have, seq, clockMs: 1_767_312_000_000 + seq++ * 60_007, nonce: randomBytes(12).toString('base64url') })

  const one = publish(r0, 1)
  const first = await link.sync(up(null), NO_BASES, signal)
  const bases = { manifest: one.envelope.payload, blob: (_domain: string, digest: Digest) => held.get(digest) }
  await link.sync(up(haveOf(one)), bases, signal)
  const idle = await link.sync(up(haveOf(one)), bases, signal)

  const cpu = process.cpuUsage()
  const started = performance.now()
  for (let i = 0; i < SYNCS; i++) await link.sync(up(haveOf(one)), bases, signal)
  const wallUs = ((performance.now() - started) * 1_000) / SYNCS
  const used = process.cpuUsage(cpu)

  hub.inline.push({ domain: 'release', digest: r1, base: r0 }, { domain: 'object', digest: o1, base: o0 })
  const two = publish(r1, 2)
  const change = await link.sync(up(haveOf(one)), bases, signal)
  if (bodyDigest(change.manifest!.payload) !== two.body || change.blobs.size !== 2)
    throw new Error('the change did not arrive')
  const observed = { digest: r1, atMs: 1_767_312_000_000 }
  const report = await link.sync({ ...up(haveOf(two)), observations: [{ workload: 'team-0/app-0', since: { epoch: 1, counter: 2 }, desired: observed, received: observed, staged: observed, applied: observed, healthy: observed, sync: 'Synced', health: 'Healthy', healthyForMs: 1_000, unhealthyMs: 0, transitions: 0, begun: true, objects: [], counts: { objects: 200, ready: 200, drifted: 0, pruned: 0 } }] }, { ...bases, manifest: two.envelope.payload }, signal) // prettier-ignore

  const called = bench.link(me)
  const current = { ...bases, manifest: two.envelope.payload }
  await called.sync(up(haveOf(two)), current, signal)
  if ((await called.rest!(60_000, () => undefined)).by !== 'socket') throw new Error('no WebSocket')
  await called.sync(up(haveOf(two)), current, signal)
  const framed = await called.sync(up(haveOf(two)), current, signal)
  const poll = bench.link(me, { connection: 'per-exchange' })
  const full = await poll.sync(up(haveOf(two)), NO_BASES, signal)
  const resumed = await poll.sync(up(haveOf(two)), NO_BASES, signal)
  const both = ({ bytes }: { readonly bytes: { readonly up: number; readonly down: number } }): number =>
    bytes.up + bytes.down
  const bytes = (name: string, value: number, goal?: number): Row => ({
    case: name,
    value: Math.round(value),
    unit: 'B',
    ...(goal === undefined ? {} : { goal }),
  })
  return [
    bytes('idle sync, open connection, both ways', both(idle)),
    bytes('idle sync, with TCP', both(idle) + TCP_BYTES, 660),
    bytes('idle sync, WebSocket, both ways', both(framed)),
    {
      case: 'idle connected site, WebSocket, with TCP, a sync a minute',
      value: Math.round(((both(framed) + TCP_BYTES) / 60) * 10) / 10,
      unit: 'B/s',
      goal: 11,
    },
    bytes('first sync of 20 entries, handshake included', both(first)),
    bytes('one changed line of 200 objects, down', change.bytes.down, 1024),
    bytes(
      'one changed line of 200 objects, and its report, both ways, with TCP',
      both(change) + both(report) + 2 * TCP_BYTES,
      3072,
    ),
    bytes('whole poll, full handshake', both(full)),
    bytes('whole poll, resumed', both(resumed)),
    { case: 'idle sync, both ends in one process, wall', value: Math.round(wallUs), unit: 'us' },
    {
      case: 'idle sync, both ends in one process, CPU',
      value: Math.round((used.user + used.system) / SYNCS),
      unit: 'us',
    },
  ]
}
