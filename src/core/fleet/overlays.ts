/** Overlays on the objects of one class: which apply, in which order, and what each patch makes of an object. */
import { applyJsonPatch } from '../kube/json-patch.ts'
import { matches } from '../kube/selector.ts'
import { strategicMerge } from '../kube/strategic-merge.ts'
import { canonicalJson, isObject, type Json, type JsonObject } from '../model/json.ts'
import { formatRef, groupOf, type Manifest, type ObjectRef } from '../model/object.ts'
import type { Place, Problem } from '../model/problem.ts'
import { refuseMetadata } from './object-rules.ts'
import { encode, type Prepared } from './objects.ts'
import type { Overlay, Patch, Site, SiteGroup, Workload } from './types.ts'

/** An overlay with who says it: two of one layer must not disagree. */
export interface Applied {
  readonly id: string
  readonly layer: string
  readonly overlay: Overlay
}

/** The workload's own in list order, then those of groups by layer and name, then the site's. */
export function overlaysAt(workload: Workload, groups: readonly SiteGroup[], site: Site): readonly Applied[] {
  const applied: Applied[] = []
  const add = (overlay: Overlay, id: string, layer: string): void => {
    if (overlay.when === null || matches(overlay.when, site.labels)) applied.push({ id, layer, overlay })
  }
  for (const [i, overlay] of workload.overlays.entries()) add(overlay, `workload:${i}`, 'workload')
  for (const group of groups) {
    for (const [i, overlay] of group.overlays.entries()) {
      if (overlay.workload === workload.name) add(overlay, `group:${group.name}:${i}`, `layer ${group.layer}`)
    }
  }
  for (const [i, overlay] of site.overlays.entries()) {
    if (overlay.workload === workload.name) add(overlay, `site:${site.name}:${i}`, 'site')
  }
  return applied
}

/** A patch whose expressions have their values. */
export type ResolvedPatch = Pick<Patch, 'target' | 'patch' | 'place'>
export interface ResolvedOverlay {
  readonly applied: Applied
  readonly patches: readonly ResolvedPatch[]
}

export type Overlaid =
  | { readonly ok: true; readonly objects: readonly Prepared[] }
  | { readonly ok: false; readonly problems: readonly Problem[] }

export function applyOverlays(objects: readonly Prepared[], overlays: readonly ResolvedOverlay[]): Overlaid {
  let current = objects
  const changed = new Set<Prepared>()
  for (const layer of consecutive(overlays)) {
    const conflicts = layer.length > 1 ? layerConflicts(current, layer) : []
    if (conflicts.length > 0) return { ok: false, problems: conflicts }
    for (const { applied, patches } of layer) {
      for (const patch of patches) {
        const result = applyPatch(current, patch, applied.overlay.allowEmpty)
        if (!result.ok) return result
        for (const object of result.changed) changed.add(object)
        current = result.objects
      }
    }
  }
  const problems = current.flatMap((object) =>
    changed.has(object) ? (refuseMetadata(object.manifest, object.place) ?? []) : [],
  )
  if (problems.length > 0) return { ok: false, problems }
  // Bytes and digests are made once, of what the last patch left.
  return { ok: true, objects: current.map((o) => (changed.has(o) ? encode(o.ref, o.manifest, o.place) : o)) }
}

function consecutive(overlays: readonly ResolvedOverlay[]): readonly (readonly ResolvedOverlay[])[] {
  return [...Map.groupBy(overlays, ({ applied }) => applied.layer).values()]
}

function targets(ref: ObjectRef, target: Patch['target']): boolean {
  return (
    (target.kind === undefined || target.kind === ref.kind) &&
    (target.name === undefined || target.name === ref.name) &&
    (target.group === undefined || target.group === ref.group) &&
    (target.namespace === undefined || target.namespace === ref.namespace)
  )
}

type PatchResult =
  | { readonly ok: true; readonly objects: readonly Prepared[]; readonly changed: readonly Prepared[] }
  | { readonly ok: false; readonly problems: readonly Problem[] }

function applyPatch(objects: readonly Prepared[], patch: ResolvedPatch, allowEmpty: boolean): PatchResult {
  const changed: Prepared[] = []
  const next: Prepared[] = []
  let met = 0
  for (const object of objects) {
    if (!targets(object.ref, patch.target)) {
      next.push(object)
      continue
    }
    met++
    if (object.entry.sealed === true) {
      const next = 'Name the objects that it is meant for; change the encrypted file with sops.'
      return fail(
        'FLT2007',
        patch.place,
        `the patch would change ${formatRef(object.ref)}, which is encrypted`,
        next,
        object.place,
      )
    }
    const result = patched(object.manifest, patch.patch)
    if ('because' in result) {
      return fail(
        'FLT2009',
        patch.place,
        `${formatRef(object.ref)}: ${result.because}`,
        'Correct the patch.',
        object.place,
      )
    }
    if (result.manifest === null) continue
    const after = { ...object, manifest: result.manifest }
    changed.push(after)
    next.push(after)
  }
  if (met === 0 && !allowEmpty) {
    const found = JSON.stringify(patch.target)
    const failed = fail(
      'FLT2109',
      patch.place,
      'the patch matches no object',
      'Correct the target, or say allowEmpty: true.',
    )
    return { ok: false, problems: failed.problems.map((problem) => ({ ...problem, found })) }
  }
  return { ok: true, objects: next, changed }
}

function fail(
  code: 'FLT2007' | 'FLT2009' | 'FLT2103' | 'FLT2109',
  place: Place,
  message: string,
  next: string,
  also?: Place,
): { readonly ok: false; readonly problems: readonly Problem[] } {
  const problem: Problem = { code, severity: 'error', place, path: '', message, next }
  return { ok: false, problems: [also === undefined ? problem : { ...problem, also: [also] }] }
}

/** null: the patch deletes the object (`$patch: delete`). A patch never makes another object of it. */
function patched(
  manifest: Manifest,
  patch: Patch['patch'],
): { readonly manifest: Manifest | null } | { readonly because: string } {
  const result = applyAny(manifest, patch)
  if ('because' in result) return result
  const { value } = result
  if (isObject(patch) && patch['$patch'] === 'delete') return { manifest: null }
  const metadata = isObject(value) ? value['metadata'] : undefined
  if (!isObject(value) || !isObject(metadata)) return { because: 'it would be no object any more' }
  if (
    value['kind'] !== manifest.kind ||
    typeof value['apiVersion'] !== 'string' ||
    groupOf(value['apiVersion']) !== groupOf(manifest.apiVersion) ||
    metadata['name'] !== manifest.metadata.name ||
    metadata['namespace'] !== manifest.metadata.namespace
  ) {
    return { because: 'a patch must not change kind, group, name or namespace' }
  }
  return { manifest: value as Manifest }
}

function applyAny(value: JsonObject, patch: Patch['patch']): { readonly value: Json } | { readonly because: string } {
  if (isObject(patch)) {
    const merged = strategicMerge(value, patch)
    if (merged.ok) return { value: merged.object }
    return { because: merged.path === '' ? merged.because : `${merged.path}: ${merged.because}` }
  }
  const result = applyJsonPatch(value, patch)
  return result.ok
    ? { value: result.doc }
    : { because: `operation ${result.index}, ${result.pointer}: ${result.because}` }
}

/**
 * Two overlays of one layer disagree where the order in which they are applied shows in the result: no list order and no name may
 * decide what a site runs. That is asked of the result, so it holds for strategic merges and JSON patches alike. Elements that
 * both add to a list are no disagreement, whatever their order.
 */
function layerConflicts(objects: readonly Prepared[], layer: readonly ResolvedOverlay[]): readonly Problem[] {
  for (const { ref, manifest, entry } of objects) {
    if (entry.sealed === true) continue
    const touching = layer
      .map((overlay) => ({ overlay, patches: overlay.patches.filter(({ target }) => targets(ref, target)) }))
      .filter(({ patches }) => patches.length > 0)
    for (const [i, a] of touching.entries()) {
      for (const b of touching.slice(i + 1)) {
        const forth = inOrder(manifest, [...a.patches, ...b.patches])
        const back = inOrder(manifest, [...b.patches, ...a.patches])
        if (forth === undefined || back === undefined) continue
        const path = difference(forth, back, '')
        if (path === undefined) continue
        const names = `${a.overlay.applied.overlay.name} and ${b.overlay.applied.overlay.name}`
        const message = `overlays ${names} set ${path} of ${formatRef(ref)} differently`
        const { problems } = fail(
          'FLT2103',
          b.patches[0]?.place ?? b.overlay.applied.overlay.place,
          message,
          'Set it in one of them.',
        )
        return problems.map((problem) => ({ ...problem, path, also: a.patches.slice(0, 1).map(({ place }) => place) }))
      }
    }
  }
  return []
}

function inOrder(manifest: Manifest, patches: readonly ResolvedPatch[]): Json | undefined {
  let value: Json = manifest
  for (const { patch } of patches) {
    const result: ReturnType<typeof applyAny> = isObject(value) ? applyAny(value, patch) : { because: '' }
    if ('because' in result) return undefined
    value = result.value
  }
  return value
}

/** Pointer of the first difference; lists are compared whatever their order. */
function difference(a: Json | undefined, b: Json | undefined, path: string): string | undefined {
  if (isObject(a) && isObject(b)) {
    for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
      const found = difference(a[key], b[key], `${path}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`)
      if (found !== undefined) return found
    }
    return undefined
  }
  return sortedText(a) === sortedText(b) ? undefined : path === '' ? '/' : path
}

function sortedText(value: Json | undefined): string {
  if (value === undefined) return ''
  return canonicalJson(unordered(value))
}

function unordered(value: Json): Json {
  if (Array.isArray(value)) {
    const items = (value as readonly Json[]).map(unordered)
    return items.toSorted((a, b) => (canonicalJson(a) < canonicalJson(b) ? -1 : 1))
  }
  if (!isObject(value)) return value
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, item]) => (item === undefined ? [] : [[key, unordered(item)]])),
  )
}
