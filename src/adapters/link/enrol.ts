/** At the site: makes the keys, checks the hub against the token's pin before the secret leaves, proves possession, gets a name. */
import { createPublicKey, generateKeyPairSync, X509Certificate } from 'node:crypto'
import { Fault } from '../../core/model/fault.ts'
import { SecretText } from '../../core/model/secret.ts'
import { spkiOf } from '../../core/protocol/envelope.ts'
import { acceptTrust, followTrust } from '../../core/protocol/trust.ts'
import { makeAgeKeys, secretKey } from './age-keys.ts'
import { judgeHub } from './judge-hub.ts'
import { bindingOf, prove } from './enrol-proof.ts'
import { decodeAdmittance, decodeChallenge, encodeApplication, ROOTS_MAX_BYTES } from './enrol-wire.ts'
import type { SiteIdentity } from './identity.ts'
import { keyHash, keyHashOf, siteOf } from './peers.ts'
import { decodeToken } from './token.ts'
import type { ClientLimits } from './types.ts'
import { CLIENT_LIMITS, dial, faultOf, type Wire } from './wire.ts'

/** Faults: InvalidInput, TokenRefused, HubNotTrusted, CaptivePortal, Unreachable, Timeout, Throttled. */
export async function enrolSite(
  line: string,
  signal: AbortSignal,
  limits: Partial<ClientLimits> = {},
): Promise<SiteIdentity> {
  const token = decodeToken(line)
  const wire = await dial(
    {
      hubUrl: token.hub,
      keyExchange: 'hybrid',
      limits: { ...CLIENT_LIMITS, ...limits },
      // Only the pin is known; the certificate is judged as soon as the root has said who may issue it, and before the secret leaves.
      judge: () => undefined,
    },
    signal,
  )
  try {
    const offered = decodeChallenge(await ask(wire, 'GET', undefined, signal))
    const followed = followTrust(token.pin, offered.root, offered.chain)
    if (followed.verdict === 'refuse') throw new Fault('HubNotTrusted', followed.because)
    judgeHub(wire.socket, followed.trust.authorities.map((der) => new X509Certificate(der))) // prettier-ignore

    const tlsKey = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const age = makeAgeKeys()
    const publicKey = spkiOf(tlsKey.publicKey)
    const claim = {
      site: token.site,
      secret: token.secret,
      publicKey,
      recipient: age.recipient,
      challenge: offered.challenge,
      binding: bindingOf(wire.socket),
    }
    const ephemeral = createPublicKey({ key: Buffer.from(offered.ephemeral), format: 'der', type: 'spki' })
    const proof = prove(claim, tlsKey.privateKey, secretKey(age), ephemeral)
    const admitted = decodeAdmittance(await ask(wire, 'POST', encodeApplication({ ...claim, ...proof }), signal))

    const read = acceptTrust(admitted.trust, followed.trust.signedBy, followed.trust)
    if (read.verdict === 'refuse') throw new Fault('HubNotTrusted', read.because)
    const certificate = new X509Certificate(admitted.certificate)
    const named = siteOf(certificate)
    if (named?.site !== token.site || named.siteId !== admitted.siteId || keyHashOf(certificate) !== keyHash(publicKey))
      throw new Fault('InvalidInput', 'the hub certified another key or name than ours')
    return {
      site: token.site,
      siteId: admitted.siteId,
      hubUrl: token.hub,
      root: spkiOf(followed.trust.signedBy).toString('base64'),
      trust: admitted.trust,
      certificate: admitted.certificate,
      privateKey: new SecretText(tlsKey.privateKey.export({ type: 'pkcs8', format: 'pem' })),
      ageKey: age.secret,
      recipient: age.recipient,
      ...(admitted.floor === undefined ? {} : { floor: admitted.floor }),
    }
  } finally {
    wire.hangUp()
  }
}

async function ask(wire: Wire, method: 'GET' | 'POST', body: Buffer | undefined, signal: AbortSignal): Promise<Buffer> {
  const request = { method, path: '/v1/enrol', maxBytes: ROOTS_MAX_BYTES, ...(body === undefined ? {} : { body }) }
  const answer = await wire.request(request, signal)
  if (answer.status !== 200) throw faultOf(answer)
  return answer.body
}
