/** What stands around nodes and pods: kinds that are kept as they are, and storage and devices, which are read. */
import type { JsonObject } from '../model/json.ts'
import { Devices } from './devices.ts'
import { DEFAULT_NAMESPACE } from './ingest.ts'
import { numberAt, objectAt, textAt, textsByKey } from './object.ts'
import type { Registry } from './registry.ts'
import type { State } from './state.ts'
import type { ObjectKind } from './types.ts'
import { Volumes } from './volumes.ts'

export type SurroundingKind = Exclude<ObjectKind, 'Node' | 'Pod'>

const STORAGE = ['PersistentVolumeClaim', 'PersistentVolume', 'StorageClass', 'CSINode', 'CSIDriver', 'CSIStorageCapacity', 'ResourceClaim', 'DeviceClass', 'ResourceSlice'] as const // prettier-ignore
type StorageKind = (typeof STORAGE)[number]

/** What pods ask nodes for beyond room: what was remembered of nodes is looked at again after it changed. */
export function isStorage(kind: SurroundingKind): kind is StorageKind {
  return (STORAGE as readonly string[]).includes(kind)
}

/** namespaces: terms may select other pods than before. */
export type Changed = 'namespaces' | 'nothing else'

export class Surroundings {
  readonly devices: Devices
  readonly volumes: Volumes
  readonly budgets = new Map<string, JsonObject>()
  readonly quotas = new Map<string, JsonObject>()
  readonly priorities = new Map<string, number>()
  readonly #registry: Registry

  constructor(state: State, registry: Registry) {
    this.devices = new Devices(state)
    this.volumes = new Volumes(state, this.devices)
    this.#registry = registry
  }

  /** Must the pods on nodes be counted anew around the change? Of storage that is not the case for what only pods to come can see. */
  concernsPlaced(kind: StorageKind, object: JsonObject, key: string): boolean {
    if (kind === 'PersistentVolumeClaim') return this.volumes.concernsPlaced(object, key)
    return kind === 'ResourceClaim' || kind === 'DeviceClass' || kind === 'ResourceSlice'
  }

  set(kind: SurroundingKind, object: JsonObject, key: string): Changed {
    const metadata = objectAt(object, 'metadata')
    const name = textAt(metadata, 'name')
    switch (kind) {
      case 'Namespace':
        this.#registry.namespaceLabels.set(name, textsByKey(metadata, 'labels'))
        return 'namespaces'
      case 'PodDisruptionBudget':
        this.budgets.set(key, object)
        break
      case 'ResourceQuota':
        this.quotas.set(key, object)
        break
      case 'PriorityClass':
        this.priorities.set(name, numberAt(object, 'value', 0))
        break
      case 'PersistentVolumeClaim':
        this.volumes.setClaim(object, key)
        break
      case 'PersistentVolume':
        this.volumes.setVolume(object)
        break
      case 'StorageClass':
        this.volumes.setClass(object)
        break
      case 'CSINode':
        this.volumes.setLimits(object)
        break
      case 'CSIDriver':
        this.volumes.setDriver(object)
        break
      case 'CSIStorageCapacity':
        this.volumes.setRoom(object, key)
        break
      case 'ResourceClaim':
        this.devices.setClaim(object, key)
        break
      case 'DeviceClass':
        this.devices.setClass(object)
        break
      case 'ResourceSlice':
        this.devices.setSlice(object)
        break
    }
    return 'nothing else'
  }

  drop(kind: SurroundingKind, key: string, name: string): Changed {
    switch (kind) {
      case 'Namespace':
        this.#registry.namespaceLabels.delete(name)
        return 'namespaces'
      case 'PodDisruptionBudget':
        this.budgets.delete(key)
        break
      case 'ResourceQuota':
        this.quotas.delete(key)
        break
      case 'PriorityClass':
        this.priorities.delete(name)
        break
      case 'PersistentVolumeClaim':
        this.volumes.drop('claim', key)
        break
      case 'PersistentVolume':
        this.volumes.drop('volume', name)
        break
      case 'StorageClass':
        this.volumes.drop('class', name)
        break
      case 'CSINode':
        this.volumes.drop('limits', name)
        break
      case 'CSIDriver':
        this.volumes.drop('driver', name)
        break
      case 'CSIStorageCapacity':
        this.volumes.drop('room', key)
        break
      case 'ResourceClaim':
        this.devices.drop('claim', key)
        break
      case 'DeviceClass':
        this.devices.drop('class', name)
        break
      case 'ResourceSlice':
        this.devices.drop('slice', name)
        break
    }
    return 'nothing else'
  }
}

/** `namespace/name`. */
export function keyOf(object: JsonObject): string {
  const metadata = objectAt(object, 'metadata')
  return `${textAt(metadata, 'namespace') || DEFAULT_NAMESPACE}/${textAt(metadata, 'name')}`
}
