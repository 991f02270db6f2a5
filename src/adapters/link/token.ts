/** The one line that joins a site: where the hub is, which site this is to be, a single-use secret, the root's pin. */
import { createHash, randomBytes } from 'node:crypto'
import { isDigest, type Digest } from '../../core/model/digest.ts'
import { Fault } from '../../core/model/fault.ts'
import { parseJson, record, siteName, text } from '../../core/protocol/shape.ts'

const PREFIX = 'flt1_'
const SUM_BYTES = 4
const MAX_CHARS = 2_048

export interface JoinToken {
  /** `https://host:port`. */
  readonly hub: string
  readonly site: string
  readonly secret: string
  readonly pin: Digest
}

/** 24 random bytes: the hub stores only its hash. */
export function makeTokenSecret(): string {
  return randomBytes(24).toString('base64url')
}

/** What a store may keep of a token's secret. */
export function hashTokenSecret(secret: string): string {
  return createHash('sha256').update(`flotilla/token/v1\0${secret}`).digest('hex')
}

export function encodeToken(token: JoinToken): string {
  const pin = Buffer.from(token.pin.slice('sha256:'.length), 'hex').toString('base64url')
  const body = Buffer.from(JSON.stringify({ u: token.hub, s: token.site, k: token.secret, p: pin }))
  return PREFIX + Buffer.concat([body, sumOf(body)]).toString('base64url')
}

/** Fault InvalidInput; its message never holds the secret. */
export function decodeToken(line: string): JoinToken {
  const trimmed = line.trim()
  if (!trimmed.startsWith(PREFIX) || trimmed.length > MAX_CHARS)
    throw new Fault('InvalidInput', 'this is not a join token: it begins with flt1_')
  const bytes = Buffer.from(trimmed.slice(PREFIX.length), 'base64url')
  const body = bytes.subarray(0, -SUM_BYTES)
  if (!sumOf(body).equals(bytes.subarray(-SUM_BYTES)))
    throw new Fault('InvalidInput', 'the join token is damaged: copy the whole line')
  const it = record(parseJson(body, 'the join token'), 'token')
  const pin = `sha256:${Buffer.from(text(it.p, 'token pin'), 'base64url').toString('hex')}`
  if (!isDigest(pin)) throw new Fault('InvalidInput', 'the join token has no pin')
  return {
    hub: hubUrl(text(it.u, 'token hub', 1_024)),
    site: siteName(it.s, 'token site'),
    secret: text(it.k, 'token secret'),
    pin,
  }
}

/** `https://host:port`, nothing more. Fault InvalidInput. */
export function hubUrl(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (parsed?.protocol !== 'https:' || parsed.username !== '' || parsed.pathname !== '/' || parsed.search !== '')
    throw new Fault('InvalidInput', `the hub's address must be https://host:port, not ${url}`)
  return parsed.origin
}

function sumOf(body: Uint8Array): Buffer {
  return createHash('sha256').update(body).digest().subarray(0, SUM_BYTES)
}
