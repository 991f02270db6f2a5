import { applyJsonPatch } from '../core/kube/json-patch.ts'
import { Fault } from '../core/model/fault.ts'
import { isObject, type Json, type JsonObject } from '../core/model/json.ts'

/** RFC 7386: null removes, objects merge, everything else replaces. */
export function mergePatch(target: Json | undefined, patch: Json): Json {
  if (!isObject(patch)) return patch
  const merged: Record<string, Json | undefined> = { ...(isObject(target) ? target : {}) }
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete merged[key]
    else if (value !== undefined) merged[key] = mergePatch(merged[key], value)
  }
  return merged
}

/** RFC 6902. Fault Rejected where a test fails or a path is not there. */
export function jsonPatch(target: Json, operations: readonly JsonObject[]): Json {
  const patched = applyJsonPatch(target, operations)
  if (patched.ok) return patched.doc
  throw new Fault('Rejected', `the server rejected our request due to an error in our request: ${patched.because}`, {
    facts: { status: 422 },
  })
}
