/** Who holds which field of a live object, read from `metadata.managedFields`, and how earlier tools' fields become ours. */
import { isObject, type Json, type JsonObject } from '../model/json.ts'
import type { Manifest } from '../model/object.ts'
import { FIELD_MANAGER } from './marks.ts'

interface ManagerEntry extends JsonObject {
  readonly manager: string
  readonly operation: string
  readonly apiVersion: string
  readonly fieldsV1: JsonObject
}

/** Tools that put objects there, once: what they set and Git no longer names must be able to go away. Controllers are not among them. */
const DEPLOYERS = new Set([
  'before-first-apply',
  'helm',
  'Helm',
  'helm-controller',
  'kustomize-controller',
  'argocd-controller',
  'argocd-application-controller',
  'argocd',
  'fleetagent',
  'fleet-agent',
  'rancher',
  'kapp-controller',
  'kapp',
  'configsync.gke.io',
  'pulumi-kubernetes',
  'Terraform',
  'terraform',
  'application/apply-patch',
])

/** `kubectl`, and `kubectl-client-side-apply`, `kubectl-edit`, `kubectl-create` and the rest of its commands. */
export function isDeployer(manager: string): boolean {
  return DEPLOYERS.has(manager) || manager === 'kubectl' || manager.startsWith('kubectl-')
}

export function managerEntries(live: Manifest): readonly ManagerEntry[] {
  return (live.metadata.managedFields ?? []).filter(
    (entry): entry is ManagerEntry => isObject(entry) && typeof entry.manager === 'string' && isObject(entry.fieldsV1),
  )
}

/** Managers other than us that hold the field at a JSON pointer, or something under it; `scale` is told by its subresource. */
export function managersAt(
  live: Manifest,
  pointer: string,
): readonly { readonly manager: string; readonly subresource: string }[] {
  const tokens = pointer.split('/').slice(1).map(unescapeToken)
  return managerEntries(live)
    .filter((entry) => entry.manager !== FIELD_MANAGER && holds(entry.fieldsV1, live, tokens))
    .map((entry) => ({
      manager: entry.manager,
      subresource: typeof entry.subresource === 'string' ? entry.subresource : '',
    }))
}

function holds(fields: JsonObject, value: Json | undefined, tokens: readonly string[]): boolean {
  const [token, ...rest] = tokens
  if (token === undefined) return true
  if (!Array.isArray(value)) {
    const inner = fields[`f:${token}`]
    return isObject(inner) && (leaf(inner) || holds(inner, isObject(value) ? value[token] : undefined, rest))
  }
  const item = value[Number(token)] as Json | undefined
  return Object.entries(fields).some(([key, inner]) => {
    if (!isObject(inner)) return false
    if (key.startsWith('v:')) return key.slice(2) === JSON.stringify(item)
    if (!key.startsWith('k:') || !isObject(item)) return false
    return namesItem(key.slice(2), item) && (leaf(inner) || holds(inner, item, rest))
  })
}

function leaf(fields: JsonObject): boolean {
  return Object.keys(fields).every((key) => key === '.')
}

function namesItem(keyText: string, item: JsonObject): boolean {
  try {
    const keys = JSON.parse(keyText) as JsonObject
    return Object.entries(keys).every(([name, value]) => item[name] === value)
  } catch {
    return false
  }
}

/**
 * A JSON patch that makes fields of earlier deployers ours, so that the next apply removes what Git no longer names; null where
 * there is nothing to take. It carries the resourceVersion it was decided on.
 */
export function migrationPatch(live: Manifest): readonly JsonObject[] | null {
  const entries = managerEntries(live)
  const earlier = entries.filter((entry) => takesOver(entry))
  if (earlier.length === 0) return null
  const ours = entries.find((entry) => entry.manager === FIELD_MANAGER && entry.operation === 'Apply')
  const [first] = earlier
  const merged: JsonObject = {
    ...(ours ?? first),
    manager: FIELD_MANAGER,
    operation: 'Apply',
    fieldsV1: earlier.reduce((fields, entry) => union(fields, entry.fieldsV1), ours?.fieldsV1 ?? {}),
  }
  const rest = (live.metadata.managedFields ?? []).filter(
    (entry) => entry !== ours && !earlier.includes(entry as ManagerEntry),
  )
  return [
    { op: 'replace', path: '/metadata/managedFields', value: [merged, ...rest] },
    { op: 'replace', path: '/metadata/resourceVersion', value: live.metadata.resourceVersion ?? '' },
  ]
}

function takesOver(entry: ManagerEntry): boolean {
  if (entry.subresource !== undefined && entry.subresource !== '') return false
  // Our own Update entry comes from a create that was not a server-side apply.
  if (entry.manager === FIELD_MANAGER) return entry.operation === 'Update'
  return isDeployer(entry.manager)
}

function union(a: JsonObject, b: JsonObject): JsonObject {
  const out: Record<string, Json | undefined> = { ...a }
  for (const [key, value] of Object.entries(b)) {
    const held = out[key]
    out[key] = isObject(held) && isObject(value) ? union(held, value) : value
  }
  return out
}

export function unescapeToken(token: string): string {
  return token.replaceAll('~1', '/').replaceAll('~0', '~')
}

export function escapeToken(token: string): string {
  return token.replaceAll('~', '~0').replaceAll('/', '~1')
}
