/** One site's manifest: made with its root digest, written as canonical bytes, read back bounded and with unknown fields kept. */
import { digestBytes, digestJson, type Digest } from '../model/digest.ts'
import { Fault, type FaultReason } from '../model/fault.ts'
import { byUtf16, canonicalJson, type Json, type JsonObject } from '../model/json.ts'
import type { Generation } from '../model/observation.ts'
import type { ManifestEntry, SiteManifest } from './messages.ts'
import {
  count,
  digest,
  generation,
  instantMs,
  invalid,
  list,
  oneOf,
  parseJson,
  record,
  siteIdText,
  siteName,
  text,
  textMap,
} from './shape.ts'
import { statementsOf } from './statement.ts'

/** A site of 5,000 entries of 350 bytes each, and room. */
export const MANIFEST_MAX_BYTES = 2 * 1024 * 1024
export const MANIFEST_MAX_ENTRIES = 5_000
const MAX_LISTED = 20_000
const MAX_KEYS = 1_000
const MAX_FORMER_NAMES = 64
const MAX_WINDOWS = 1_000

/** The fields and words that this code obeys: what `critical` may name. */
export const MANIFEST_CRITICAL: ReadonlySet<string> = new Set([
  'mode', 'entries', 'config', 'queues', 'keys', 'withdrawn', 'deletionsConfirmed', 'echo', 'statements',
  'release', 'order', 'startAfter', 'startBy', 'fallback', 'confirm', 'gates', 'windows',
]) // prettier-ignore

/** What `root` does not cover: they change with every publication, wanted or not. */
const OUTSIDE_ROOT: ReadonlySet<string> = new Set(['generation', 'revision', 'issued', 'expires', 'root'])

/** Digest of the whole body but for generation, revision, issued, expires and itself: a queue-only change is a change. */
export function rootOf(body: object): Digest {
  const inside = Object.entries(body).filter(([name]) => !OUTSIDE_ROOT.has(name)) as [string, Json | undefined][]
  return digestJson('root', Object.fromEntries(inside))
}

/** The body with its root. Unknown fields of `body` travel along and are under the root. */
export function makeManifest(body: Omit<SiteManifest, 'root'>): SiteManifest {
  return { ...body, root: rootOf(body) }
}

/** Canonical JSON: what is signed, stored and sent. */
export function manifestBytes(manifest: SiteManifest): Buffer {
  return Buffer.from(canonicalJson(manifest as unknown as JsonObject))
}

/** Both of these, with each part of the body written out once: a hub makes them by the thousand. */
export function writeManifest(body: Omit<SiteManifest, 'root'>): {
  readonly manifest: SiteManifest
  readonly payload: Buffer
} {
  const parts = Object.entries(body as unknown as JsonObject).flatMap(([name, value]) =>
    value === undefined ? [] : [{ name, text: `${JSON.stringify(name)}:${canonicalJson(value)}` }],
  )
  const written = (of: typeof parts): string => `{${of.map(({ text }) => text).join(',')}}`
  parts.sort((a, b) => byUtf16(a.name, b.name))
  const root = digestBytes('root', written(parts.filter(({ name }) => !OUTSIDE_ROOT.has(name))))
  const whole = [...parts, { name: 'root', text: `"root":"${root}"` }].sort((a, b) => byUtf16(a.name, b.name))
  return { manifest: { ...body, root }, payload: Buffer.from(written(whole)) }
}

/** Names the exact payload: what a floor and a delta's base are told by. */
export function bodyDigest(payload: Uint8Array): Digest {
  return digestBytes('manifest', payload)
}

/** The part that later versions may not change: enough to tell whose it is, how old, and what must be understood. */
export interface ManifestHead {
  readonly site: string
  readonly siteId: string
  readonly formerNames: readonly string[]
  readonly generation: Generation
  readonly critical: readonly string[]
  readonly root: Digest
}

export type Parsed<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly reason: FaultReason; readonly because: string }

/** The head alone, of a payload whose rest may be of a later version. */
export function readManifestHead(
  payload: Uint8Array,
): Parsed<{ readonly head: ManifestHead; readonly json: JsonObject }> {
  return attempt(() => {
    if (payload.length > MANIFEST_MAX_BYTES) throw new Fault('TooLarge', `a manifest of ${payload.length} bytes`)
    const json = record(parseJson(payload, 'the manifest'), 'manifest')
    const head = {
      site: siteName(json.site, 'site'),
      siteId: siteIdText(json.siteId, 'siteId'),
      formerNames: list(json.formerNames ?? [], 'formerNames', MAX_FORMER_NAMES).map((name, i) =>
        siteName(name, `formerNames[${i}]`),
      ),
      generation: generation(json.generation, 'generation'),
      critical: list(json.critical, 'critical', 64).map((name, i) => text(name, `critical[${i}]`)),
      root: digest(json.root, 'root'),
    }
    return { head, json }
  })
}

/** The whole manifest with every known field checked, the root recomputed, unknown fields as they came. */
export function parseManifest(payload: Uint8Array): Parsed<SiteManifest> {
  const read = readManifestHead(payload)
  return read.ok ? checkManifest(read.value.json) : read
}

export function checkManifest(json: JsonObject): Parsed<SiteManifest> {
  return attempt(() => {
    const digests = (name: string): Digest[] =>
      list(json[name], name, MAX_LISTED).map((item, i) => digest(item, `${name}[${i}]`))
    text(json.revision, 'revision', 128)
    if (instantMs(json.issued, 'issued') > instantMs(json.expires, 'expires')) invalid('expires', 'after issued')
    oneOf(json.mode, 'mode', ['enforce', 'observe'])
    if (json.config !== null) digest(json.config, 'config')
    record(json.queues, 'queues')
    if (json.echo !== undefined) record(json.echo, 'echo')
    if (json.statements !== undefined) statementsOf(json)
    const windows = windowsOf(json)
    const known = {
      entries: entriesOf(json, windows),
      keys: textMap(json.keys, 'keys', MAX_KEYS, 4096),
      withdrawn: digests('withdrawn'),
      deletionsConfirmed: digests('deletionsConfirmed'),
    }
    if (rootOf(json) !== json.root) invalid('root', 'the digest of this body')
    return { ...(json as unknown as SiteManifest), ...known }
  })
}

/** Names of the windows that entries may name. */
function windowsOf(json: JsonObject): ReadonlySet<string> {
  const windows = Object.entries(record(json.windows ?? {}, 'windows'))
  if (windows.length > MAX_WINDOWS) throw new Fault('TooLarge', `more than ${MAX_WINDOWS} windows`)
  for (const [name, item] of windows) {
    const path = `windows.${name.slice(0, 64)}`
    const it = record(item, path)
    oneOf(it.effect, `${path}.effect`, ['allow', 'deny'])
    oneOf(it.overrun, `${path}.overrun`, ['finish', 'stop'])
    text(it.timeZone, `${path}.timeZone`, 64)
    if (it.schedule === undefined) {
      count(it.fromMs, `${path}.fromMs`)
      count(it.untilMs, `${path}.untilMs`)
    } else {
      text(it.schedule, `${path}.schedule`)
      if (count(it.durationMs, `${path}.durationMs`) === 0) invalid(`${path}.durationMs`, 'above 0')
    }
  }
  return new Set(windows.map(([name]) => name))
}

function entriesOf(json: JsonObject, windows: ReadonlySet<string>): ManifestEntry[] {
  const seen = new Set<string>()
  return list(json.entries, 'entries', MANIFEST_MAX_ENTRIES).map((item, i) => {
    const path = `entries[${i}]`
    const entry = record(item, path)
    const workload = text(entry.workload, `${path}.workload`)
    if (workload === '' || seen.has(workload)) invalid(`${path}.workload`, 'a name of its own')
    seen.add(workload)
    generation(entry.since, `${path}.since`)
    digest(entry.release, `${path}.release`)
    count(entry.order, `${path}.order`)
    instantMs(entry.startAfter, `${path}.startAfter`)
    instantMs(entry.startBy, `${path}.startBy`)
    if (entry.fallback !== undefined) digest(entry.fallback, `${path}.fallback`)
    if (entry.confirm !== undefined) oneOf(entry.confirm, `${path}.confirm`, ['uplink'])
    for (const gate of list(entry.gates, `${path}.gates`, MAX_WINDOWS))
      if (!windows.has(text(gate, `${path}.gates`))) invalid(`${path}.gates`, 'the name of a window of this manifest')
    return entry as unknown as ManifestEntry
  })
}

/** Names in `critical` that are not in `known`. */
export function unknownCritical(head: ManifestHead, known: ReadonlySet<string> = MANIFEST_CRITICAL): readonly string[] {
  return head.critical.filter((name) => !known.has(name))
}

function attempt<T>(read: () => T): Parsed<T> {
  try {
    return { ok: true, value: read() }
  } catch (error) {
    if (!(error instanceof Fault)) throw error
    return { ok: false, reason: error.reason, because: error.message }
  }
}
