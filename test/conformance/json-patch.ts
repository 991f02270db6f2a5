import { applyJsonPatch } from '../../src/core/kube/json-patch.ts'
import type { Json } from '../../src/core/model/json.ts'
import { type Adapter, failed, PASSED, type Row, same } from './adapter.ts'

type Case = Row & {
  readonly doc: Json
  readonly patch: Json
  readonly expected: { readonly doc?: Json; readonly error?: unknown; readonly applies?: boolean }
}

/** The RFC decides, also where kubectl's own library answers otherwise. */
export const adapter: Adapter = {
  check(row) {
    const { doc, patch, expected } = row as Case
    const before = structuredClone(doc)
    const patched = applyJsonPatch(doc, patch)
    const untouched = same(doc, before, 'input afterwards')
    if (untouched.is !== 'passed') return untouched
    if (!patched.ok) return expected.error === undefined ? failed(`${patched.index}: ${patched.because}`) : PASSED
    if (expected.error !== undefined) return failed('accepted')
    return expected.doc === undefined ? PASSED : same(patched.doc, expected.doc)
  },
}
