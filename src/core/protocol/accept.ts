/** What a site takes for its desired state (PROTOCOL.md, Envelope and manifest). A refusal always means: keep what you have. */
import { digestBytes, type Digest } from '../model/digest.ts'
import { Fault, type FaultReason } from '../model/fault.ts'
import { compareGenerations, type Generation } from '../model/observation.ts'
import type { BlobDomain, Release } from '../model/release.ts'
import { opens, PAYLOAD_TYPES } from './envelope.ts'
import {
  bodyDigest,
  checkManifest,
  MANIFEST_CRITICAL,
  readManifestHead,
  unknownCritical,
  type Parsed,
} from './manifest.ts'
import type { Envelope, ManifestEntry, SiteManifest } from './messages.ts'
import { digest, list, parseJson, record, text } from './shape.ts'
import { judgeReleases, type ContentFloor } from './statement.ts'
import type { HubNow } from './time.ts'
import type { Trust } from './trust.ts'

/** The highest that this site accepted, ever. Kept in two places; a new box gets the old one's with its token. */
export interface Floor {
  readonly generation: Generation
  /** Digest (domain `manifest`) of the exact payload. */
  readonly body: Digest
  /** Where release signers were ever named. */
  readonly content?: ContentFloor
}

export interface AcceptInput {
  readonly envelope: Envelope
  readonly trust: Trust
  readonly site: string
  readonly siteId: string
  readonly floor: Floor | null
  readonly hubNow: HubNow
  readonly critical?: ReadonlySet<string>
}

export type Acceptance =
  | { readonly verdict: 'accept'; readonly manifest: SiteManifest; readonly floor: Floor }
  | { readonly verdict: 'current'; readonly manifest: SiteManifest; readonly floor: Floor }
  | {
      readonly verdict: 'refuse'
      readonly reason: FaultReason
      readonly because: string
      /** Of the refused one, where its signature held: what a report names. */
      readonly generation?: Generation
    }

/** Checks from the outside in: nothing of a payload is read before its signature holds. */
export function accept(input: AcceptInput): Acceptance {
  const { envelope, floor } = input
  const opened = opens(envelope, PAYLOAD_TYPES.manifest, input.trust.rings.manifest)
  if (!opened.ok) return { verdict: 'refuse', reason: 'SignatureInvalid', because: opened.because }
  const read = readManifestHead(envelope.payload)
  if (!read.ok) return { verdict: 'refuse', reason: read.reason, because: read.because }
  const { head, json } = read.value
  const { generation } = head
  const refuse = (reason: FaultReason, because: string): Acceptance => ({
    verdict: 'refuse',
    reason,
    because,
    generation,
  })

  // The id is what binds; a site that was renamed in Git is told so under its own id (ADR 0013).
  if (head.site !== input.site && !head.formerNames.includes(input.site))
    return refuse('WrongSite', `a manifest of site ${head.site}`)
  if (head.siteId !== input.siteId) return refuse('WrongSite', `a manifest of another ${head.site}, id ${head.siteId}`)
  const body = bodyDigest(envelope.payload)
  const order = floor === null ? 1 : compareGenerations(generation, floor.generation)
  if (order < 0) return refuse('OldGeneration', `${show(generation)} after ${show(floor!.generation)}`)
  if (order === 0 && body !== floor!.body) return refuse('ForkedHub', `another body for ${show(generation)}`)
  const unknown = unknownCritical(head, input.critical ?? MANIFEST_CRITICAL)
  if (unknown.length > 0) return refuse('AgentTooOld', `needs ${unknown.join(', ')}`)
  const checked = checkManifest(json)
  if (!checked.ok) return refuse(checked.reason, checked.because)
  const manifest = checked.value
  // Expiry bars what is new; what was accepted stays accepted, at boot too.
  if (order === 0) return { verdict: 'current', manifest, floor: floor! }
  if (input.hubNow.known === 'no') return refuse('HubClock', 'the hub has not said what time it is')
  if (input.hubNow.ms > Date.parse(manifest.expires)) return refuse('Expired', `expired at ${manifest.expires}`)
  const { critical, rings } = input.trust
  // Naming a signer gives it the right; `critical` makes its word a condition. No ring, no release: closed.
  const signed = critical.includes('release')
    ? judgeReleases(
        manifest.entries,
        manifest.statements ?? [],
        { site: head.site, goesBy: input.site },
        rings.release,
        floor?.content ?? {},
      )
    : undefined
  if (signed?.signed === 'no') return refuse(signed.reason, signed.because)
  const content = signed?.content ?? floor?.content
  return { verdict: 'accept', manifest, floor: { generation, body, ...(content === undefined ? {} : { content }) } }
}

/** A blob is what its name says in its domain, or nothing. */
export function acceptBlob(domain: BlobDomain, name: Digest, bytes: Uint8Array): Parsed<Uint8Array> {
  const found = digestBytes(domain, bytes)
  if (found === name) return { ok: true, value: bytes }
  return { ok: false, reason: 'BlobMismatch', because: `${domain} ${name} hashes to ${found}` }
}

/** Reads the release of an entry: its bytes hash to the name, and it is of the entry's own workload. */
export function acceptRelease(entry: ManifestEntry, bytes: Uint8Array): Parsed<Release> {
  const blob = acceptBlob('release', entry.release, bytes)
  if (!blob.ok) return blob
  try {
    const it = record(parseJson(bytes, 'the release'), 'release')
    if (it.format !== 1) return { ok: false, reason: 'AgentTooOld', because: `a release of another format than 1` }
    if (it.workload !== entry.workload)
      return {
        ok: false,
        reason: 'InvalidInput',
        because: `entry ${entry.workload} names a release of ${JSON.stringify(it.workload)}`,
      }
    text(it.namespace, 'release.namespace')
    record(it.rules, 'release.rules')
    list(it.dependsOn, 'release.dependsOn', 1_000)
    for (const [i, item] of list(it.objects, 'release.objects', 50_000).entries()) {
      const path = `release.objects[${i}]`
      const object = record(item, path)
      digest(object.blob, `${path}.blob`)
      text(object.apiVersion, `${path}.apiVersion`)
      const ref = record(object.ref, `${path}.ref`)
      for (const part of ['group', 'kind', 'namespace', 'name']) text(ref[part], `${path}.ref.${part}`)
    }
    return { ok: true, value: it as unknown as Release }
  } catch (error) {
    if (!(error instanceof Fault)) throw error
    return { ok: false, reason: error.reason, because: error.message }
  }
}

function show(generation: Generation): string {
  return `generation ${generation.epoch}.${generation.counter}`
}
