/** Objects of one workload, named and in their namespaces: what every class of sites starts from. */
import { BATCH_GROUP } from '../batch/release.ts'
import { currentGroup, scopeOf } from '../kube/builtin-kinds.ts'
import { digestBytes, digestJson, type Digest } from '../model/digest.ts'
import { byUtf16, canonicalJson, isObject, type Json, type JsonObject } from '../model/json.ts'
import { formatRef, groupOf, refKey, type Manifest, type ObjectRef } from '../model/object.ts'
import type { Place, Problem } from '../model/problem.ts'
import type { ReleaseObject } from '../model/release.ts'
import { outsideMay, refuseIdentity, refuseMetadata, refuseNamespace } from './object-rules.ts'
import type { Source, SourceObject } from './sources.ts'
import type { Team, Workload } from './types.ts'

/** An object with its bytes and name; `text` is its place in the release, ready to be joined. */
export interface Prepared {
  readonly ref: ObjectRef
  readonly key: string
  /** For encrypted ones: as it stands in Git, to be looked at and never to be sent. */
  readonly manifest: Manifest
  readonly entry: ReleaseObject
  readonly text: string
  readonly bytes: Uint8Array
  readonly place: Place
}

export interface PreparedWorkload {
  /** Sorted by key. */
  readonly objects: readonly Prepared[]
  /** Of all that these objects come from, and of nothing else. */
  readonly digest: Digest
}

/** Scopes that CustomResourceDefinitions in the fleet's sources declare: `group/kind` → scope. */
export type Scopes = ReadonlyMap<string, 'namespaced' | 'cluster'>

export function declaredScopes(objects: Iterable<SourceObject>): Scopes {
  const scopes = new Map<string, 'namespaced' | 'cluster'>([[`${BATCH_GROUP}/BatchQueue`, 'cluster']])
  for (const { value } of objects) {
    const spec = value['spec']
    if (value['kind'] !== 'CustomResourceDefinition' || !isObject(spec) || !isObject(spec['names'])) continue
    const { group, names, scope } = spec as { readonly group?: Json; readonly names: JsonObject; readonly scope?: Json }
    if (typeof group === 'string' && typeof names['kind'] === 'string') {
      scopes.set(`${group}/${names['kind']}`, scope === 'Cluster' ? 'cluster' : 'namespaced')
    }
  }
  return scopes
}

/**
 * Built in, or declared by a CRD of the fleet. Of any other kind only the cluster knows: one that names a namespace has one, and
 * by custom kinds that are called Cluster… have none.
 */
function isNamespaced(group: string, kind: string, hasNamespace: boolean, scopes: Scopes): boolean {
  const known = scopeOf(group, kind) ?? scopes.get(`${group}/${kind}`)
  return known === undefined ? hasNamespace || !kind.startsWith('Cluster') : known === 'namespaced'
}

export type Preparation =
  | { readonly ok: true; readonly workload: PreparedWorkload }
  | { readonly ok: false; readonly problems: readonly Problem[] }

export function prepare(workload: Workload, source: Source, scopes: Scopes, team: Team | undefined): Preparation {
  const problems: Problem[] = []
  const objects = new Map<string, Prepared>()
  for (const object of source.objects) {
    const prepared = prepareOne(object, workload, scopes, problems)
    if (prepared === undefined) continue
    const owned = ownedKey(prepared.ref)
    const first = objects.get(owned)
    if (first === undefined) objects.set(owned, prepared)
    else {
      problems.push({
        code: 'FLT2005',
        severity: 'error',
        place: prepared.place,
        also: [first.place],
        path: 'metadata.name',
        message: `${formatRef(prepared.ref)} stands twice in ${workload.name}`,
        next: 'Remove or rename one of them.',
      })
    }
    if (team !== undefined) problems.push(...outsideMay(team, prepared.ref, prepared.place))
  }
  if (problems.length > 0) return { ok: false, problems }
  const sorted = [...objects.values()].toSorted((a, b) => byUtf16(a.key, b.key))
  const digest = digestJson(
    'class',
    sorted.map(({ key, entry }) => [key, entry.apiVersion, entry.blob]),
  )
  return { ok: true, workload: { objects: sorted, digest } }
}

/** One object whatever group it is asked for by: an Ingress of `extensions` is that of `networking.k8s.io`. */
export function ownedKey(ref: ObjectRef): string {
  return refKey({ ...ref, group: currentGroup(ref.group, ref.kind) })
}

function prepareOne(
  { value, sealed, place }: SourceObject,
  workload: Workload,
  scopes: Scopes,
  problems: Problem[],
): Prepared | undefined {
  const refused = refuseIdentity(value, place) ?? refuseMetadata(value, place)
  if (refused !== undefined) {
    problems.push(refused)
    return undefined
  }
  const manifest = value as Manifest
  const group = groupOf(manifest.apiVersion)
  const named = manifest.metadata.namespace
  const namespaced = isNamespaced(group, manifest.kind, named !== undefined && named !== '', scopes)
  const namespace = namespaced ? (named === undefined || named === '' ? workload.namespace : named) : ''
  const ref: ObjectRef = { group, kind: manifest.kind, namespace, name: manifest.metadata.name }
  const bad = refuseNamespace(ref, named, sealed !== null, workload, place)
  if (bad !== undefined) {
    problems.push(bad)
    return undefined
  }
  if (sealed !== null) return seal(ref, manifest, sealed, place)
  return encode(ref, withNamespace(manifest, namespace), place)
}

function withNamespace(manifest: Manifest, namespace: string): Manifest {
  if ((manifest.metadata.namespace ?? '') === namespace && (namespace !== '' || !('namespace' in manifest.metadata))) {
    return manifest
  }
  const { namespace: _dropped, ...metadata } = manifest.metadata
  return { ...manifest, metadata: namespace === '' ? metadata : { ...metadata, namespace } }
}

const utf8 = new TextEncoder()

/** Canonical bytes, digest and release entry of a plain object. */
export function encode(ref: ObjectRef, manifest: Manifest, place: Place): Prepared {
  const text = canonicalJson(manifest)
  const entry: ReleaseObject = { ref, apiVersion: manifest.apiVersion, blob: digestBytes('object', text) }
  return {
    ref,
    key: refKey(ref),
    manifest,
    entry,
    text: canonicalJson(entry as unknown as Json),
    bytes: utf8.encode(text),
    place,
  }
}

function seal(ref: ObjectRef, manifest: Manifest, bytes: Uint8Array, place: Place): Prepared {
  const blob = digestBytes('sealed', bytes)
  const entry: ReleaseObject = { ref, apiVersion: manifest.apiVersion, blob, sealed: true }
  return { ref, key: refKey(ref), manifest, entry, text: canonicalJson(entry as unknown as Json), bytes, place }
}
