/** What the controllers of a simulated cluster share: the server, time, and when to look again. */
import { type Json, jsonEqual, type JsonObject } from '../../core/model/json.ts'
import { refOf, type Manifest } from '../../core/model/object.ts'
import { idOf, type ApiServer } from '../api-server.ts'

export interface SimNode {
  readonly name: string
  /** Resource quantities, `cpu`, `memory`, `pods` and extended ones. */
  readonly capacity: Readonly<Record<string, string>>
  readonly labels?: Readonly<Record<string, string>>
}

/** How long things take, in ms of the clock. */
export interface Delays {
  readonly reactMs: number
  readonly scheduleMs: number
  /** Pull and start of a container. */
  readonly startMs: number
  /** From running to ready. */
  readonly readyMs: number
  readonly stopMs: number
  /** A job's container runs for so long, where nothing else says it. */
  readonly jobMs: number
  /** A crashing container runs for so long each time. */
  readonly crashMs: number
  readonly establishMs: number
}

export const DELAYS: Delays = {
  reactMs: 5,
  scheduleMs: 10,
  startMs: 300,
  readyMs: 200,
  stopMs: 200,
  jobMs: 500,
  crashMs: 2_000,
  establishMs: 30,
}

/** What becomes of a container; by default its image's tag says it. */
export type Behaviour = 'run' | 'image-missing' | 'crash' | 'never-ready' | 'fail'

export interface ControllerOptions {
  readonly nodes: readonly SimNode[]
  readonly delays: Partial<Delays>
  /** `auto`: runs by the clock; `manual`: only when `tick` is called. */
  readonly drive: 'auto' | 'manual'
  readonly behaviour: (image: string, pod: Manifest) => Behaviour
  /** How long a pod runs that ends by itself, where its command does not say it; absent: `jobMs`. */
  readonly runMs?: (pod: Manifest) => number | undefined
  /** A node's name for a pod, or undefined: it stays pending. */
  readonly schedule?: (pod: Manifest, nodes: readonly Manifest[]) => string | undefined
}

export interface Desk {
  readonly server: ApiServer
  readonly options: ControllerOptions
  readonly delays: Delays
  monotonicMs(): number
  wallMs(): number
  /** Look at this again after so long: `Kind|namespace/name`. */
  later(key: string, ms: number): void
}

export const DEPLOYMENT = 'apps/Deployment'
export const REPLICA_SET = 'apps/ReplicaSet'
export const STATEFUL_SET = 'apps/StatefulSet'
export const DAEMON_SET = 'apps/DaemonSet'
export const JOB = 'batch/Job'
export const POD = '/Pod'

export function agendaKey(key: string, object: Manifest): string {
  return `${key}|${object.metadata.namespace ?? ''}/${object.metadata.name}`
}

export function specOf(object: Manifest): JsonObject {
  return (object['spec'] ?? {}) as JsonObject
}

export function statusOf(object: Manifest): JsonObject {
  return (object['status'] ?? {}) as JsonObject
}

export function conditionsOf(object: Manifest): readonly JsonObject[] {
  return (statusOf(object)['conditions'] ?? []) as readonly JsonObject[]
}

export function condition(object: Manifest, type: string): JsonObject | undefined {
  return conditionsOf(object).find((one) => one['type'] === type)
}

/** Objects of a kind whose controller is `owner`. */
export function ownedBy(desk: Desk, key: string, owner: Manifest): readonly Manifest[] {
  return desk.server.storage
    .all(key, owner.metadata.namespace)
    .filter((one) =>
      one.metadata.ownerReferences?.some((ref) => ref.controller === true && ref.uid === owner.metadata.uid),
    )
}

export function ownerReference(owner: Manifest): JsonObject {
  return {
    apiVersion: owner.apiVersion,
    kind: owner.kind,
    name: owner.metadata.name,
    uid: owner.metadata.uid,
    controller: true,
    blockOwnerDeletion: true,
  }
}

const MANAGER = 'kube-controller-manager'

/** Writes a status where it differs; the controllers of workloads own their fields, as real ones do. */
export function writeStatus(desk: Desk, object: Manifest, status: JsonObject): void {
  if (jsonEqual(statusOf(object), status)) return
  const served = desk.server.kinds.resolve(object)
  desk.server.update(served, { ...object, status }, { manager: MANAGER, subresource: 'status' })
}

/** Puts a changed object in place, unclaimed by any manager. */
export function put(desk: Desk, object: Manifest): Manifest {
  const { group, kind, namespace, name } = refOf(object)
  return desk.server.storage.put(`${group}/${kind}`, idOf(namespace, name), object)
}

export function create(desk: Desk, object: JsonObject): Manifest | undefined {
  const manifest = object as Manifest
  const served = desk.server.kinds.resolve(manifest)
  const { namespace, name } = refOf(manifest)
  // A namespace that is going takes nothing new; whoever asked is going too.
  const home = desk.server.storage.get('/Namespace', idOf('', namespace))
  if (home === undefined || home.metadata.deletionTimestamp !== undefined) return undefined
  if (name !== undefined && desk.server.get(served, namespace, name) !== undefined) return undefined
  return desk.server.create(manifest, { manager: MANAGER, track: 'off' })
}

export function remove(desk: Desk, object: Manifest): void {
  const { namespace, name } = refOf(object)
  desk.server.delete(desk.server.kinds.resolve(object), namespace, name, {})
}

/** Ten letters that stand for a template: the same template, the same letters. */
export function templateHash(template: Json | undefined): string {
  let [low, high] = [0x811c9dc5, 0x01000193]
  for (let i = 0, json = JSON.stringify(sorted(template)); i < json.length; i++) {
    const unit = json.charCodeAt(i)
    low = Math.imul(low ^ unit, 0x01000193) >>> 0
    high = Math.imul(high ^ unit, 0x85ebca6b) >>> 0
  }
  const letters = 'bcdfghjklmnpqrstvwxz2456789'
  let text = ''
  for (let rest of [low, high])
    for (let i = 0; i < 5; i++) {
      text += letters[rest % 27]
      rest = Math.floor(rest / 27)
    }
  return text
}

function sorted(value: Json | undefined): Json {
  if (Array.isArray(value)) return (value as readonly Json[]).map((item) => sorted(item))
  if (typeof value !== 'object' || value === null) return value ?? null
  const object = value as JsonObject
  return Object.fromEntries(
    Object.keys(object)
      .toSorted()
      .map((key) => [key, sorted(object[key])]),
  )
}
