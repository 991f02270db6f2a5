import { byUtf16, type Json, type JsonObject } from './json.ts'

/** One Kubernetes object as JSON: what is desired or what was read. */
export interface Manifest extends JsonObject {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: ObjectMeta
}

export interface ObjectMeta extends JsonObject {
  readonly name: string
  readonly namespace?: string
  readonly uid?: string
  readonly resourceVersion?: string
  readonly generation?: number
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly deletionTimestamp?: string
  readonly creationTimestamp?: string
  readonly finalizers?: readonly string[]
  readonly ownerReferences?: readonly OwnerReference[]
  readonly managedFields?: readonly Json[]
}

export interface OwnerReference extends JsonObject {
  readonly apiVersion: string
  readonly kind: string
  readonly name: string
  readonly uid: string
  readonly controller?: boolean
}

/** Names one object whatever its version: `extensions/v1beta1` and `networking.k8s.io/v1` are still two groups. */
export interface ObjectRef {
  /** '' for the core group. */
  readonly group: string
  readonly kind: string
  /** '' for cluster-scoped objects. */
  readonly namespace: string
  readonly name: string
}

export function groupOf(apiVersion: string): string {
  const slash = apiVersion.indexOf('/')
  return slash < 0 ? '' : apiVersion.slice(0, slash)
}

export function versionOf(apiVersion: string): string {
  return apiVersion.slice(apiVersion.indexOf('/') + 1)
}

export function refOf(manifest: Manifest): ObjectRef {
  const { metadata } = manifest
  return {
    group: groupOf(manifest.apiVersion),
    kind: manifest.kind,
    namespace: metadata.namespace ?? '',
    name: metadata.name,
  }
}

/** The key of a ref in maps and stores: `group/kind/namespace/name`. None of the four may contain a slash. */
export function refKey(ref: ObjectRef): string {
  return `${ref.group}/${ref.kind}/${ref.namespace}/${ref.name}`
}

export function parseRefKey(key: string): ObjectRef {
  const [group = '', kind = '', namespace = '', name = ''] = key.split('/')
  return { group, kind, namespace, name }
}

/** For people: `Deployment shop/web`, `apps.example/Widget web`. */
export function formatRef(ref: ObjectRef): string {
  const kind = ref.group.includes('.') && !ref.group.endsWith('.k8s.io') ? `${ref.group}/${ref.kind}` : ref.kind
  return `${kind} ${ref.namespace === '' ? '' : `${ref.namespace}/`}${ref.name}`
}

export function compareRefs(a: ObjectRef, b: ObjectRef): number {
  return byUtf16(refKey(a), refKey(b))
}
