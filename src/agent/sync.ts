/** One exchange with the hub: say what changed, judge what comes back, store it whole, and only then let it count. */
import { randomBytes } from 'node:crypto'
import { readPast } from '../core/batch/past.ts'
import { asFault, Fault } from '../core/model/fault.ts'

import { accept } from '../core/protocol/accept.ts'
import { spkiOf } from '../core/protocol/envelope.ts'
import { readManifestHead } from '../core/protocol/manifest.ts'
import { type Envelope, PROTOCOL_VERSION, type SiteManifest, type SyncUp } from '../core/protocol/messages.ts'
import type { HubLink, SyncAnswer } from '../core/protocol/ports.ts'
import { judgeTime, NONCE_BYTES, timeSubject } from '../core/protocol/time.ts'
import { acceptTrust, type Trust } from '../core/protocol/trust.ts'
import type { Asks } from './asks/room.ts'
import type { Facts } from './facts.ts'
import type { HubClock } from './hub-time.ts'
import type { Outbox } from './outbox.ts'
import type { SiteIdentity } from './ports.ts'
import type { Reconciler } from './reconcile.ts'
import { createKeyring } from './renew.ts'
import type { ReconcileDeps } from './settled.ts'
import type { Bell } from '../runtime/bell.ts'
import { blobsOf, stage } from './stage.ts'
import { agedObservations, setCondition } from './turn-state.ts'

/** In one exchange: the root's word, the key, and what a hub of before the renewal knew. */
const MOST_RESCUES = 3

export interface SyncDeps extends ReconcileDeps {
  readonly link: HubLink
  readonly outbox: Outbox
  readonly facts: Facts
  readonly asks: Asks
  readonly hubClock: HubClock
  readonly reconciler: Reconciler
  readonly boot: string
  /** A call to the hub is due sooner than was thought. */
  readonly urgent: Bell
  /** A newer manifest is stored: turns act on it from now on. */
  onManifest(): void
}

export interface Exchanged {
  readonly nextDueMs: number
}

export interface SyncSite {
  exchange(signal: AbortSignal): Promise<Exchanged>
  /** As the identity's statement and those after it say. */
  trust(): Trust
}

/** Fault KeyUnknown where this site was never enrolled; those of the link and the store otherwise. */
export function createSync(deps: SyncDeps): SyncSite {
  const { ports, state, link, outbox, hubClock, reconciler } = deps
  const { store, clock, machine } = ports
  const keyring = createKeyring(ports, identityOf(deps), () => hubClock.now())
  /** A statement that our root does not lead to directly: the chain in between is asked for. */
  let missing: Fault | undefined
  /** The hub asked to be shown the manifest that this site has. */
  let toShow = false

  function up(nonce: string): SyncUp {
    const current = reconciler.manifest()
    const { seq, observations, goneWorkloads, items, dropped } = outbox.next(
      agedObservations(state, deps.observer.blindSinceMs() ?? clock.monotonicMs()),
    )
    const have =
      current === undefined
        ? null
        : { generation: current.stored.generation, root: current.manifest.root, body: current.stored.body }
    return {
      v: PROTOCOL_VERSION,
      site: keyring.identity().site,
      siteId: keyring.identity().siteId,
      agent: deps.options.version,
      boot: deps.boot,
      storeEpoch: store.storeEpoch,
      have,
      clockMs: Math.floor(clock.nowMs()),
      nonce,
      seq,
      observations,
      ...(goneWorkloads.length === 0 ? {} : { goneWorkloads }),
      outbox: items,
      ...(dropped === undefined ? {} : { dropped }),
      conditions: [...state.conditions.values()],
      trust: keyring.trust().version,
      ...deps.facts.next(),
      ...(toShow && current !== undefined ? { held: shown(current.stored.envelope) } : {}),
    }
  }

  async function exchange(signal: AbortSignal): Promise<Exchanged> {
    for (let rescues = 0; ; rescues++) {
      try {
        const done = await once(signal)
        if (missing === undefined || rescues >= MOST_RESCUES || !(await keyring.rescue(missing, signal))) {
          await keyring.used(signal)
          return done
        }
      } catch (error) {
        const fault = asFault(error)
        if (rescues >= MOST_RESCUES || !(await keyring.rescue(fault, signal))) throw fault
      }
    }
  }

  async function once(signal: AbortSignal): Promise<Exchanged> {
    missing = undefined
    deps.asks.recover()
    const nonce = randomBytes(NONCE_BYTES).toString('base64url')
    const sent = up(nonce)
    const bases = {
      manifest: reconciler.manifest()?.stored.envelope.payload,
      blob: (...named: Parameters<typeof store.blob>) => store.blob(...named),
    }
    const sentMonotonicMs = machine.uptimeMs()
    deps.uplink.asked(sentMonotonicMs)
    const answer = await link.sync(sent, bases, signal).catch((error: unknown) => {
      deps.uplink.missed(error, sentMonotonicMs)
      throw error
    })
    deps.uplink.reached(sentMonotonicMs)
    state.counts.syncs += 1
    state.counts.bytesUp += answer.bytes.up
    state.counts.bytesDown += answer.bytes.down
    setCondition(state, 'Link', null, clock.nowMs())
    if (answer.trust !== undefined) takeTrust(answer.trust)
    // What is no answer to this very message acknowledges nothing.
    if (takeTime(sent, sentMonotonicMs, answer) === 'answers') {
      outbox.acknowledged(answer.head.ack, answer.head.ackOutbox)
      deps.facts.acknowledged()
    }
    if (answer.head.asks?.some(({ kind }) => kind === 'facts') === true) deps.facts.asked()
    toShow = answer.head.asks?.some(({ kind }) => kind === 'manifest') === true
    // Before the manifest is taken that names the same jobs again.
    deps.batch.learn(readPast(answer.head.asks))
    // By a time that is not believed nothing can be said to be in time.
    if (!state.conditions.has('Clock'))
      deps.asks.take(answer.head.asks, { ...keyring.identity(), trust: keyring.trust() })
    if (answer.manifest !== undefined) await takeManifest(answer, signal)
    else setCondition(state, 'Manifest', null, clock.nowMs())
    return { nextDueMs: answer.head.nextDueMs }
  }

  function takeTrust(statement: NonNullable<SyncAnswer['trust']>): void {
    const trust = keyring.trust()
    const read = acceptTrust(statement, trust.root, trust)
    if (read.verdict === 'refuse') {
      if (read.reason === 'SignatureInvalid') missing = new Fault(read.reason, read.because)
      return refused(read.reason, read.because)
    }
    if (read.verdict === 'current') return
    // The pin moves with the root that signed: a statement may hand over to the next one.
    const root = spkiOf(trust.root).toString('base64')
    keyring.moved({ ...keyring.identity(), trust: statement, root }, read.trust)
  }

  /** Its signature is over this message's nonce. */
  function takeTime(
    sent: SyncUp,
    sentMonotonicMs: number,
    { head, manifest, timeSignature }: SyncAnswer,
  ): 'answers' | 'does not' {
    const told = manifest === undefined ? undefined : readManifestHead(manifest.payload)
    const subject = timeSubject(told?.ok === true ? told.value.head : undefined, sent.have)
    const judged = judgeTime({
      statement: {
        siteId: keyring.identity().siteId,
        nonce: sent.nonce,
        timeMs: head.time.timeMs,
        timeEpoch: head.time.timeEpoch,
        generation: subject.generation,
        root: subject.root,
      },
      keyid: head.time.keyid,
      sig: timeSignature,
      trust: keyring.trust(),
      held: hubClock.held(),
      monotonicMs: machine.uptimeMs(),
      sentMonotonicMs,
      boot: machine.bootId,
    })
    if (judged.verdict === 'accept') {
      hubClock.learn(judged.time)
      setCondition(state, 'Clock', null, clock.nowMs())
      return 'answers'
    }
    setCondition(state, 'Clock', { reason: judged.reason, message: judged.because }, clock.nowMs())
    return judged.reason === 'SignatureInvalid' ? 'does not' : 'answers'
  }

  async function takeManifest(answer: SyncAnswer, signal: AbortSignal): Promise<void> {
    const { manifest: envelope } = answer
    if (envelope === undefined) return
    const { site, siteId } = keyring.identity()
    const trust = keyring.trust()
    const verdict = accept({ envelope, trust, site, siteId, floor: store.floor(), hubNow: hubClock.now() })
    if (verdict.verdict === 'refuse') return refused(verdict.reason, verdict.because)
    const { manifest, floor } = verdict
    try {
      await stage(manifest, answer.blobs, link, store, signal)
    } catch (error) {
      if (signal.aborted) throw error
      const fault = asFault(error)
      if (fault.reason.startsWith('Store')) throw fault
      setCondition(state, 'Manifest', fault, clock.nowMs())
      // What is wrong with the bytes is the hub's to mend; what the link lost is fetched again soon.
      if (fault.retry === 'on-change' || fault.reason === 'BlobMismatch') return
      throw fault
    }
    const { generation, body, content } = floor
    const kept = content === undefined ? {} : { content }
    // First: a cut between the two is made good when the manifest is told again.
    keyring.renamed(manifest.site)
    store.accept({ envelope, generation, body, acceptedAtMs: clock.nowMs(), ...kept })
    setCondition(state, 'Manifest', null, clock.nowMs())
    sweep()
    deps.onManifest()
  }

  /** The site keeps what it has, and says why. */
  function refused(reason: Fault['reason'], message: string): void {
    state.counts.refused += 1
    ports.log.warn({ reason, because: message }, 'refused what the hub sent')
    setCondition(state, 'Manifest', { reason, message }, clock.nowMs())
  }

  /** Keeps what the last two manifests name, what runs here, and what was applied last. */
  function sweep(): void {
    const keep = new Set<Parameters<typeof store.has>[0]>()
    const keepRelease = (release: Parameters<typeof store.has>[0]): void => {
      keep.add(release)
      for (const { blob } of reconciler.library.pastRelease(release)?.objects ?? []) keep.add(blob)
    }
    for (const { envelope } of store.manifests()) {
      const read = readManifestHead(envelope.payload)
      if (read.ok) for (const digest of blobsOf(read.value.json as unknown as SiteManifest, store)) keep.add(digest)
    }
    for (const { release, previous } of store.workloads().values()) {
      keepRelease(release)
      if (previous !== undefined) keepRelease(previous)
    }
    for (const { release } of deps.words.pins().values()) keepRelease(release)
    for (const entry of store.inventory().values())
      if (entry.state === 'owned' && entry.applied !== null) keep.add(entry.applied)
    store.sweep(keep)
  }

  return { exchange, trust: () => keyring.trust() }
}

function identityOf({ ports }: SyncDeps): SiteIdentity {
  const identity = ports.store.identity()
  if (identity === null)
    throw new Fault('KeyUnknown', 'this site is not enrolled: run the line that `token create` prints')
  return identity
}

function shown({ payload, signatures }: Envelope): NonNullable<SyncUp['held']> {
  return {
    payload: Buffer.from(payload).toString('base64'),
    signatures: signatures.map(({ keyid, sig }) => ({ keyid, sig: Buffer.from(sig).toString('base64') })),
  }
}
