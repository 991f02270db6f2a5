/**
 * Who may write here: a Lease in the agent's namespace. Two agents with one identity never both write: each write is sent only
 * while the lease is surely ours by the monotonic clock, and another takes it only after it was silent for longer.
 */
import type { Cluster, DeleteOptions } from '../core/kube/cluster.ts'
import { asFault, Fault } from '../core/model/fault.ts'
import type { Manifest } from '../core/model/object.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Logger } from '../runtime/logger.ts'
import type { LeasePort } from './ports.ts'

export const LEASE_MS = 60_000
/** Three may be lost before it ends. */
export const RENEW_MS = 15_000
/** What a request that was sent in time may take to arrive. */
const MARGIN_MS = 10_000
const RETRY_MS = 2_000
const API_VERSION = 'coordination.k8s.io/v1'
/** Which store the holder has: the next process on the same store knows that the last one ended. */
const STORE = 'flotilla.dev/store'

export interface Lease extends LeasePort {
  /** Ms until it is to be called again. Faults are met inside. */
  renew(signal: AbortSignal): Promise<number>
  /** Whoever comes next need not wait. Nothing where it is not ours. Faults are met inside. */
  release(signal: AbortSignal): Promise<void>
  /** Takes it from whoever has it: who stands over a new version that did not prove itself. */
  seize(signal: AbortSignal): Promise<void>
}

export interface LeaseOptions {
  readonly place: { readonly namespace: string; readonly name: string }
  /** Of this process. */
  readonly holder: string
  /** Of the store that this process has the lock of; a copy of it has another. */
  readonly storeId: string
  /** It was gained or lost. */
  readonly onChange: () => void
}

export function createLease(
  { cluster, clock, log }: { readonly cluster: Cluster; readonly clock: Clock; readonly log: Logger },
  { place, holder, storeId, onChange }: LeaseOptions,
): Lease {
  const kind = { apiVersion: API_VERSION, kind: 'Lease' }
  const ref = { group: 'coordination.k8s.io', kind: 'Lease', ...place }
  let sureUntilMs = -Infinity
  let other: string | null = null
  let because = 'the lease was not asked for yet'
  /** How the other one looked, and since when it looks so. */
  let seen: { readonly text: string; readonly sinceMs: number } | undefined
  let first = true
  /** As our last write left it: renewing needs no reading while nobody else wrote. */
  let mine: Manifest | undefined

  const isSure = (): boolean => clock.monotonicMs() < sureUntilMs

  function gained(startMs: number): number {
    const news = !isSure()
    sureUntilMs = startMs + LEASE_MS - MARGIN_MS
    other = null
    seen = undefined
    if (news) onChange()
    return RENEW_MS
  }

  function lost(by: string): void {
    const news = isSure() || other !== by
    sureUntilMs = -Infinity
    other = by
    because = `${by} holds the lease ${place.namespace}/${place.name}`
    if (!news) return
    log.warn({ by }, 'another agent may write here, this one may not')
    onChange()
  }

  function body(live: Manifest | undefined): Manifest {
    const before = specOf(live)
    const now = new Date(clock.nowMs()).toISOString().replace('Z', '000Z')
    const same = before.holderIdentity === holder
    const { resourceVersion } = live?.metadata ?? {}
    return {
      ...kind,
      metadata: {
        ...place,
        annotations: { [STORE]: storeId },
        ...(resourceVersion === undefined ? {} : { resourceVersion }),
      },
      spec: {
        holderIdentity: holder,
        leaseDurationSeconds: LEASE_MS / 1000,
        // For people: nobody decides by these.
        acquireTime: same ? (before.acquireTime ?? now) : now,
        renewTime: now,
        leaseTransitions: (before.leaseTransitions ?? 0) + (same || live === undefined ? 0 : 1),
      },
    }
  }

  async function write(live: Manifest | undefined, signal: AbortSignal): Promise<Manifest> {
    const { metadata, ['spec']: spec } = body(live)
    // A resourceVersion in a merge patch is its precondition.
    if (live !== undefined) return cluster.patch(kind, ref, { metadata, spec }, {}, signal)
    try {
      return await cluster.create(body(undefined), {}, signal)
    } catch (error) {
      if (asFault(error).reason !== 'NotFound') throw error
      const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: place.namespace } }
      await cluster.create(namespace, {}, signal)
      return cluster.create(body(undefined), {}, signal)
    }
  }

  /** The other one's, as long as it changes now and then. */
  function mayTake(live: Manifest): boolean {
    const { holderIdentity = '', leaseDurationSeconds = LEASE_MS / 1000 } = specOf(live)
    if (holderIdentity === '' || holderIdentity === holder) return true
    // The lock of the store is ours, so whoever had it before has ended. Only at first: two copies of one store must not take turns.
    if (first && live.metadata.annotations?.[STORE] === storeId) return true
    const text = `${holderIdentity} ${live.metadata.resourceVersion ?? ''}`
    const nowMs = clock.monotonicMs()
    if (seen?.text !== text) seen = { text, sinceMs: nowMs }
    return nowMs - seen.sinceMs > leaseDurationSeconds * 1000
  }

  async function renew(signal: AbortSignal): Promise<number> {
    const startMs = clock.monotonicMs()
    try {
      const live = mine ?? (await cluster.get(kind, ref, signal))
      if (live !== undefined && !mayTake(live)) {
        lost(specOf(live).holderIdentity ?? '')
        first = false
        return RENEW_MS / 3
      }
      mine = await write(live, signal)
      first = false
      return gained(startMs)
    } catch (error) {
      const known = mine
      mine = undefined
      if (signal.aborted) return 0
      // Somebody wrote it since: who, is read at once.
      if (known !== undefined && asFault(error).reason === 'Conflict') return renew(signal)
      const fault = asFault(error)
      because = `the lease cannot be renewed: ${fault.reason}: ${fault.message}`
      log.debug({ reason: fault.reason, because: fault.message }, 'the lease was not renewed')
      if (!isSure()) onChange()
      return Math.max(RETRY_MS, fault.retryAfterMs ?? 0)
    }
  }

  return {
    state: () => (isSure() ? { held: 'yes' } : { held: 'no', by: other, because }),
    renew,
    async release(signal) {
      const { resourceVersion } = mine?.metadata ?? {}
      if (!isSure() || resourceVersion === undefined) return
      sureUntilMs = -Infinity
      because = 'the lease was given back'
      await cluster
        .patch(kind, ref, { metadata: { resourceVersion }, spec: { holderIdentity: '' } }, {}, signal)
        .catch((error: unknown) => log.debug({ reason: asFault(error).reason }, 'the lease was not given back'))
    },
    async seize(signal) {
      mine = await write(await cluster.get(kind, ref, signal), signal)
    },
  }
}

interface LeaseSpec {
  readonly holderIdentity?: string
  readonly leaseDurationSeconds?: number
  readonly acquireTime?: string
  readonly leaseTransitions?: number
}

function specOf(lease: Manifest | undefined): LeaseSpec {
  return (lease?.['spec'] ?? {}) as LeaseSpec
}

/** The same cluster, whose writes are sent only under the lease. Fault Stale. Dry runs write nothing. */
export function fenced(cluster: Cluster, lease: LeasePort): Cluster {
  const guard = (dryRun: boolean | undefined): void => {
    if (dryRun === true) return
    const state = lease.state()
    if (state.held === 'no') throw new Fault('Stale', `nothing may be written: ${state.because}`)
  }
  return {
    kind: (name, signal) => cluster.kind(name, signal),
    preferred: (group, kind, signal) => cluster.preferred(group, kind, signal),
    kinds: (signal) => cluster.kinds(signal),
    get: (name, ref, signal) => cluster.get(name, ref, signal),
    list: (query, signal) => cluster.list(query, signal),
    pages: (query, signal) => cluster.pages(query, signal),
    watch: (query, from, signal) => cluster.watch(query, from, signal),
    log: (pod, options, signal) => cluster.log(pod, options, signal),
    async exec(pod, options, signal) {
      guard(false)
      return cluster.exec(pod, options, signal)
    },
    async create(manifest, options, signal) {
      guard(options.dryRun)
      return cluster.create(manifest, options, signal)
    },
    async apply(manifest, options, signal) {
      guard(options.dryRun)
      return cluster.apply(manifest, options, signal)
    },
    async patch(name, ref, patch, options, signal) {
      guard(options.dryRun)
      return cluster.patch(name, ref, patch, options, signal)
    },
    async subresource(name, ref, subresource, body, signal) {
      guard(false)
      return cluster.subresource(name, ref, subresource, body, signal)
    },
    async delete(name, ref, options: DeleteOptions, signal) {
      guard(options.dryRun)
      return cluster.delete(name, ref, options, signal)
    },
    as: (account) => fenced(cluster.as(account), lease),
    close: () => cluster.close(),
  }
}
