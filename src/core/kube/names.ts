/** What the API server takes as a name, a label key and a label value. Each gives the reason for a refusal, or undefined. */

const LABEL = /^(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)?$/
const DNS_LABEL = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?$/
const DNS_SUBDOMAIN = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/

const MAX_LABEL = 63
const MAX_SUBDOMAIN = 253

/** A namespace, a Service, one of our own names: RFC 1123 label. */
export function refuseDnsLabel(text: string): string | undefined {
  if (text.length > MAX_LABEL) return `is longer than ${MAX_LABEL} characters`
  if (!DNS_LABEL.test(text)) return 'must be lower case letters, digits and -, and begin and end with a letter or digit'
  return undefined
}

/** The name of most objects: RFC 1123 subdomain. */
export function refuseDnsSubdomain(text: string): string | undefined {
  if (text.length > MAX_SUBDOMAIN) return `is longer than ${MAX_SUBDOMAIN} characters`
  if (!DNS_SUBDOMAIN.test(text))
    return 'must be lower case letters, digits, - and ., and each part begin and end with a letter or digit'
  return undefined
}

/** `[prefix/]name`, for label and annotation keys. */
export function refuseLabelKey(key: string): string | undefined {
  const parts = key.split('/')
  if (parts.length > 2) return 'has more than one /'
  const name = parts.at(-1) ?? ''
  if (name === '') return 'has no name'
  if (parts.length === 2) {
    const refused = refuseDnsSubdomain(parts[0] ?? '')
    if (refused !== undefined) return `its prefix ${refused}`
  }
  if (name.length > MAX_LABEL) return `its name is longer than ${MAX_LABEL} characters`
  return LABEL.test(name) ? undefined : 'must be letters, digits, -, _ and ., and begin and end with a letter or digit'
}

export function refuseLabelValue(value: string): string | undefined {
  if (value.length > MAX_LABEL) return `is longer than ${MAX_LABEL} characters`
  return LABEL.test(value) ? undefined : 'must be letters, digits, -, _ and ., and begin and end with a letter or digit'
}
