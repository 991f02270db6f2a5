/** A Workload's own `healthChecks`: what its expressions say of a kind stands in place of the built-in reading. */
import { celNames, evaluate } from '../kube/cel.ts'
import { readCel, type CelRead } from '../kube/cel-parse.ts'
import { isObject, type JsonObject } from '../model/json.ts'
import type { Manifest } from '../model/object.ts'
import type { ObjectHealth } from './types.ts'

/** As a release carries them: `apiVersion`, `kind`, and expressions that are true where an object is so. */
export type HealthCheck = JsonObject

/** undefined: no check is about it, or none of its expressions decides, and the built-in reading stands. */
export function checkedHealth(object: Manifest, checks: readonly HealthCheck[]): ObjectHealth | undefined {
  const check = checks.find(({ apiVersion, kind }) => apiVersion === object.apiVersion && kind === object.kind)
  // What is being deleted is read as everything that is.
  if (check === undefined || object.metadata.deletionTimestamp !== undefined) return undefined
  if (isUnobserved(object)) return said('Progressing', 'its controller has not seen this generation yet')
  for (const name of ['failed', 'inProgress', 'current'] as const) {
    const text = check[name]
    if (typeof text !== 'string') continue
    const found = judged(text, object)
    // A field that is not there yet: nobody can say.
    if (typeof found === 'string') return said('Progressing', `${name}: ${found}`)
    if (found) return said(STATE_OF[name], `${name}: ${text}`)
    if (name === 'current') return said('Progressing', `not yet: ${text}`)
  }
  return undefined
}

const STATE_OF = { failed: 'Degraded', inProgress: 'Progressing', current: 'Healthy' } as const
const KSTATUS = { Degraded: 'Failed', Progressing: 'InProgress', Healthy: 'Current' } as const
/** Expressions kept as trees. */
const KEPT = 1_000
const reads = new Map<string, CelRead>()

function judged(text: string, object: Manifest): boolean | string {
  const read = reads.get(text) ?? readCel(text)
  if (reads.size >= KEPT) reads.clear()
  reads.set(text, read)
  if (!read.ok) return read.message
  const found = evaluate(read.cel, celNames(object))
  if (!found.ok) return found.message
  return typeof found.value === 'boolean' ? found.value : 'neither true nor false'
}

function isUnobserved({ metadata, status }: Manifest): boolean {
  const observed = isObject(status) ? status.observedGeneration : undefined
  return typeof observed === 'number' && observed !== metadata.generation
}

function said(health: keyof typeof KSTATUS, message: string): ObjectHealth {
  const reason = health === 'Healthy' ? '' : 'HealthCheck'
  return { kstatus: KSTATUS[health], conditions: [], engine: health, health, reason, message }
}
