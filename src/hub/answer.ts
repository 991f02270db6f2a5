/** What goes down in one exchange: the manifest where the site's is not current, and the small blobs it lacks. */
import type { Digest } from '../core/model/digest.ts'
import { seal, PAYLOAD_TYPES, type SigningKey } from '../core/protocol/envelope.ts'
import { INLINE_BLOB_MAX_BYTES, INLINE_TOTAL_MAX_BYTES } from '../core/protocol/limits.ts'
import type { Envelope, SiteManifest, SyncUp } from '../core/protocol/messages.ts'
import type { SyncReply } from '../core/protocol/ports.ts'
import type { Releases } from './releases.ts'
import type { HubStore, ManifestRecord, SiteRecord } from './store.ts'

/** Blobs and envelopes kept: in a wave thousands of sites ask for the same few. */
const KEPT_BLOB_BYTES = 64 * 1024 * 1024
const KEPT_ENVELOPES = 1_000
/** Blobs named in one answer; the site asks for the rest. */
const MOST_BLOBS = 1_000

type Blob = NonNullable<Awaited<ReturnType<HubStore['blob']>>>

export interface Answers {
  /** Present iff what the site has is not what it should have. */
  manifest(site: SiteRecord, have: SyncUp['have']): Promise<Told | undefined>
  /** `want`: blobs that the site says it lacks of what it was told. */
  blobs(site: SiteRecord, told: Told | undefined, want: readonly Digest[]): Promise<SyncReply['blobs']>
  /** Whether this site was ever told of this blob by a manifest that is kept. */
  mayRead(site: SiteRecord, digest: Digest): Promise<boolean>
  blob(digest: Digest): Promise<Blob | undefined>
}

export interface Told {
  readonly reply: NonNullable<SyncReply['manifest']>
  readonly record: ManifestRecord
  readonly base: ManifestRecord | undefined
}

export function createAnswers(store: HubStore, releases: Releases, signer: SigningKey): Answers {
  /** Promises, so that a thousand sites that ask at once read a blob once. */
  const blobs = new Map<Digest, Promise<Blob | undefined>>()
  const envelopes = new Map<Digest, Envelope>()
  const sizes = new Map<Digest, number>()
  let blobBytes = 0

  const blob = (digest: Digest): Promise<Blob | undefined> => {
    const known = blobs.get(digest)
    if (known !== undefined) return known
    const reading = read(digest)
    blobs.set(digest, reading)
    return reading
  }
  const read = async (digest: Digest): Promise<Blob | undefined> => {
    try {
      const found = await store.blob(digest)
      if (found === undefined) blobs.delete(digest)
      else keep(digest, found.bytes.length)
      return found
    } catch (error) {
      blobs.delete(digest)
      throw error
    }
  }
  /** The oldest that were read go first, until there is room. */
  const keep = (digest: Digest, bytes: number): void => {
    sizes.set(digest, bytes)
    blobBytes += bytes
    for (const [oldest, size] of sizes) {
      if (blobBytes <= KEPT_BLOB_BYTES || oldest === digest) break
      sizes.delete(oldest)
      blobs.delete(oldest)
      blobBytes -= size
    }
  }

  /** Signed when first asked for: a site that is dark costs no signature. */
  const envelope = ({ body, payload }: ManifestRecord): Envelope => {
    const known = envelopes.get(body)
    if (known !== undefined) return known
    const made = seal(PAYLOAD_TYPES.manifest, payload, [signer])
    const oldest = envelopes.keys().next().value
    if (envelopes.size >= KEPT_ENVELOPES && oldest !== undefined) envelopes.delete(oldest)
    envelopes.set(body, made)
    return made
  }

  return {
    async manifest(site, have) {
      const { current } = site
      if (current === null || site.fork !== null || have?.body === current.body) return undefined
      const record = await store.manifest(site.name, current.body)
      if (record === undefined) return undefined
      const base = have === null ? undefined : await store.manifest(site.name, have.body)
      const reply = {
        envelope: envelope(record),
        body: record.body,
        ...(base === undefined ? {} : { base: { digest: base.body, payload: base.payload } }),
      }
      return { reply, record, base }
    },
    async blobs(site, told, want) {
      if (told === undefined && want.length === 0) return []
      const record = told?.record ?? (await currentOf(store, site))
      if (record === undefined) return []
      const needed = await lacking(releases, record, told?.base, want)
      const out: SyncReply['blobs'][number][] = []
      let total = 0
      for (const { digest, base } of needed) {
        if (out.length >= MOST_BLOBS || total >= INLINE_TOTAL_MAX_BYTES) break
        const found = await blob(digest)
        if (found === undefined || found.bytes.length > INLINE_BLOB_MAX_BYTES) continue
        if (total + found.bytes.length > INLINE_TOTAL_MAX_BYTES) continue
        total += found.bytes.length
        const old = base === undefined ? undefined : await blob(base)
        const from = base === undefined || old === undefined ? {} : { base: { digest: base, bytes: old.bytes } }
        out.push({ domain: found.domain, digest, bytes: found.bytes, ...from })
      }
      return out
    },
    async mayRead(site, digest) {
      const kept = [site.current?.body, site.have?.body].filter((body) => body !== undefined)
      for (const body of new Set(kept)) {
        const record = await store.manifest(site.name, body)
        if (record === undefined) continue
        const { entries, deletionsConfirmed } = bodyOf(record)
        if (deletionsConfirmed.includes(digest)) return true
        for (const { release } of entries) {
          if (release === digest || (await releases.known(release)).blobs.has(digest)) return true
        }
      }
      return false
    },
    blob,
  }
}

async function currentOf(store: HubStore, site: SiteRecord): Promise<ManifestRecord | undefined> {
  return site.current === null ? undefined : store.manifest(site.name, site.current.body)
}

function bodyOf(record: ManifestRecord): SiteManifest {
  return JSON.parse(Buffer.from(record.payload).toString()) as SiteManifest
}

/** Blobs of the new manifest that its base did not name, each with what resembles it there; and those that the site asks for. */
async function lacking(
  releases: Releases,
  record: ManifestRecord,
  base: ManifestRecord | undefined,
  want: readonly Digest[],
): Promise<readonly { readonly digest: Digest; readonly base: Digest | undefined }[]> {
  const had = new Set<Digest>()
  const like = new Map<string, Digest>()
  const before = base === undefined ? undefined : bodyOf(base)
  for (const entry of before?.entries ?? []) {
    const facts = await releases.known(entry.release)
    for (const [digest, { domain, ref }] of facts.blobs) {
      had.add(digest)
      // An encrypted document shares nothing with its next version.
      if (domain !== 'sealed') like.set(`${entry.workload} ${domain} ${ref}`, digest)
    }
  }
  const asked = new Set(want)
  const out = new Map<Digest, Digest | undefined>()
  const { entries, deletionsConfirmed } = bodyOf(record)
  for (const digest of deletionsConfirmed) {
    const isNew = before?.deletionsConfirmed.includes(digest) !== true
    if (want.length === 0 ? isNew : asked.has(digest)) out.set(digest, undefined)
  }
  for (const entry of entries) {
    const facts = await releases.known(entry.release)
    for (const [digest, { domain, ref }] of facts.blobs) {
      if (asked.has(digest)) out.set(digest, undefined)
      else if (want.length === 0 && !had.has(digest) && !out.has(digest))
        out.set(digest, like.get(`${entry.workload} ${domain} ${ref}`))
    }
  }
  return [...out].map(([digest, from]) => ({ digest, base: from }))
}
