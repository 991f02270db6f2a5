/**
 * The way back for a site whose certificate or knowledge of the hub's keys is of another time, and the way of every ordinary
 * renewal, so that it is walked each year. No client certificate; the hub is judged by the chain from the site's own root.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, X509Certificate } from 'node:crypto'
import { Fault } from '../../core/model/fault.ts'
import { SecretText } from '../../core/model/secret.ts'
import { spkiOf } from '../../core/protocol/envelope.ts'
import { catchUpTrust, type Trust } from '../../core/protocol/trust.ts'
import { judgeHub } from './judge-hub.ts'
import { bindingOf } from './enrol-proof.ts'
import { decodeChallenge, ROOTS_MAX_BYTES, type Challenge } from './enrol-wire.ts'
import { trustOf, type SiteIdentity } from './identity.ts'
import { keyHash, keyHashOf, siteOf } from './peers.ts'
import { decodeRenewed, encodeRenewal, proveRenewal } from './rescue-wire.ts'
import type { ClientLimits } from './types.ts'
import { CLIENT_LIMITS, dial, faultOf, type Wire, type WireRequest } from './wire.ts'

export type Rescuable = Pick<
  SiteIdentity,
  'site' | 'siteId' | 'hubUrl' | 'root' | 'trust' | 'certificate' | 'privateKey'
>

/** What of an identity a rescue changes. */
export type Rescued = Pick<SiteIdentity, 'root' | 'trust'>
export type RenewedKeys = Rescued & Pick<SiteIdentity, 'certificate' | 'privateKey'>

/**
 * A new key and the certificate for it; nothing is stored here, and the held key stays good until the new one is used.
 * Faults: KeyUnknown, KeyRetired, HubNotTrusted, CaptivePortal, Unreachable, Timeout, Throttled, ForkedHub, AgentTooOld.
 */
export async function renewSite(
  identity: Rescuable,
  signal: AbortSignal,
  limits: Partial<ClientLimits> = {},
): Promise<RenewedKeys> {
  return atHub(identity, '/v1/rescue/renew', limits, signal, async (wire, offered, rescued) => {
    const held = createPrivateKey(identity.privateKey.reveal())
    const next = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const nextKey = spkiOf(next.publicKey)
    const claim = { site: identity.site, siteId: identity.siteId, heldKey: spkiOf(createPublicKey(held)), nextKey }
    const moment = { challenge: offered.challenge, binding: bindingOf(wire.socket) }
    const body = encodeRenewal(proveRenewal(claim, moment, held, next.privateKey))
    const pem = decodeRenewed(await ask(wire, { method: 'POST', path: '/v1/rescue/renew', body }, signal))
    const certificate = new X509Certificate(pem)
    // The name is the hub's to give: a site that was renamed hears of it here, or in its manifest. Its id stays.
    if (siteOf(certificate)?.siteId !== identity.siteId || keyHashOf(certificate) !== keyHash(nextKey))
      throw new Fault('InvalidInput', 'the hub certified another key or site than ours')
    const privateKey = new SecretText(next.privateKey.export({ type: 'pkcs8', format: 'pem' }))
    return { ...rescued, certificate: pem, privateKey }
  })
}

/** The newest statement that this site's root leads to. Faults as `renewSite`, but for those of keys. */
export async function fetchTrust(
  identity: Rescuable,
  signal: AbortSignal,
  limits: Partial<ClientLimits> = {},
): Promise<Rescued> {
  return atHub(identity, '/v1/rescue/roots', limits, signal, async (_wire, _offered, rescued) => rescued)
}

async function atHub<T>(
  identity: Rescuable,
  path: string,
  limits: Partial<ClientLimits>,
  signal: AbortSignal,
  work: (wire: Wire, offered: Challenge, rescued: Rescued) => Promise<T>,
): Promise<T> {
  const wire = await dial(
    {
      hubUrl: identity.hubUrl,
      keyExchange: 'hybrid',
      limits: { ...CLIENT_LIMITS, ...limits },
      // Judged as soon as the chain has said who may issue the hub's certificate, and before anything of the site's leaves.
      judge: () => undefined,
    },
    signal,
  )
  try {
    const offered = await challengeOf(wire, path, trustOf(identity), signal)
    const read = catchUpTrust(trustOf(identity), offered.chain)
    if (read.verdict === 'refuse') throw new Fault(read.reason, read.because)
    const { trust } = read
    judgeHub(wire.socket, trust.authorities.map((der) => new X509Certificate(der))) // prettier-ignore
    return await work(wire, offered, { root: spkiOf(trust.signedBy).toString('base64'), trust: trust.statement })
  } finally {
    wire.hangUp()
  }
}

/** What is not a challenge comes from whoever is in between, if the certificate is not one of ours either. */
async function challengeOf(wire: Wire, path: string, held: Trust, signal: AbortSignal): Promise<Challenge> {
  try {
    return decodeChallenge(await ask(wire, { method: 'GET', path }, signal))
  } catch (error) {
    judgeHub(wire.socket, held.authorities.map((der) => new X509Certificate(der))) // prettier-ignore
    throw error
  }
}

async function ask(wire: Wire, request: Omit<WireRequest, 'maxBytes'>, signal: AbortSignal): Promise<Buffer> {
  const answer = await wire.request({ ...request, maxBytes: ROOTS_MAX_BYTES }, signal)
  if (answer.status !== 200) throw faultOf(answer)
  return answer.body
}
