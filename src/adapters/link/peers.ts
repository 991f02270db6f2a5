/**
 * Who is at the other end, judged by us: the chain to an authority that the root names, the role in the name, never a date.
 * (OpenSSL names one error only: a forged certificate that is also expired reads `CERT_HAS_EXPIRED`, so it is not asked.)
 */
import { createHash, type X509Certificate } from 'node:crypto'

export const HUB_URI = 'spiffe://flotilla/hub'
const SITE_URI = /^URI:spiffe:\/\/flotilla\/site\/([a-z0-9-]{1,63})\/([A-Za-z0-9_-]{1,64})$/

export function siteUri(site: string, siteId: string): string {
  return `spiffe://flotilla/site/${site}/${siteId}`
}

/** Hex SHA-256 of the SPKI: what a key's standing is kept under. */
export function keyHash(spki: Uint8Array): string {
  return createHash('sha256').update(spki).digest('hex')
}

export function keyHashOf(cert: X509Certificate): string {
  return keyHash(cert.publicKey.export({ type: 'spki', format: 'der' }))
}

/** Signed by one of these authorities; a leaf is never one itself. */
export function issuedBy(leaf: X509Certificate, authorities: readonly X509Certificate[]): boolean {
  if (leaf.ca) return false
  return authorities.some((authority) => {
    try {
      return authority.ca && leaf.checkIssued(authority) && leaf.verify(authority.publicKey)
    } catch {
      return false
    }
  })
}

export function isHub(leaf: X509Certificate): boolean {
  return leaf.subjectAltName === `URI:${HUB_URI}`
}

export interface SiteName {
  readonly site: string
  readonly siteId: string
}

/** The site that a certificate names, or undefined where it names none or more than one thing. */
export function siteOf(leaf: X509Certificate): SiteName | undefined {
  const match = SITE_URI.exec(leaf.subjectAltName ?? '')
  return match === null ? undefined : { site: match[1]!, siteId: match[2]! }
}
