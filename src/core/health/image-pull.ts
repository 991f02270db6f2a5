/** Why an image cannot be pulled, in one sentence, from what the container runtime says. */

/** What runtimes and registries say, and what it means to a person; the first that matches counts. */
const SAYINGS: readonly (readonly [pattern: RegExp, meaning: string])[] = [
  [/\b429\b|too many requests|toomanyrequests/i, 'says 429: too many pulls'],
  [/\b401\b|unauthorized|authentication required|no basic auth/i, 'says 401: sign-in is missing or wrong'],
  [/\b403\b|forbidden|access denied|denied: /i, 'says 403: this account may not pull it'],
  [/\b404\b|not found|manifest unknown|name unknown|does not exist/i, 'does not have it (404)'],
  [/\b(5\d\d)\b (?:internal|bad gateway|service|gateway)/i, 'fails ($1)'],
  [/no such host|server misbehaving|name resolution/i, 'cannot be found by name'],
  [/connection refused/i, 'refuses the connection'],
  [/x509|certificate/i, 'shows a certificate that is not trusted'],
  [/timeout|deadline exceeded|timed out/i, 'does not answer in time'],
  [/no space left/i, 'sent it, but the disk of the node is full'],
  [/unexpected EOF|connection reset/i, 'breaks off in between'],
]

const DEFAULT_REGISTRY = 'docker.io'

/** `registry-dk says 403: this account may not pull it (registry-dk/shop/web:2)`; undefined where the text says nothing known. */
export function sayImagePull(image: string, text: string): string | undefined {
  // The image itself may hold digits and words that look like answers: `web:403`.
  const said = text.replaceAll(image, '')
  for (const [pattern, meaning] of SAYINGS) {
    const match = pattern.exec(said)
    if (match !== null) return `${registryOf(image)} ${meaning.replace('$1', match[1] ?? '')} (${image})`
  }
  return undefined
}

/** The host of an image: what stands before the first slash, if it can be a host. */
export function registryOf(image: string): string {
  const [first = ''] = image.split('/')
  const isHost = image.includes('/') && (/[.:]/.test(first) || first === 'localhost' || /-/.test(first))
  return isHost ? first : DEFAULT_REGISTRY
}
