import { createHash } from 'node:crypto'
import { canonicalJson, type Json } from './json.ts'

/** `sha256:<64 hex>`. What a digest is of stands in its domain, never in its text. */
export type Digest = `sha256:${string}`

/** One prefix per type of bytes, so that no bytes of one type are ever taken for another (PROTOCOL.md, Names and digests). */
export type DigestDomain =
  | 'object'
  | 'sealed'
  | 'release'
  | 'manifest'
  | 'root'
  | 'config'
  | 'facts'
  | 'rollout'
  | 'class'
  | 'deletions'
  | 'plan'
  | 'job'
  | 'trust'
  | 'audit'

export function digestBytes(domain: DigestDomain, bytes: Uint8Array | string): Digest {
  return `sha256:${createHash('sha256').update(`flotilla/${domain}/v1\0`).update(bytes).digest('hex')}`
}

/** Digest of the canonical JSON of a value. */
export function digestJson(domain: DigestDomain, value: Json): Digest {
  return digestBytes(domain, canonicalJson(value))
}

const DIGEST = /^sha256:[0-9a-f]{64}$/
export function isDigest(value: unknown): value is Digest {
  return typeof value === 'string' && DIGEST.test(value)
}

/** For people: the first 12 hex digits. */
export function shortDigest(digest: string): string {
  return digest.replace(/^sha256:/, '').slice(0, 12)
}
