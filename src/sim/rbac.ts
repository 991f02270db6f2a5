/** Role-based access as the stored Roles and bindings say it. */
import { isObject, type Json, type JsonObject } from '../core/model/json.ts'
import type { Storage } from './storage.ts'

export interface Account {
  readonly user: string
  readonly groups: readonly string[]
}

export interface Attempt {
  readonly verb: string
  readonly group: string
  /** With its subresource, `pods/eviction`. */
  readonly resource: string
  readonly namespace: string
  readonly name: string
}

const RBAC = 'rbac.authorization.k8s.io'

export function mayDo(storage: Storage, account: Account, attempt: Attempt): boolean {
  if (account.groups.includes('system:masters')) return true
  for (const binding of storage.all(`${RBAC}/ClusterRoleBinding`))
    if (binds(binding, account) && rulesOf(storage, binding, '').some((rule) => allows(rule, attempt))) return true
  if (attempt.namespace === '') return false
  for (const binding of storage.all(`${RBAC}/RoleBinding`, attempt.namespace))
    if (binds(binding, account) && rulesOf(storage, binding, attempt.namespace).some((rule) => allows(rule, attempt)))
      return true
  return false
}

function binds(binding: JsonObject, account: Account): boolean {
  return ((binding['subjects'] ?? []) as readonly JsonObject[]).some((subject) => {
    const name = subject['name'] as string
    if (subject['kind'] === 'Group') return account.groups.includes(name)
    if (subject['kind'] === 'ServiceAccount')
      return account.user === `system:serviceaccount:${(subject['namespace'] as string | undefined) ?? ''}:${name}`
    return account.user === name
  })
}

function rulesOf(storage: Storage, binding: JsonObject, namespace: string): readonly JsonObject[] {
  const role = binding['roleRef']
  if (!isObject(role)) return []
  const kind = role['kind'] as string
  const id = `${kind === 'Role' ? namespace : ''}/${role['name'] as string}`
  return (storage.get(`${RBAC}/${kind}`, id)?.['rules'] ?? []) as readonly JsonObject[]
}

function allows(rule: JsonObject, attempt: Attempt): boolean {
  const names = (rule['resourceNames'] ?? []) as readonly string[]
  return (
    has(rule['verbs'], attempt.verb) &&
    has(rule['apiGroups'], attempt.group) &&
    (has(rule['resources'], attempt.resource) || has(rule['resources'], attempt.resource.replace(/^[^/]+/, '*'))) &&
    (names.length === 0 || names.includes(attempt.name))
  )
}

function has(list: Json | undefined, word: string): boolean {
  return Array.isArray(list) && (list.includes(word) || list.includes('*'))
}
