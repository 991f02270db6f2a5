/** Brings home every blob that a manifest needs, checked and stored, before the manifest itself is. What came stays, so a cut resumes. */
import type { Digest } from '../core/model/digest.ts'
import { asFault, Fault } from '../core/model/fault.ts'
import type { BlobDomain, Release } from '../core/model/release.ts'
import { acceptBlob, acceptRelease } from '../core/protocol/accept.ts'
import type { ManifestEntry, SiteManifest } from '../core/protocol/messages.ts'
import type { BlobBytes, HubLink } from '../core/protocol/ports.ts'
import { judgedLists } from './confirmed.ts'
import type { AgentStore } from './ports.ts'

const PARALLEL_BLOBS = 4
/** So many come home before they are written: one at a time is a sync of the disk each, and what is lost with one is soon fetched again. */
const WRITTEN_TOGETHER = 16

interface Need {
  readonly domain: BlobDomain
  readonly digest: Digest
}

/** Fault BlobMismatch, AgentTooOld, InvalidInput, or the link's. */
export async function stage(
  manifest: SiteManifest,
  inline: ReadonlyMap<Digest, BlobBytes>,
  link: HubLink,
  store: AgentStore,
  signal: AbortSignal,
): Promise<void> {
  const wanted = manifest.entries.flatMap((entry) => [
    entry,
    ...(entry.fallback === undefined ? [] : [{ ...entry, release: entry.fallback }]),
  ])
  await fetchAll(
    wanted.map(({ release }) => ({ domain: 'release', digest: release })),
    inline,
    link,
    store,
    signal,
  )
  const objects = wanted.flatMap((entry) => needsOf(releaseOf(entry, store)))
  if (manifest.config !== null) objects.push({ domain: 'config', digest: manifest.config })
  await fetchAll(objects, inline, link, store, signal)
  const judged = judgedLists(store)
  for (const digest of manifest.deletionsConfirmed) {
    if (judged.has(digest)) continue
    try {
      await fetchAll([{ domain: 'deletions', digest }], inline, link, store, signal)
    } catch (error) {
      // The site's own word for what its fuse stopped has no blob; and a list that the hub lost says yes to nothing.
      if (signal.aborted || asFault(error).reason !== 'NotFound') throw error
    }
  }
}

/** All blobs that a manifest names, as far as the store has its releases. */
export function blobsOf(manifest: SiteManifest, store: AgentStore): readonly Digest[] {
  const releases = manifest.entries.flatMap(({ release, fallback }) =>
    fallback === undefined ? [release] : [release, fallback],
  )
  const inside = manifest.entries.flatMap((entry) =>
    [entry.release, ...(entry.fallback === undefined ? [] : [entry.fallback])].flatMap((release) => {
      const bytes = store.blob('release', release)
      const read = bytes === undefined ? undefined : acceptRelease({ ...entry, release }, bytes)
      return read?.ok === true ? needsOf(read.value).map(({ digest }) => digest) : []
    }),
  )
  return [
    ...releases,
    ...inside,
    ...manifest.deletionsConfirmed,
    ...(manifest.config === null ? [] : [manifest.config]),
  ]
}

function releaseOf(entry: ManifestEntry, store: AgentStore): Release {
  const bytes = store.blob('release', entry.release)
  if (bytes === undefined) throw new Fault('StoreCorrupt', `the release ${entry.release} was stored and cannot be read`)
  const read = acceptRelease(entry, bytes)
  if (!read.ok) throw new Fault(read.reason, read.because)
  return read.value
}

function needsOf(release: Release): Need[] {
  return release.objects.map(({ blob, sealed }) => ({ domain: sealed === true ? 'sealed' : 'object', digest: blob }))
}

async function fetchAll(
  needs: readonly Need[],
  inline: ReadonlyMap<Digest, BlobBytes>,
  link: HubLink,
  store: AgentStore,
  signal: AbortSignal,
): Promise<void> {
  const missing = new Map<Digest, Need>()
  // Reading checks: a damaged blob is as good as none.
  for (const need of needs)
    if (!missing.has(need.digest) && store.blob(need.domain, need.digest) === undefined) missing.set(need.digest, need)
  const here = [...missing.values()].flatMap((need) => {
    const given = inline.get(need.digest)
    return given === undefined ? [] : [checked(need, given.bytes)]
  })
  if (here.length > 0) store.putBlobs(here)
  const left = [...missing.values()].filter(({ digest }) => !inline.has(digest))
  const home: ReturnType<typeof checked>[] = []
  const keep = (): void => {
    if (home.length > 0) store.putBlobs(home.splice(0))
  }
  let next = 0
  const worker = async (): Promise<void> => {
    for (let need = left[next++]; need !== undefined; need = left[next++]) {
      home.push(checked(need, await link.blob(need.domain, need.digest, signal)))
      if (home.length >= WRITTEN_TOGETHER) keep()
    }
  }
  try {
    await Promise.all(Array.from({ length: PARALLEL_BLOBS }, worker))
  } finally {
    keep()
  }
}

function checked({ domain, digest }: Need, bytes: Uint8Array): Need & { readonly bytes: Uint8Array } {
  const read = acceptBlob(domain, digest, bytes)
  if (!read.ok) throw new Fault(read.reason, read.because)
  return { domain, digest, bytes }
}
