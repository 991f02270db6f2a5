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
const MAX_FORMER_NAMES = 64
const MAX_CHARS = Math.ceil((STATEMENT_MAX_BYTES * 4) / 3) + 4

export interface ReleaseStatement {
  /** Grows with each revision that is signed for. */
  readonly revisionSeq: number
  readonly workload: string
  readonly sites: readonly string[]
  readonly release: Digest
  /** A site that has read this takes nothing of this workload that was signed for at a lower `revisionSeq`, ever. */
  readonly notBelow: number
  /** By site: names that it had before, as the signer read them in Git. A hub's word alone makes no site another. */
  readonly formerNames?: Readonly<Record<string, readonly string[]>>
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
 * Whether each entry's release, and what it may fall back to, is signed for at this site and not below the floor; and where the
 * site goes by another name yet, whether a signer says that it was that one: else a hub could give a site the name of another, and
 * with it what was signed for that. Statements that do not verify, or are of other sites, say nothing. The floor that comes back
 * never lies below the one given.
 */
export function judgeReleases(
  entries: readonly ManifestEntry[],
  statements: readonly SignedStatement[],
  { site, goesBy }: { readonly site: string; readonly goesBy: string },
  ring: KeyRing,
  held: ContentFloor,
): Signed {
  const content = new Map(Object.entries(held))
  const seqs = new Map<string, number>()
  const read = statements.flatMap((statement) => readStatement(statement, ring) ?? [])
  if (!isSame(goesBy, site, read))
    return { signed: 'no', reason: 'SignatureInvalid', because: `no release signer says that ${site} was ${goesBy}` }
  for (const said of read) {
    if (!said.sites.includes(site)) continue
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

/** Through any number of renames, each of them said by a signer. */
function isSame(was: string, site: string, said: readonly ReleaseStatement[]): boolean {
  const names = new Set([was])
  for (let known = 0; known < names.size && !names.has(site);) {
    known = names.size
    for (const { formerNames = {} } of said)
      for (const [name, before] of Object.entries(formerNames))
        if (before.some((old) => names.has(old))) names.add(name)
  }
  return names.has(site)
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
      ...(it.formerNames === undefined
        ? {}
        : { formerNames: formerNamesOf(record(it.formerNames, 'statement.formerNames')) }),
    }
  } catch (error) {
    if (error instanceof Fault) return undefined
    throw error
  }
}

function formerNamesOf(json: JsonObject): Record<string, readonly string[]> {
  const pairs = Object.entries(json).map(([site, names]) => {
    const path = `statement.formerNames.${siteName(site, 'statement.formerNames')}`
    return [site, list(names, path, MAX_FORMER_NAMES).map((name, i) => siteName(name, `${path}[${i}]`))] as const
  })
  if (pairs.length > MAX_SITES) throw new Fault('TooLarge', `more than ${MAX_SITES} sites`)
  return Object.fromEntries(pairs)
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
