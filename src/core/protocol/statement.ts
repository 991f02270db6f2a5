/**
 * What a release signer outside the hub (CI, an offline key) says: this workload may be this release at these sites. Where the
 * root names such a signer, a hub alone, its keys stolen with it, chooses among what was signed and adds nothing to it.
 */
import { Fault } from '../model/fault.ts'
import { canonicalJson, type JsonObject } from '../model/json.ts'
import type { Digest } from '../model/digest.ts'
import { PAYLOAD_TYPES, signBytes, verifyBytes, type KeyRing, type SigningKey } from './envelope.ts'
import type { ManifestEntry, SignedStatement } from './messages.ts'
import { count, digest, invalid, list, parseJson, record, siteName, text } from './shape.ts'

export const STATEMENT_MAX_BYTES = 256 * 1024
export const STATEMENTS_MAX = 10_000
const MAX_SITES = 20_000
const MAX_CHARS = Math.ceil((STATEMENT_MAX_BYTES * 4) / 3) + 4

export interface ReleaseStatement {
  /** Grows with each revision that is signed for. */
  readonly revisionSeq: number
  readonly workload: string
  readonly sites: readonly string[]
  readonly release: Digest
  /** A site that has read this takes nothing of this workload that was signed for at a lower `revisionSeq`, ever. */
  readonly notBelow: number
}

/** By workload: the highest `notBelow` that this site has read. */
export type ContentFloor = Readonly<Record<string, number>>

export type Signed =
  | { readonly signed: 'yes'; readonly content: ContentFloor }
  | { readonly signed: 'no'; readonly reason: 'SignatureInvalid' | 'OldGeneration'; readonly because: string }

export function signRelease(statement: ReleaseStatement, key: SigningKey): SignedStatement {
  const payload = Buffer.from(canonicalJson({ format: 1, ...statement }))
  const sig = signBytes(PAYLOAD_TYPES.release, payload, key)
  return { payload: payload.toString('base64'), keyid: key.keyid, sig: sig.toString('base64') }
}

/**
 * Whether each entry's release, and what it may fall back to, is signed for at this site and not below the floor. Statements that
 * do not verify, or are of other sites, say nothing. The floor that comes back never lies below the one given.
 */
export function judgeReleases(
  entries: readonly ManifestEntry[],
  statements: readonly SignedStatement[],
  site: string,
  ring: KeyRing,
  held: ContentFloor,
): Signed {
  const content = new Map(Object.entries(held))
  const seqs = new Map<string, number>()
  for (const statement of statements) {
    const said = readStatement(statement, ring)
    if (said === undefined || !said.sites.includes(site)) continue
    const { workload, release, revisionSeq, notBelow } = said
    content.set(workload, Math.max(content.get(workload) ?? 0, notBelow))
    const key = `${workload}\n${release}`
    seqs.set(key, Math.max(seqs.get(key) ?? 0, revisionSeq))
  }
  for (const { workload, release, fallback } of entries)
    for (const wanted of fallback === undefined ? [release] : [release, fallback]) {
      const seq = seqs.get(`${workload}\n${wanted}`)
      if (seq === undefined)
        return {
          signed: 'no',
          reason: 'SignatureInvalid',
          because: `no release signer signed ${wanted} of ${workload} for this site`,
        }
      const floor = content.get(workload) ?? 0
      if (seq < floor)
        return {
          signed: 'no',
          reason: 'OldGeneration',
          because: `${workload}: signed for as ${seq}, and nothing below ${floor} counts`,
        }
    }
  return { signed: 'yes', content: Object.fromEntries(content) }
}

/** Undefined where no signer of the ring said it. */
export function readStatement({ payload, keyid, sig }: SignedStatement, ring: KeyRing): ReleaseStatement | undefined {
  const key = ring.get(keyid)
  const bytes = Buffer.from(payload, 'base64')
  if (key === undefined || !verifyBytes(PAYLOAD_TYPES.release, bytes, Buffer.from(sig, 'base64'), key)) return undefined
  try {
    const it = record(parseJson(bytes, 'the release statement'), 'statement')
    if (it.format !== 1) return undefined
    return {
      revisionSeq: count(it.revisionSeq, 'statement.revisionSeq'),
      workload: text(it.workload, 'statement.workload'),
      sites: list(it.sites, 'statement.sites', MAX_SITES).map((name, i) => siteName(name, `statement.sites[${i}]`)),
      release: digest(it.release, 'statement.release'),
      notBelow: count(it.notBelow, 'statement.notBelow'),
    }
  } catch (error) {
    if (error instanceof Fault) return undefined
    throw error
  }
}

/** Of a manifest: shape alone. Fault InvalidInput, TooLarge. */
export function statementsOf(json: JsonObject): readonly SignedStatement[] {
  return list(json.statements, 'statements', STATEMENTS_MAX).map((item, i) => {
    const it = record(item, `statements[${i}]`)
    const payload = text(it.payload, `statements[${i}].payload`, MAX_CHARS)
    if (payload === '') invalid(`statements[${i}].payload`, 'signed bytes')
    return {
      payload,
      keyid: text(it.keyid, `statements[${i}].keyid`, 64),
      sig: text(it.sig, `statements[${i}].sig`, 128),
    }
  })
}
