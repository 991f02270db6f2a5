/**
 * What one site may lose by a yes in Git: a blob of domain `deletions`, named in `deletionsConfirmed` and made for that site alone.
 * A digest by itself would say that something was confirmed; the list says what.
 */
import { digestBytes, type Digest } from '../model/digest.ts'
import { Fault } from '../model/fault.ts'
import { byUtf16, canonicalJson, type JsonObject } from '../model/json.ts'
import { acceptBlob } from './accept.ts'
import type { Parsed } from './manifest.ts'
import { digest, list, parseJson, record, siteIdText, text } from './shape.ts'

/** As many as a release may have objects. */
const MAX_OBJECTS = 50_000

export interface ConfirmedList {
  readonly format: 1
  /** The identity it was made for: at another it says nothing. */
  readonly siteId: string
  /** The fleet's list that Git names, and the commit that names it: the same list confirmed again is another yes. */
  readonly list: Digest
  readonly revision: string
  /** refKeys of what goes, sorted. */
  readonly objects: readonly string[]
}

export function confirmedList(of: Omit<ConfirmedList, 'format'>): { readonly digest: Digest; readonly bytes: Buffer } {
  const made: ConfirmedList = { ...of, format: 1, objects: of.objects.toSorted(byUtf16) }
  const bytes = Buffer.from(canonicalJson(made as unknown as JsonObject))
  return { digest: digestBytes('deletions', bytes), bytes }
}

/** Reads a list: its bytes hash to the name, and it was made for this site. */
export function acceptConfirmedList(name: Digest, siteId: string, bytes: Uint8Array): Parsed<ConfirmedList> {
  const blob = acceptBlob('deletions', name, bytes)
  if (!blob.ok) return blob
  try {
    const it = record(parseJson(bytes, 'the list'), 'list')
    if (it.format !== 1) return { ok: false, reason: 'AgentTooOld', because: 'a list of another format than 1' }
    const madeFor = siteIdText(it.siteId, 'list.siteId')
    if (madeFor !== siteId)
      return { ok: false, reason: 'WrongSite', because: `a list of deletions of another site, id ${madeFor}` }
    digest(it.list, 'list.list')
    text(it.revision, 'list.revision', 128)
    const objects = list(it.objects, 'list.objects', MAX_OBJECTS)
    for (const [i, key] of objects.entries()) text(key, `list.objects[${i}]`)
    return { ok: true, value: it as unknown as ConfirmedList }
  } catch (error) {
    if (!(error instanceof Fault)) throw error
    return { ok: false, reason: error.reason, because: error.message }
  }
}
