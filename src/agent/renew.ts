/** Which key and which word of the root this site goes by: renewed at half life, caught up after a rotation, never without a way back. */
import { X509Certificate } from 'node:crypto'
import { asFault, Fault } from '../core/model/fault.ts'
import { ed25519PublicKey } from '../core/protocol/envelope.ts'
import type { HubNow } from '../core/protocol/time.ts'
import { acceptTrust, type Trust } from '../core/protocol/trust.ts'
import type { AgentPorts, SiteIdentity } from './ports.ts'

/** After a renewal that failed: the held key is good for as long as the hub says, so there is no hurry. */
const RETRY_MS = 600_000

export interface Keyring {
  identity(): SiteIdentity
  trust(): Trust
  /** Git has another name for this site; the certificate follows at its next renewal. Faults: the store's. */
  renamed(site: string): void
  /** A newer statement, judged already. */
  moved(identity: SiteIdentity, trust: Trust): void
  /** The hub took the key that is held: what was kept to go back to is dropped; renews where it is time. Faults: the store's. */
  used(signal: AbortSignal): Promise<void>
  /** Whether something changed that makes another try worth it. */
  rescue(fault: Fault, signal: AbortSignal): Promise<boolean>
}

export type RenewalDue = { readonly due: 'no' } | { readonly due: 'yes'; readonly because: string }

/** By the hub's time alone: a site's own clock may be ten years off. */
export function renewalDue(certificate: X509Certificate, trust: Trust, hubNow: HubNow): RenewalDue {
  const [newest] = trust.authorities
  if (newest !== undefined && !certificate.verify(new X509Certificate(newest).publicKey))
    return { due: 'yes', because: 'the hub issues under another authority' }
  if (hubNow.known === 'no') return { due: 'no' }
  const fromMs = certificate.validFromDate.getTime()
  const halfMs = fromMs + (certificate.validToDate.getTime() - fromMs) / 2
  return hubNow.ms < halfMs ? { due: 'no' } : { due: 'yes', because: 'half of its life is over' }
}

/** Fault SignatureInvalid, AgentTooOld where the identity's own statement does not hold. */
export function createKeyring(
  { store, keys, log, clock }: Pick<AgentPorts, 'store' | 'keys' | 'log' | 'clock'>,
  first: SiteIdentity,
  hubNow: () => HubNow,
): Keyring {
  let identity = first
  let trust = trustOf(identity)
  let nextTryMs = 0
  let parsed: { readonly pem: string; readonly certificate: X509Certificate } | undefined

  function save(next: SiteIdentity): void {
    const read = trustOf(next)
    store.saveIdentity(next)
    identity = next
    trust = read
  }

  function certificate(): X509Certificate {
    const pem = identity.certificate
    if (parsed?.pem !== pem) parsed = { pem, certificate: new X509Certificate(pem) }
    return parsed.certificate
  }

  /** On the disk, old and new together, before the new one is shown to anybody. */
  async function renew(signal: AbortSignal): Promise<void> {
    const renewed = await keys!.renew(identity, signal)
    const { certificate: pem, privateKey } = identity
    save({ ...identity, ...renewed, previous: { certificate: pem, privateKey } })
  }

  async function rescue(fault: Fault, signal: AbortSignal): Promise<boolean> {
    if (keys === undefined || signal.aborted) return false
    const version = trust.version
    try {
      if (fault.reason === 'HubNotTrusted' || fault.reason === 'SignatureInvalid') {
        save({ ...identity, ...(await keys.roots(identity, signal)) })
        return trust.version > version
      }
      if (fault.reason !== 'KeyUnknown') return false
      await renew(signal)
      return true
    } catch (error) {
      const failed = asFault(error)
      log.warn({ reason: failed.reason, because: failed.message, after: fault.reason }, 'no rescue')
      if (failed.reason !== 'KeyUnknown' || identity.previous === undefined) return false
      // A hub of before the renewal: it knows the key that we had then.
      const { previous, ...rest } = identity
      save({ ...rest, certificate: previous.certificate, privateKey: previous.privateKey })
      return true
    }
  }

  return {
    identity: () => identity,
    trust: () => trust,
    renamed(site) {
      if (site === identity.site) return
      log.info({ from: identity.site, to: site }, 'this site was renamed')
      save({ ...identity, site })
    },
    moved(next, read) {
      store.saveIdentity(next)
      identity = next
      trust = read
    },
    async used(signal) {
      if (keys === undefined) return
      if (identity.previous !== undefined) {
        const { previous: _previous, ...rest } = identity
        save(rest)
      }
      if (clock.monotonicMs() < nextTryMs) return
      try {
        const due = renewalDue(certificate(), trust, hubNow())
        if (due.due === 'no') return
        nextTryMs = clock.monotonicMs() + RETRY_MS
        await renew(signal)
        log.info({ because: due.because }, 'key renewed')
      } catch (error) {
        const fault = asFault(error)
        if (fault.reason.startsWith('Store')) throw fault
        if (!signal.aborted) log.warn({ reason: fault.reason, because: fault.message }, 'the key was not renewed')
      }
    },
    rescue,
  }
}

function trustOf(identity: SiteIdentity): Trust {
  const read = acceptTrust(identity.trust, ed25519PublicKey(Buffer.from(identity.root, 'base64')), undefined)
  if (read.verdict === 'refuse') throw new Fault(read.reason, read.because)
  return read.trust
}
