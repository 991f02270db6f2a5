/** Disks that a pod names itself, of the kinds that suffer one pod, or readers only, on a node: as kube-scheduler's VolumeRestrictions. */
import { isObject, type JsonObject } from '../model/json.ts'
import { listAt, objectAt, textAt, textsAt } from './object.ts'

export const DISK_KINDS = ['gcePersistentDisk', 'awsElasticBlockStore', 'rbd', 'iscsi'] as const

export interface Disk {
  readonly kind: (typeof DISK_KINDS)[number]
  readonly id: string
  /** Of rbd: one of them in common, and it is the same image. */
  readonly monitors: readonly string[]
  readonly readOnly: boolean
}

export function readDisks(spec: JsonObject): Disk[] {
  return listAt(spec, 'volumes').flatMap((volume) =>
    DISK_KINDS.filter((kind) => isObject(volume[kind])).map((kind) => {
      const disk = objectAt(volume, kind)
      return { kind, id: idOf(kind, disk), monitors: textsAt(disk, 'monitors'), readOnly: disk['readOnly'] === true }
    }),
  )
}

function idOf(kind: Disk['kind'], disk: JsonObject): string {
  switch (kind) {
    case 'gcePersistentDisk':
      return textAt(disk, 'pdName')
    case 'awsElasticBlockStore':
      return textAt(disk, 'volumeID')
    case 'iscsi':
      return textAt(disk, 'iqn')
    case 'rbd':
      return `${textAt(disk, 'pool') || 'rbd'}/${textAt(disk, 'image')}`
  }
}

export function disksClash(a: Disk, b: Disk): boolean {
  if (a.kind !== b.kind || a.id !== b.id) return false
  if (a.kind === 'awsElasticBlockStore') return true
  if (a.kind === 'rbd' && !a.monitors.some((monitor) => b.monitors.includes(monitor))) return false
  return !(a.readOnly && b.readOnly)
}
