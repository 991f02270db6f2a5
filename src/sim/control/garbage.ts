/** Owner references, terminating namespaces and definitions: what goes because something else went. */
import type { JsonObject } from '../../core/model/json.ts'
import { groupOf, type Manifest, type OwnerReference } from '../../core/model/object.ts'
import { idOf } from '../api-server.ts'
import { CRD_KEY } from '../kind-registry.ts'
import type { Change } from '../storage.ts'
import { condition, create, put, specOf, statusOf, type Desk } from './desk.ts'

export const GARBAGE = 'Garbage'
const FOREGROUND = 'foregroundDeletion'
const ORPHAN = 'orphan'

/** Who is owned by whom, kept from the changes. */
export class Owners {
  /** Owner's UID to `key id` of its dependents. */
  readonly #dependents = new Map<string, Set<string>>()

  hear(change: Change): void {
    const place = `${change.key} ${idOf(change.object.metadata.namespace ?? '', change.object.metadata.name)}`
    for (const { uid } of change.previous?.metadata.ownerReferences ?? []) {
      const set = this.#dependents.get(uid)
      set?.delete(place)
      if (set?.size === 0) this.#dependents.delete(uid)
    }
    if (change.type === 'deleted') return
    for (const { uid } of change.object.metadata.ownerReferences ?? []) {
      const set = this.#dependents.get(uid)
      if (set === undefined) this.#dependents.set(uid, new Set([place]))
      else set.add(place)
    }
  }

  dependents(desk: Desk, uid: string): readonly Manifest[] {
    return [...(this.#dependents.get(uid) ?? [])].flatMap((place) => {
      const [key = '', id = ''] = place.split(' ')
      return desk.server.storage.get(key, id) ?? []
    })
  }
}

/** One object's part: `uid` of an owner that is gone or going. */
export function collect(desk: Desk, owners: Owners, uid: string): void {
  for (const dependent of owners.dependents(desk, uid)) {
    const alive = (dependent.metadata.ownerReferences ?? []).filter((owner) => exists(desk, dependent, owner))
    if (alive.length > 0) dropOwners(desk, dependent, alive)
    else deleteObject(desk, dependent, 'Background')
  }
}

function exists(desk: Desk, dependent: Manifest, owner: OwnerReference): boolean {
  const key = `${groupOf(owner.apiVersion)}/${owner.kind}`
  for (const namespace of [dependent.metadata.namespace ?? '', ''])
    if (desk.server.storage.get(key, idOf(namespace, owner.name))?.metadata.uid === owner.uid) return true
  return false
}

function dropOwners(desk: Desk, dependent: Manifest, alive: readonly OwnerReference[]): void {
  if (alive.length === dependent.metadata.ownerReferences?.length) return
  const { ownerReferences: _, ...metadata } = dependent.metadata
  put(desk, {
    ...dependent,
    metadata: alive.length === 0 ? metadata : { ...metadata, ownerReferences: alive },
  })
}

function deleteObject(desk: Desk, object: Manifest, propagation: 'Background' | 'Foreground'): void {
  if (object.metadata.deletionTimestamp !== undefined) return
  const served = desk.server.kinds.resolve(object)
  desk.server.delete(served, object.metadata.namespace ?? '', object.metadata.name, {
    propagation,
    uid: object.metadata.uid as string,
  })
}

/** An object that is going and whose finalizers are the collector's. */
export function finishDeletion(desk: Desk, owners: Owners, object: Manifest): void {
  const { finalizers = [], uid = '', deletionTimestamp } = object.metadata
  if (deletionTimestamp === undefined) return
  const served = desk.server.kinds.resolve(object)
  const dependents = owners.dependents(desk, uid)
  if (finalizers.includes(ORPHAN)) {
    for (const dependent of dependents)
      dropOwners(
        desk,
        dependent,
        (dependent.metadata.ownerReferences ?? []).filter((owner) => owner.uid !== uid),
      )
    desk.server.removeFinalizer(served, object, ORPHAN)
  } else if (finalizers.includes(FOREGROUND)) {
    if (dependents.length === 0) desk.server.removeFinalizer(served, object, FOREGROUND)
    else for (const dependent of dependents) deleteObject(desk, dependent, 'Foreground')
  }
}

/** A dependent whose owners never were, or are gone already. */
export function checkOwners(desk: Desk, object: Manifest): void {
  const owners = object.metadata.ownerReferences ?? []
  if (owners.length > 0 && !owners.some((owner) => exists(desk, object, owner)))
    deleteObject(desk, object, 'Background')
}

/** Every namespace has its account and the cluster's certificate; one that is going is emptied first. */
export function reconcileNamespace(desk: Desk, namespace: Manifest): void {
  const { name, deletionTimestamp } = namespace.metadata
  if (deletionTimestamp === undefined) {
    create(desk, { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default', namespace: name } })
    create(desk, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'kube-root-ca.crt', namespace: name },
      data: {},
    })
    return
  }
  if (statusOf(namespace)['phase'] !== 'Terminating') {
    put(desk, { ...namespace, status: { ...statusOf(namespace), phase: 'Terminating' } })
    return
  }
  let left = 0
  for (const key of desk.server.storage.keys()) {
    if (key === '/Namespace') continue
    for (const object of desk.server.storage.all(key, name)) {
      deleteObject(desk, object, 'Background')
      if (desk.server.storage.get(key, idOf(name, object.metadata.name)) !== undefined) left++
    }
  }
  if (left > 0) return desk.later(`/Namespace|/${name}`, desk.delays.stopMs)
  const { finalizers: _, ...spec } = specOf(namespace)
  const served = desk.server.kinds.resolve(namespace)
  const emptied = { ...namespace, spec } as Manifest
  if ((namespace.metadata.finalizers ?? []).length > 0) put(desk, emptied)
  else desk.server.removeFinalizer(served, emptied, 'kubernetes')
}

const CRD_FINALIZER = 'customresourcecleanup.apiextensions.k8s.io'

/** A definition becomes a kind a moment after it was made; one that is going takes its objects along. */
export function reconcileDefinition(desk: Desk, crd: Manifest): void {
  const { server } = desk
  if (crd.metadata.deletionTimestamp !== undefined) {
    const objects = server.storage.all(server.kinds.keysOf(crd))
    for (const object of objects) deleteObject(desk, object, 'Background')
    if (server.storage.all(server.kinds.keysOf(crd)).length > 0)
      return desk.later(`${CRD_KEY}|/${crd.metadata.name}`, desk.delays.stopMs)
    server.kinds.withdraw(crd)
    server.removeFinalizer(server.kinds.resolve(crd), crd, CRD_FINALIZER)
    return
  }
  if (condition(crd, 'Established') !== undefined) return server.refreshKinds(crd)
  const spec = specOf(crd)
  const versions = spec['versions'] as readonly JsonObject[]
  const stored = versions.filter((version) => version['storage'] === true).map((version) => version['name'] as string)
  const at = server.now()
  const next = put(desk, {
    ...crd,
    metadata: { ...crd.metadata, finalizers: [...(crd.metadata.finalizers ?? []), CRD_FINALIZER] },
    status: {
      acceptedNames: spec['names'] as JsonObject,
      storedVersions: stored,
      conditions: [
        {
          type: 'NamesAccepted',
          status: 'True',
          reason: 'NoConflicts',
          message: 'no conflicts found',
          lastTransitionTime: at,
        },
        {
          type: 'Established',
          status: 'True',
          reason: 'InitialNamesAccepted',
          message: 'the initial names have been accepted',
          lastTransitionTime: at,
        },
      ],
    },
  })
  server.refreshKinds(next)
}
