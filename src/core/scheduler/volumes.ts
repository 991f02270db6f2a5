/**
 * Volumes as far as placement depends on them: bound claims pin pods to where the volume is, claims that wait for their first consumer
 * are matched with free volumes or with a provisioner that has room, nodes take a limited number, and some volumes suffer one pod only.
 */
import { selectorMatches } from '../kube/selector.ts'
import type { JsonObject } from '../model/json.ts'
import type { PodClass } from './classes.ts'
import type { Devices } from './devices.ts'
import { disksClash } from './disks.ts'
import type { NodeFacts } from './node.ts'
import { objectAt, textAt } from './object.ts'
import type { State } from './state.ts'
import {
  couldServe,
  isFreeFor,
  isInZone,
  isKeptFor,
  reaches,
  readClaim,
  readLimits,
  readStorageClass,
  readStorageRoom,
  readVolume,
  topologyAllows,
  type Claim,
  type StorageClass,
  type StorageRoom,
  type Volume,
} from './storage.ts'
import type { Refusal } from './types.ts'
import { grown } from './undo.ts'

export class Volumes {
  readonly #state: State
  readonly #claims = new Map<string, Claim>()
  readonly #volumes = new Map<string, Volume>()
  readonly #classes = new Map<string, StorageClass>()
  readonly #limits = new Map<string, ReadonlyMap<string, number>>()
  /** Drivers that say what room they have, and where: a volume is made only where some of it is enough. */
  readonly #tracked = new Set<string>()
  readonly #rooms = new Map<string, StorageRoom>()
  /** By claim: pods that use it; 1 + the volume or node it was given in this scheduler's mind. */
  #users = new Int32Array(0)
  #givenVolume = new Int32Array(0)
  #givenNode = new Int32Array(0)
  /** By volume: 1 when given. */
  #taken = new Int32Array(0)
  #rows = 0
  #volumeRows = 0
  readonly #byRow: Volume[] = []
  /** Claims that pods on nodes name and that were not here when these were placed. */
  readonly #missed = new Set<string>()
  readonly devices: Devices

  constructor(state: State, devices: Devices) {
    this.#state = state
    this.devices = devices
  }

  /** Must the pods on nodes be counted anew around this change? Not for a claim of pods that come after it, or that got its volume. */
  concernsPlaced(claim: JsonObject, key: string): boolean {
    const known = this.#claims.get(key)
    if (known === undefined) return this.#missed.has(key)
    return known.volumeName !== '' && known.volumeName !== textAt(objectAt(claim, 'spec'), 'volumeName')
  }

  setClaim(object: JsonObject, key: string): void {
    const known = this.#claims.get(key)
    const claim = readClaim(object, known?.row ?? this.#rows++, this.#state.dimensions)
    this.#missed.delete(key)
    // It got a volume: what was kept for it is no more.
    if (known?.volumeName === '' && claim.volumeName !== '') this.#takeBack(claim.row)
    this.#users = grown(this.#users, this.#rows)
    this.#givenVolume = grown(this.#givenVolume, this.#rows)
    this.#givenNode = grown(this.#givenNode, this.#rows)
    this.#claims.set(key, claim)
  }

  #takeBack(row: number): void {
    const { log } = this.#state
    const given = (this.#givenVolume[row] as number) - 1
    if (given >= 0) log.set(this.#taken, given, 0)
    log.set(this.#givenVolume, row, 0)
    log.set(this.#givenNode, row, 0)
  }

  setVolume(object: JsonObject): void {
    const name = textAt(objectAt(object, 'metadata'), 'name')
    const row = this.#volumes.get(name)?.row ?? this.#volumeRows++
    this.#taken = grown(this.#taken, this.#volumeRows)
    const volume = readVolume(object, row, this.#state.dimensions)
    this.#volumes.set(name, volume)
    this.#byRow[row] = volume
  }

  setClass(object: JsonObject): void {
    this.#classes.set(textAt(objectAt(object, 'metadata'), 'name'), readStorageClass(object))
  }

  setLimits(csiNode: JsonObject): void {
    this.#limits.set(textAt(objectAt(csiNode, 'metadata'), 'name'), readLimits(csiNode))
  }

  setDriver(object: JsonObject): void {
    const name = textAt(objectAt(object, 'metadata'), 'name')
    if (objectAt(object, 'spec')['storageCapacity'] === true) this.#tracked.add(name)
    else this.#tracked.delete(name)
  }

  setRoom(object: JsonObject, key: string): void {
    this.#rooms.set(key, readStorageRoom(object, this.#state.dimensions))
  }

  drop(kind: 'claim' | 'volume' | 'class' | 'limits' | 'driver' | 'room', key: string): void {
    if (kind === 'claim') this.#claims.delete(key)
    else if (kind === 'volume') this.#volumes.delete(key)
    else if (kind === 'class') this.#classes.delete(key)
    else if (kind === 'limits') this.#limits.delete(key)
    else if (kind === 'driver') this.#tracked.delete(key)
    else this.#rooms.delete(key)
  }

  refuses(podClass: PodClass, node: number): Refusal | null {
    const facts = this.#state.facts[node] as NodeFacts
    const { spec } = podClass
    if (spec.devices.length > 0 && !this.devices.fits(podClass, node)) return 'Devices'
    if (spec.disks.length > 0 && this.#diskInUse(podClass, node)) return 'VolumeInUse'
    if (spec.claims.length === 0) return null
    const picked = new Set<number>()
    const claims = this.#claimsOf(podClass)
    for (const [, claim] of claims) if (claim === undefined || claim.lost) return 'VolumeBinding'
    for (const [key, claim] of claims as [string, Claim][]) {
      if (claim.modes.includes('ReadWriteOncePod') && (this.#users[claim.row] as number) > 0) return 'VolumeInUse'
      const answer = this.#place(claim, key, facts, node, picked)
      if (typeof answer === 'string') return answer
      if (answer !== null && claim.volumeName !== '' && !isInZone(answer, facts)) return 'VolumeZone'
    }
    return this.#limits.size > 0 && this.#overLimit(facts.name, node, podClass) ? 'VolumeLimit' : null
  }

  /** Key and claim of each it names: the small ones first, so that they do not take the volumes which the large ones need. */
  #claimsOf(podClass: PodClass): (readonly [string, Claim | undefined])[] {
    const namespace = this.#state.namespaces.names[podClass.namespace] as string
    const claims = podClass.spec.claims.map((name) => {
      const key = `${namespace}/${name}`
      return [key, this.#claims.get(key)] as const
    })
    return claims.length < 2 ? claims : claims.sort(([, a], [, b]) => (a?.bytes ?? 0) - (b?.bytes ?? 0))
  }

  /** The volume this claim would have on the node, null where one would be made there, or why it cannot be. */
  #place(claim: Claim, key: string, facts: NodeFacts, node: number, picked: Set<number>): Volume | null | Refusal {
    const given = (this.#givenVolume[claim.row] as number) - 1
    const own =
      claim.volumeName === '' ? (given >= 0 ? this.#byRow[given] : undefined) : this.#volumes.get(claim.volumeName)
    // A volume that was named and is not yet bound is the volume controller's to bind.
    if (claim.volumeName !== '' && (!claim.bound || own === undefined)) return 'VolumeBinding'
    if (own !== undefined) return reaches(own, facts) ? own : 'VolumeNode'
    const at = (this.#givenNode[claim.row] as number) - 1
    if (at >= 0) return at === node ? null : 'VolumeNode'
    const storage = this.#classes.get(claim.className)
    if (storage === undefined || !storage.waits) return 'VolumeBinding'
    if (claim.selectedNode === '') {
      const found = this.#match(claim, key, facts, picked)
      if (found !== undefined) {
        picked.add(found.row)
        return found
      }
    } else if (claim.selectedNode !== facts.name) return 'VolumeNode'
    if (!storage.provisions || !topologyAllows(storage.topologies, facts)) return 'VolumeBinding'
    return this.#hasRoom(claim, storage, facts) ? null : 'VolumeRoom'
  }

  #hasRoom(claim: Claim, storage: StorageClass, facts: NodeFacts): boolean {
    if (!this.#tracked.has(storage.provisioner)) return true
    for (const { className, bytes, nodes } of this.#rooms.values())
      if (
        className === claim.className &&
        bytes !== null &&
        bytes >= claim.bytes &&
        selectorMatches(nodes, facts.labels)
      )
        return true
    return false
  }

  /** The volume that is kept for it, else the smallest free one that will do; by name among equals. */
  #match(claim: Claim, key: string, facts: NodeFacts, picked: ReadonlySet<number>): Volume | undefined {
    let best: Volume | undefined
    for (const volume of this.#volumes.values()) {
      if (picked.has(volume.row) || !couldServe(volume, claim)) continue
      if (isKeptFor(volume, claim, key)) return reaches(volume, facts) ? volume : undefined
      if ((this.#taken[volume.row] as number) > 0 || !isFreeFor(volume, claim) || !reaches(volume, facts)) continue
      if (best === undefined || volume.bytes < best.bytes || (volume.bytes === best.bytes && volume.name < best.name))
        best = volume
    }
    return best
  }

  /** With the volumes it would bring that are not there already, would a driver have more on the node than it takes? */
  #overLimit(nodeName: string, node: number, podClass: PodClass): boolean {
    const limits = this.#limits.get(nodeName)
    if (limits === undefined) return false
    const attached = new Map<string, number>()
    const seen = new Set<string>()
    const count = (into: Map<string, number>, of: PodClass): void => {
      for (const [key, claim] of this.#claimsOf(of)) {
        const driver = this.#driverOf(claim)
        if (driver === '' || seen.has(key)) continue
        seen.add(key)
        into.set(driver, (into.get(driver) ?? 0) + 1)
      }
    }
    for (let task = this.#state.firstTask[node] as number; task >= 0; task = this.#state.taskNext[task] as number)
      count(attached, this.#state.taskClass[task] as PodClass)
    const brought = new Map<string, number>()
    count(brought, podClass)
    for (const [driver, volumes] of brought)
      if (volumes + (attached.get(driver) ?? 0) > (limits.get(driver) ?? Number.POSITIVE_INFINITY)) return true
    return false
  }

  /** Of its volume, or of who would make it one; '' where nobody counts it. */
  #driverOf(claim: Claim | undefined): string {
    if (claim === undefined) return ''
    const volume = claim.volumeName === '' ? undefined : this.#volumes.get(claim.volumeName)
    return volume === undefined ? (this.#classes.get(claim.className)?.provisioner ?? '') : volume.driver
  }

  #diskInUse(podClass: PodClass, node: number): boolean {
    for (let task = this.#state.firstTask[node] as number; task >= 0; task = this.#state.taskNext[task] as number)
      for (const theirs of (this.#state.taskClass[task] as PodClass).spec.disks)
        if (podClass.spec.disks.some((mine) => disksClash(mine, theirs))) return true
    return false
  }

  /** A pod of the class was put on the node, or taken off it. Claims without a volume are given one with the first pod. */
  moved(podClass: PodClass, node: number, sign: 1 | -1): void {
    const { log } = this.#state
    if (podClass.spec.devices.length > 0) this.devices.moved(podClass, node, sign)
    const picked = new Set<number>()
    for (const [key, claim] of this.#claimsOf(podClass)) {
      if (claim === undefined) {
        this.#missed.add(key)
        continue
      }
      log.add(this.#users, claim.row, sign)
      if (claim.volumeName !== '') continue
      if (sign > 0 && this.#users[claim.row] === 1) {
        const answer = this.#place(claim, key, this.#state.facts[node] as NodeFacts, node, picked)
        if (answer === null) log.set(this.#givenNode, claim.row, node + 1)
        else if (typeof answer === 'object') {
          log.set(this.#givenVolume, claim.row, answer.row + 1)
          log.set(this.#taken, answer.row, 1)
        }
      } else if (sign < 0 && this.#users[claim.row] === 0) {
        this.#takeBack(claim.row)
      }
    }
  }

  /** What was given to the claims of a pod that is being bound: claim to volume, null where one is to be made. */
  given(podClass: PodClass): { claim: string; volume: string | null }[] {
    const namespace = this.#state.namespaces.names[podClass.namespace] as string
    return podClass.spec.claims.flatMap((name) => {
      const claim = this.#claims.get(`${namespace}/${name}`)
      if (claim === undefined || claim.volumeName !== '') return []
      const given = (this.#givenVolume[claim.row] as number) - 1
      return [{ claim: name, volume: given >= 0 ? (this.#byRow[given] as Volume).name : null }]
    })
  }
}
