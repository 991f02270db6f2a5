/** What an object must be before it may travel: named, in a namespace of its workload, within its team's rights. */
import { isBatchRef } from '../batch/release.ts'
import { isObject, type JsonObject } from '../model/json.ts'
import { formatRef, type Manifest, type ObjectRef } from '../model/object.ts'
import type { Place, Problem } from '../model/problem.ts'
import type { Code } from './codes.ts'
import type { Team, Workload } from './types.ts'

function problemOf(code: Code, place: Place, path: string, message: string, next: string): Problem {
  return { code, severity: 'error', place, path, message, next }
}

/** What the API server takes as a name in a path; `%` and `/` are in none. */
const NAME = /^[^/%\s]{1,253}$/
const NAMESPACE = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/
const API_VERSION = /^(?:[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\/)?v[a-z0-9]{1,62}$/
const KIND = /^[A-Z][A-Za-z0-9]{0,62}$/

/** FLT2003 and FLT2004: a name that is the same at every apply, or none. */
export function refuseIdentity(value: JsonObject, place: Place): Problem | undefined {
  const { apiVersion, kind, metadata } = value
  if (typeof apiVersion !== 'string' || !API_VERSION.test(apiVersion)) {
    return problemOf('FLT2003', place, 'apiVersion', 'an object without a valid apiVersion', 'Write its apiVersion.')
  }
  if (typeof kind !== 'string' || !KIND.test(kind)) {
    return problemOf('FLT2003', place, 'kind', 'an object without a valid kind', 'Write its kind.')
  }
  if (!isObject(metadata)) {
    return problemOf('FLT2003', place, 'metadata', `a ${kind} without metadata`, 'Write metadata.name.')
  }
  const { name, namespace, generateName } = metadata
  if (generateName !== undefined && (name === undefined || name === '')) {
    const next = 'Write metadata.name: an object of Git needs one name at every apply.'
    return problemOf('FLT2004', place, 'metadata.generateName', `a ${kind} with generateName and no name`, next)
  }
  if (typeof name !== 'string' || !NAME.test(name) || name === '.' || name === '..' || name.startsWith('ENC[')) {
    return problemOf(
      'FLT2003',
      place,
      'metadata.name',
      `a ${kind} without a valid name`,
      'Write metadata.name as text.',
    )
  }
  if (namespace !== undefined && namespace !== '' && (typeof namespace !== 'string' || !NAMESPACE.test(namespace))) {
    const message = `${kind} ${name} has a namespace that is none`
    return problemOf('FLT2003', place, 'metadata.namespace', message, 'Write a DNS label, as text.')
  }
  return undefined
}

/** What every API server refuses, said before it reaches one. */
export function refuseMetadata(value: JsonObject, place: Place): Problem | undefined {
  const { kind, metadata } = value as Manifest
  const who = `${kind} ${metadata.name}`
  for (const field of ['labels', 'annotations']) {
    const map = metadata[field]
    if (map === undefined || map === null) continue
    if (!isObject(map))
      return problemOf('FLT2011', place, `metadata.${field}`, `${field} of ${who} is no map`, 'Write a map.')
    for (const [key, item] of Object.entries(map)) {
      if (typeof item === 'string') continue
      const next = `Write "${JSON.stringify(item).slice(0, 40)}" in quotes.`
      return problemOf(
        'FLT2011',
        place,
        `metadata.${field}.${key}`,
        `${field.slice(0, -1)} ${key} of ${who} is no text`,
        next,
      )
    }
  }
  for (const field of ['uid', 'resourceVersion', 'managedFields']) {
    const found = metadata[field]
    if (found === undefined || found === null) continue
    const next = 'Remove it: it was read from a cluster and is true there only.'
    return problemOf('FLT2011', place, `metadata.${field}`, `${who} carries ${field}`, next)
  }
  return undefined
}

/** Namespaced objects stand where the workload says they may. */
export function refuseNamespace(
  ref: ObjectRef,
  named: string | undefined,
  sealed: boolean,
  workload: Workload,
  place: Place,
): Problem | undefined {
  if (sealed && (named ?? '') !== ref.namespace) {
    const next = 'Write metadata.namespace before it is encrypted: its MAC covers it.'
    return problemOf(
      'FLT2007',
      place,
      'metadata.namespace',
      `${formatRef(ref)} is encrypted and names no namespace`,
      next,
    )
  }
  if (ref.namespace === '' || ref.namespace === workload.namespace || workload.namespaces.includes(ref.namespace)) {
    return undefined
  }
  const allowed = [workload.namespace, ...workload.namespaces].join(', ')
  const problem = problemOf(
    'FLT2006',
    place,
    'metadata.namespace',
    `${formatRef(ref)} is in a namespace that ${workload.name} does not list`,
    `Add ${ref.namespace} to namespaces of the Workload, or correct the object.`,
  )
  return { ...problem, found: ref.namespace, expected: allowed }
}

/** FLT2110: what the owning team has no right to. */
export function outsideMay(team: Team, ref: ObjectRef, place: Place): readonly Problem[] {
  const { kinds, namespaces, clusterScoped } = team.may
  const because =
    kinds !== undefined && !kinds.includes(ref.kind)
      ? `kind ${ref.kind}`
      : ref.namespace === ''
        ? clusterScoped === false && !isBatchRef(ref)
          ? 'cluster-scoped objects'
          : undefined
        : namespaces !== undefined && !namespaces.includes(ref.namespace)
          ? `namespace ${ref.namespace}`
          : undefined
  if (because === undefined) return []
  const next = 'Ask the root team to widen may, or remove the object.'
  const problem = problemOf(
    'FLT2110',
    place,
    'kind',
    `team ${team.name} may not have ${because}: ${formatRef(ref)}`,
    next,
  )
  return [{ ...problem, also: [team.place] }]
}
