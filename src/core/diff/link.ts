/**
 * Adds to each write what must have succeeded before it: its namespace, its definition, what its annotations name, and the lower
 * sync waves of its workload. What waits for something that is there but not healthy waits now; the rest is told by `needs`.
 */
import { refKey, type Manifest, type ObjectRef, formatRef } from '../model/object.ts'
import { allEdges, inSets } from './order.ts'
import type { DesiredWorkload, PlanInput, Step, WriteStep } from './types.ts'
import { lowerWaves, waveOf } from './waves.ts'

export function link(steps: readonly Step[], input: PlanInput, workloads: readonly DesiredWorkload[]): readonly Step[] {
  const writes = steps.filter((step): step is WriteStep => 'desired' in step)
  if (writes.length === 0) return steps
  const byKey = new Map(steps.map((step) => [refKey(step.ref), step] as const))
  const manifests = manifestsOf(writes, workloads)
  const { edges, errors } = allEdges([...manifests.values()])
  const order = inSets([...manifests.values()].map(refOfManifest), edges)
  const stuck = new Set(order.kind === 'cycle' ? order.stuck.map(refKey) : [])
  const invalid = new Map(errors.map((error) => [refKey(error.ref), `${error.annotation}: ${error.reason}`] as const))
  const targets = new Map<string, string[]>()
  for (const { from, to } of edges) {
    const key = refKey(from)
    targets.set(key, [...(targets.get(key) ?? []), refKey(to)])
  }
  const waves = waveTargets(workloads, writes, manifests)
  return steps.map((step) => {
    if (!('desired' in step)) return step
    const key = refKey(step.ref)
    const { ref, workload } = step
    const wrong = stuck.has(key) ? 'it waits for itself, in a circle' : invalid.get(key)
    if (wrong !== undefined)
      return { kind: 'leave', ref, workload, because: 'invalid', message: wrong, differences: [] }
    const needs: string[] = []
    for (const target of new Set([...(targets.get(key) ?? []), ...(waves.get(key) ?? [])])) {
      const first = byKey.get(target)
      if (first !== undefined && 'desired' in first) needs.push(target)
      else if (!ready(target, first, input)) return waits(step, first?.ref ?? ref)
    }
    return { ...step, needs }
  })
}

function ready(key: string, step: Step | undefined, input: PlanInput): boolean {
  if (step?.kind === 'leave' && step.because === 'job-done') return true
  const live = input.actual.get(key)
  return live !== undefined && live !== null && input.healthy(key, live)
}

function waits(step: WriteStep, on: ObjectRef): Step {
  const { ref, workload } = step
  return { kind: 'wait', ref, workload, because: { reason: 'Dependency', detail: formatRef(on) } }
}

/**
 * What order is read from: everything desired of the workloads that change. Objects of settled workloads are looked at only
 * where they are namespaces or definitions, so that a site of thousands of objects parses few of them.
 */
function manifestsOf(
  writes: readonly WriteStep[],
  workloads: readonly DesiredWorkload[],
): ReadonlyMap<string, Manifest> {
  const changing = new Set(writes.map(({ workload }) => workload))
  const manifests = new Map<string, Manifest>()
  for (const { name, objects } of workloads) {
    for (const { ref, manifest } of objects) {
      const leading = ref.kind === 'Namespace' || ref.kind === 'CustomResourceDefinition'
      if (manifest !== null && (leading || changing.has(name))) manifests.set(refKey(ref), manifest())
    }
  }
  for (const { ref, desired } of writes) if (!manifests.has(refKey(ref))) manifests.set(refKey(ref), desired)
  return manifests
}

/** Each object of a higher wave waits for all of the lower ones of its workload. */
function waveTargets(
  workloads: readonly DesiredWorkload[],
  writes: readonly WriteStep[],
  manifests: ReadonlyMap<string, Manifest>,
): ReadonlyMap<string, readonly string[]> {
  const changing = new Set(writes.map(({ workload }) => workload))
  const targets = new Map<string, readonly string[]>()
  for (const { name, objects } of workloads) {
    if (!changing.has(name)) continue
    const keys = objects.map(({ ref }) => refKey(ref))
    for (const [key, lower] of lowerWaves(new Map(keys.map((key) => [key, waveOf(manifests.get(key))]))))
      targets.set(key, lower)
  }
  return targets
}

function refOfManifest(manifest: Manifest): ObjectRef {
  const slash = manifest.apiVersion.indexOf('/')
  const { namespace, name } = manifest.metadata
  return {
    group: manifest.apiVersion.slice(0, Math.max(slash, 0)),
    kind: manifest.kind,
    namespace: namespace ?? '',
    name,
  }
}
