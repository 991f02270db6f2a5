/**
 * Blobs that nothing names any more go from the store, a grace after they were found so, and with a release what was signed for it.
 * What keeps one: a release that some
 * rollout means a site to have, or that an entry names, named lately, or may go back to: the manifests that a site may still ask
 * for name no others. Runs between two looks at Git, so that no revision counts on a blob that is about to go.
 */
import type { Digest } from '../core/model/digest.ts'
import type { Logger } from '../runtime/logger.ts'
import type { Releases } from './releases.ts'
import type { Signed } from './signed.ts'
import type { World } from './world.ts'

/** A revert within a week finds its blobs, and so does a site that is slow to fetch. */
export const BLOB_GRACE_MS = 7 * 86_400_000
/** Between two sweeps. */
const SWEEP_EVERY_MS = 86_400_000
const PAGE = 5_000

export interface SweepParts {
  readonly world: World
  readonly releases: Releases
  readonly signed: Signed
  readonly nowMs: () => number
  readonly log: Logger
}

/** Once a day, also over restarts. */
export function isSweepDue(world: World, nowMs: number): boolean {
  const swept = world.meta.get('sweptAtMs')
  return swept === undefined || Number(swept) + SWEEP_EVERY_MS <= nowMs
}

/** How many blobs are unused and wait, and how many went. */
export async function sweepBlobs({
  world,
  releases,
  signed,
  nowMs,
  log,
}: SweepParts): Promise<{ waiting: number; gone: number }> {
  const used = await usedBlobs(world, releases)
  const waiting = await world.store.unusedBlobs()
  const fresh = new Set<Digest>()
  for (let after = ''; ;) {
    const page = await world.store.blobNames(after, PAGE)
    for (const digest of page) if (!used.has(digest) && !waiting.has(digest)) fresh.add(digest)
    after = page.at(-1) ?? ''
    if (page.length < PAGE) break
  }
  // What was signed for before any revision named it waits as long, and is gone with what is signed for it.
  for (const release of signed.releases()) if (!used.has(release) && !waiting.has(release)) fresh.add(release)
  const now = nowMs()
  const usedAgain = [...waiting.keys()].filter((digest) => used.has(digest))
  const gone = [...waiting].flatMap(([digest, sinceMs]) =>
    !used.has(digest) && sinceMs <= now - BLOB_GRACE_MS ? [digest] : [],
  )
  const spent = signed.spent(new Set(gone))
  await world.turn((commit) =>
    commit({
      meta: { sweptAtMs: String(now) },
      blobsUnused: [...fresh].map((digest) => ({ digest, sinceMs: now })),
      blobsUsed: usedAgain,
      blobsGone: gone,
      statementsGone: spent,
    }),
  )
  signed.forget(spent)
  if (gone.length > 0) log.info({ blobs: gone.length, statements: spent.length }, 'unused blobs went')
  releases.forget(gone)
  return { waiting: waiting.size + fresh.size - usedAgain.length - gone.length, gone: gone.length }
}

async function usedBlobs(world: World, releases: Releases): Promise<ReadonlySet<Digest>> {
  const named = new Set<Digest>()
  for (const { spec, next } of world.rollouts.values())
    for (const targets of next === null ? [spec.targets] : [spec.targets, next.targets])
      for (const digest of targets.values()) named.add(digest)
  await world.openBooks()
  for (const book of world.books.values()) {
    for (const { entry } of book.values()) {
      if (entry === null) continue
      for (const digest of [entry.release, ...entry.previous, ...entry.good]) named.add(digest)
    }
  }
  const used = new Set<Digest>(named)
  for (const digest of named) for (const blob of (await releases.known(digest)).blobs.keys()) used.add(blob)
  return used
}
