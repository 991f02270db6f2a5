/** The JSON heads of an exchange, checked field by field. Unknown fields are kept; the two ends may be versions apart. */
import { deflateRawSync } from 'node:zlib'
import { Fault } from '../model/fault.ts'
import type { Json, JsonObject } from '../model/json.ts'
import type { WorkloadObservation } from '../model/observation.ts'
import type { BlobDomain } from '../model/release.ts'
import { WAITING } from '../model/state.ts'
import { MAX_SIGNATURES } from './envelope.ts'
import {
  FACTS_MAX_BYTES,
  MAX_CONDITIONS,
  MAX_OBJECT_REPORTS,
  MAX_OBSERVATIONS,
  MAX_OUTBOX_ITEMS,
  MAX_PARTS,
  OUTBOX_MAX_BYTES,
  STATUS_MAX_BYTES,
} from './limits.ts'
import { MANIFEST_MAX_BYTES } from './manifest.ts'
import type { SyncDown, SyncUp } from './messages.ts'
import {
  count,
  digest,
  flag,
  generation,
  invalid,
  list,
  number,
  oneOf,
  record,
  siteIdText,
  siteName,
  text,
} from './shape.ts'

const SYNC = ['Synced', 'Progressing', 'Waiting', 'Drifted', 'Failed', 'Unknown'] as const
const HEALTH = ['Healthy', 'Progressing', 'Degraded', 'Suspended', 'Unknown'] as const
export const BLOB_DOMAINS: readonly BlobDomain[] = ['object', 'sealed', 'release', 'config', 'deletions']
const NONCE = /^[A-Za-z0-9_-]{16}$/
const MAX_MESSAGE_CHARS = 2_048
const MAX_WANT = 4_096

/** Fault InvalidInput, TooLarge. */
export function checkUp(json: Json): SyncUp {
  const it = record(json, 'sync')
  count(it.v, 'v')
  siteName(it.site, 'site')
  siteIdText(it.siteId, 'siteId')
  text(it.agent, 'agent', 128)
  text(it.boot, 'boot', 128)
  text(it.storeEpoch, 'storeEpoch', 128)
  if (it.have !== null) {
    const have = record(it.have, 'have')
    generation(have.generation, 'have.generation')
    digest(have.root, 'have.root')
    digest(have.body, 'have.body')
  }
  number(it.clockMs, 'clockMs')
  if (!NONCE.test(text(it.nonce, 'nonce', 32))) invalid('nonce', '12 bytes of base64url')
  count(it.seq, 'seq')
  each(it.observations, 'observations', MAX_OBSERVATIONS, observation)
  if (statusBytes(it.observations as readonly Json[]) > STATUS_MAX_BYTES)
    throw new Fault('TooLarge', `observations above ${STATUS_MAX_BYTES} bytes`)
  if (it.goneWorkloads !== undefined)
    each(it.goneWorkloads, 'goneWorkloads', MAX_OBSERVATIONS, (name, at) => text(name, at))
  each(it.outbox, 'outbox', MAX_OUTBOX_ITEMS, (item, at) => {
    const entry = record(item, at)
    oneOf(entry.class, `${at}.class`, ['result', 'audit', 'metric', 'log'])
    count(entry.seq, `${at}.seq`)
    number(entry.atMs, `${at}.atMs`)
    record(entry.body, `${at}.body`)
  })
  bounded(it.outbox, 'outbox', OUTBOX_MAX_BYTES)
  each(it.conditions, 'conditions', MAX_CONDITIONS, (item, at) => {
    const condition = record(item, at)
    // A type that a newer agent brings is shown as it stands.
    for (const name of ['type', 'reason']) text(condition[name], `${at}.${name}`, 128)
    text(condition.message, `${at}.message`, MAX_MESSAGE_CHARS)
    number(condition.sinceMs, `${at}.sinceMs`)
    if (condition.deletions !== undefined) digest(condition.deletions, `${at}.deletions`)
  })
  if (it.facts !== undefined) bounded(record(it.facts, 'facts'), 'facts', FACTS_MAX_BYTES)
  if (it.factsDigest !== undefined) digest(it.factsDigest, 'factsDigest')
  if (it.dropped !== undefined)
    for (const [name, value] of Object.entries(record(it.dropped, 'dropped'))) count(value, `dropped.${name}`)
  if (it.want !== undefined) each(it.want, 'want', MAX_WANT, (item, at) => digest(item, at))
  if (it.trust !== undefined) count(it.trust, 'trust')
  if (it.held !== undefined) {
    const held = record(it.held, 'held')
    text(held.payload, 'held.payload', Math.ceil(MANIFEST_MAX_BYTES / 3) * 4)
    each(held.signatures, 'held.signatures', MAX_SIGNATURES, (item, at) => {
      const signature = record(item, at)
      for (const name of ['keyid', 'sig']) text(signature[name], `${at}.${name}`, 256)
    })
  }
  return it as unknown as SyncUp
}

function observation(json: Json, at: string): void {
  const it = record(json, at)
  text(it.workload, `${at}.workload`)
  generation(it.since, `${at}.since`)
  for (const fact of ['desired', 'received', 'staged', 'applied', 'healthy']) {
    if (it[fact] === null) continue
    const stamped = record(it[fact], `${at}.${fact}`)
    digest(stamped.digest, `${at}.${fact}.digest`)
    number(stamped.atMs, `${at}.${fact}.atMs`)
  }
  oneOf(it.sync, `${at}.sync`, SYNC)
  oneOf(it.health, `${at}.health`, HEALTH)
  if (it.waiting !== undefined) {
    const waiting = record(it.waiting, `${at}.waiting`)
    oneOf(waiting.reason, `${at}.waiting.reason`, WAITING)
    if (waiting.detail !== undefined) text(waiting.detail, `${at}.waiting.detail`, MAX_MESSAGE_CHARS)
    if (waiting.nextAtMs !== undefined) number(waiting.nextAtMs, `${at}.waiting.nextAtMs`)
  }
  for (const name of ['healthyForMs', 'unhealthyMs']) {
    if (number(it[name], `${at}.${name}`) < 0) invalid(`${at}.${name}`, '0 or more')
  }
  count(it.transitions, `${at}.transitions`)
  flag(it.begun, `${at}.begun`)
  if (it.failure !== undefined) {
    const failure = record(it.failure, `${at}.failure`)
    text(failure.reason, `${at}.failure.reason`)
    text(failure.message, `${at}.failure.message`, MAX_MESSAGE_CHARS)
  }
  each(it.objects, `${at}.objects`, MAX_OBJECT_REPORTS, (item, path) => {
    const report = record(item, path)
    const ref = record(report.ref, `${path}.ref`)
    for (const part of ['group', 'kind', 'namespace', 'name']) text(ref[part], `${path}.ref.${part}`)
    oneOf(report.sync, `${path}.sync`, SYNC)
    oneOf(report.health, `${path}.health`, HEALTH)
    text(report.reason, `${path}.reason`)
    text(report.message, `${path}.message`, MAX_MESSAGE_CHARS)
  })
  const counts = record(it.counts, `${at}.counts`)
  for (const name of ['objects', 'ready', 'drifted', 'pruned']) count(counts[name], `${at}.counts.${name}`)
}

/** Fault InvalidInput, TooLarge. */
export function checkDown(json: Json): SyncDown {
  const it = record(json, 'sync')
  count(it.v, 'v')
  count(it.ack, 'ack')
  count(it.ackOutbox, 'ackOutbox')
  if (it.manifest !== undefined) {
    const manifest = record(it.manifest, 'manifest')
    text(manifest.payloadType, 'manifest.payloadType', 128)
    if (manifest.base !== undefined) digest(manifest.base, 'manifest.base')
    digest(manifest.result, 'manifest.result')
    each(manifest.keyids, 'manifest.keyids', MAX_SIGNATURES, (keyid, at) => text(keyid, at, 64))
    if (manifest.encoding !== undefined) oneOf(manifest.encoding, 'manifest.encoding', ['zstd'])
  }
  each(it.blobs, 'blobs', MAX_PARTS, (item, at) => {
    const blob = record(item, at)
    digest(blob.digest, `${at}.digest`)
    oneOf(blob.domain, `${at}.domain`, BLOB_DOMAINS)
    if (blob.base !== undefined) digest(blob.base, `${at}.base`)
    oneOf(blob.encoding, `${at}.encoding`, ['identity', 'zstd'])
  })
  number(it.nextDueMs, 'nextDueMs')
  const time = record(it.time, 'time')
  count(time.timeMs, 'time.timeMs')
  count(time.timeEpoch, 'time.timeEpoch')
  text(time.keyid, 'time.keyid', 64)
  if (it.trust !== undefined) count(record(it.trust, 'trust').version, 'trust.version')
  if (it.asks !== undefined) each(it.asks, 'asks', 64, (item, at) => record(item, at))
  return it as unknown as SyncDown
}

function each(value: Json | undefined, path: string, max: number, check: (item: Json, at: string) => unknown): void {
  for (const [i, item] of list(value, path, max).entries()) check(item, `${path}[${i}]`)
}

function bounded(value: Json | undefined, path: string, maxBytes: number): void {
  if (Buffer.byteLength(JSON.stringify(value)) > maxBytes)
    throw new Fault('TooLarge', `${path} above ${maxBytes} bytes`)
}

/** What observations weigh on the wire without a dictionary; counted in full only where that can matter. */
function statusBytes(observations: readonly Json[]): number {
  const plain = JSON.stringify(observations)
  return plain.length <= STATUS_MAX_BYTES ? plain.length : deflateRawSync(plain).length
}

/** Object reports a workload may keep when all do not fit, and the length of their messages. */
const SHRINKING = [
  { objects: MAX_OBJECT_REPORTS, chars: 512 },
  { objects: 5, chars: 256 },
  { objects: 1, chars: 128 },
  { objects: 0, chars: 128 },
] as const

/** The same observations within the status cap: the least important is dropped first, a workload never. Worst objects come first. */
export function fitStatus(observations: readonly WorkloadObservation[]): readonly WorkloadObservation[] {
  let fitted = observations.map((it) => shrink(it, MAX_OBJECT_REPORTS, MAX_MESSAGE_CHARS))
  for (const { objects, chars } of SHRINKING) {
    if (statusBytes(fitted as unknown as JsonObject[]) <= STATUS_MAX_BYTES) break
    fitted = fitted.map((it) => shrink(it, objects, chars))
  }
  return fitted
}

function shrink(it: WorkloadObservation, objects: number, chars: number): WorkloadObservation {
  const fits = it.objects.length <= objects && it.objects.every(({ message }) => message.length <= chars)
  if (fits && (it.failure?.message.length ?? 0) <= chars) return it
  return {
    ...it,
    ...(it.failure === undefined ? {} : { failure: { ...it.failure, message: it.failure.message.slice(0, chars) } }),
    objects: it.objects.slice(0, objects).map((report) => ({ ...report, message: report.message.slice(0, chars) })),
  }
}
