/**
 * Volumes as far as placement depends on them: bound claims pin pods to where the volume is, claims that wait for their first consumer
 * are matched with free volumes or with a provisioner, nodes take a limited number, and some volumes suffer one pod only.
 */
import { toSelector, selectorMatches } from '../kube/selector.ts'
import type { JsonObject } from '../model/json.ts'
import type { LabelSelector } from '../model/selector.ts'
import type { PodClass } from './classes.ts'
import type { Devices } from './devices.ts'
import { matchesTerm, type NodeFacts } from './node.ts'
import { listAt, numberAt, objectAt, textAt, textsAt } from './object.ts'
import type { State } from './state.ts'
import type { Refusal } from './types.ts'
import { grown } from './undo.ts'

interface Claim {
  readonly row: number
  readonly className: string
  readonly volumeName: string
  readonly bytes: number
  readonly modes: readonly string[]
  readonly blockMode: boolean
  readonly selector: LabelSelector | null
  readonly selectedNode: string
}

interface Volume {
  readonly row: number
  readonly name: string
  readonly className: string
  readonly bytes: number
  readonly modes: readonly string[]
  readonly blockMode: boolean
  readonly labels: Readonly<Record<string, string>>
  /** null: reachable from everywhere. */
  readonly nodeTerms: readonly JsonObject[] | null
  /** Zones and regions it says it is in, by label. */
  readonly zones: ReadonlyMap<string, ReadonlySet<string>>
  readonly driver: string
  /** `namespace/name` of the claim it is bound to or kept for. */
  readonly claim: string
  readonly usable: boolean
}

interface StorageClass {
  readonly waits: boolean
  readonly provisions: boolean
  readonly provisioner: string
  readonly topologies: readonly JsonObject[]
}

export class Volumes {
  readonly #state: State
  readonly #claims = new Map<string, Claim>()
  readonly #volumes = new Map<string, Volume>()
  readonly #classes = new Map<string, StorageClass>()
  readonly #limits = new Map<string, ReadonlyMap<string, number>>()
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

  setClaim(claim: JsonObject, key: string): void {
    const spec = objectAt(claim, 'spec')
    const known = this.#claims.get(key)
    const row = known?.row ?? this.#rows++
    this.#missed.delete(key)
    // It got a volume: what was kept for it is no more.
    if (known?.volumeName === '' && textAt(spec, 'volumeName') !== '') this.#takeBack(row)
    this.#users = grown(this.#users, this.#rows)
    this.#givenVolume = grown(this.#givenVolume, this.#rows)
    this.#givenNode = grown(this.#givenNode, this.#rows)
    const metadata = objectAt(claim, 'metadata')
    this.#claims.set(key, {
      row,
      className: textAt(spec, 'storageClassName'),
      volumeName: textAt(spec, 'volumeName'),
      bytes: this.#bytes(objectAt(objectAt(spec, 'resources'), 'requests')),
      modes: textsAt(spec, 'accessModes'),
      blockMode: spec['volumeMode'] === 'Block',
      selector: (spec['selector'] as LabelSelector | undefined) ?? null,
      selectedNode: textAt(objectAt(metadata, 'annotations'), 'volume.kubernetes.io/selected-node'),
    })
  }

  #takeBack(row: number): void {
    const { log } = this.#state
    const given = (this.#givenVolume[row] as number) - 1
    if (given >= 0) log.set(this.#taken, given, 0)
    log.set(this.#givenVolume, row, 0)
    log.set(this.#givenNode, row, 0)
  }

  setVolume(volume: JsonObject): void {
    const metadata = objectAt(volume, 'metadata')
    const spec = objectAt(volume, 'spec')
    const name = textAt(metadata, 'name')
    const row = this.#volumes.get(name)?.row ?? this.#volumeRows++
    this.#taken = grown(this.#taken, this.#volumeRows)
    const required = objectAt(objectAt(spec, 'nodeAffinity'), 'required')
    const reference = objectAt(spec, 'claimRef')
    const phase = textAt(objectAt(volume, 'status'), 'phase')
    const one: Volume = {
      row,
      name,
      className: textAt(spec, 'storageClassName'),
      bytes: this.#bytes(objectAt(spec, 'capacity')),
      modes: textsAt(spec, 'accessModes'),
      blockMode: spec['volumeMode'] === 'Block',
      labels: objectAt(metadata, 'labels') as Readonly<Record<string, string>>,
      nodeTerms: required['nodeSelectorTerms'] === undefined ? null : listAt(required, 'nodeSelectorTerms'),
      zones: zonesOf(objectAt(metadata, 'labels')),
      driver: textAt(objectAt(spec, 'csi'), 'driver'),
      claim: textAt(reference, 'name') === '' ? '' : `${textAt(reference, 'namespace')}/${textAt(reference, 'name')}`,
      // Pending: the volume controller has not looked at it yet. Without a phase it is nobody's word but the caller's.
      usable: (phase === '' || phase === 'Available') && metadata['deletionTimestamp'] === undefined,
    }
    this.#volumes.set(name, one)
    this.#byRow[row] = one
  }

  setClass(object: JsonObject): void {
    const provisioner = textAt(object, 'provisioner')
    this.#classes.set(textAt(objectAt(object, 'metadata'), 'name'), {
      waits: object['volumeBindingMode'] === 'WaitForFirstConsumer',
      provisions: provisioner !== '' && provisioner !== 'kubernetes.io/no-provisioner',
      provisioner,
      topologies: listAt(object, 'allowedTopologies'),
    })
  }

  setLimits(csiNode: JsonObject): void {
    const limits = new Map<string, number>()
    for (const driver of listAt(objectAt(csiNode, 'spec'), 'drivers'))
      limits.set(textAt(driver, 'name'), numberAt(objectAt(driver, 'allocatable'), 'count', Number.POSITIVE_INFINITY))
    this.#limits.set(textAt(objectAt(csiNode, 'metadata'), 'name'), limits)
  }

  drop(kind: 'claim' | 'volume' | 'class' | 'limits', key: string): void {
    if (kind === 'claim') this.#claims.delete(key)
    else if (kind === 'volume') this.#volumes.delete(key)
    else if (kind === 'class') this.#classes.delete(key)
    else this.#limits.delete(key)
  }

  #bytes(list: JsonObject): number {
    for (const name of ['storage', 'requests.storage']) {
      const value = list[name]
      if (typeof value !== 'string' && typeof value !== 'number') continue
      const converted = this.#state.dimensions.convert('ephemeral-storage', value)
      if (converted.ok && 'value' in converted) return converted.value
    }
    return 0
  }

  refuses(podClass: PodClass, node: number): Refusal | null {
    const facts = this.#state.facts[node] as NodeFacts
    const { spec } = podClass
    if (spec.devices.length > 0 && !this.devices.fits(podClass, node)) return 'Devices'
    if (spec.disks.length > 0 && this.#diskInUse(podClass, node)) return 'VolumeInUse'
    const namespace = this.#state.namespaces.names[podClass.namespace] as string
    const picked = new Set<number>()
    const drivers = new Map<string, number>()
    for (const name of spec.claims) {
      const claim = this.#claims.get(`${namespace}/${name}`)
      if (claim === undefined) return 'VolumeBinding'
      if (claim.modes.includes('ReadWriteOncePod') && (this.#users[claim.row] as number) > 0) return 'VolumeInUse'
      const answer = this.#place(claim, `${namespace}/${name}`, facts, node, picked)
      if (typeof answer === 'string') return answer
      if (answer !== null && claim.volumeName !== '' && !isInZone(answer, facts)) return 'VolumeZone'
      const driver = answer?.driver ?? this.#classes.get(claim.className)?.provisioner ?? ''
      if (driver !== '') drivers.set(driver, (drivers.get(driver) ?? 0) + 1)
    }
    return this.#overLimit(facts.name, node, podClass, drivers) ? 'VolumeLimit' : null
  }

  /** The volume this claim would have on the node, null where one would be made there, or why it cannot be. */
  #place(claim: Claim, key: string, facts: NodeFacts, node: number, picked: Set<number>): Volume | null | Refusal {
    const given = (this.#givenVolume[claim.row] as number) - 1
    const bound =
      claim.volumeName === '' ? (given >= 0 ? this.#byRow[given] : undefined) : this.#volumes.get(claim.volumeName)
    if (bound !== undefined) return reaches(bound, facts) ? bound : 'VolumeNode'
    if (claim.volumeName !== '') return 'VolumeBinding'
    const at = (this.#givenNode[claim.row] as number) - 1
    if (at >= 0) return at === node ? null : 'VolumeNode'
    const storage = this.#classes.get(claim.className)
    if (storage === undefined || !storage.waits) return 'VolumeBinding'
    if (claim.selectedNode !== '' && claim.selectedNode !== facts.name) return 'VolumeNode'
    const found = this.#match(claim, key, facts, picked)
    if (found !== undefined) {
      picked.add(found.row)
      return found
    }
    return storage.provisions && topologyAllows(storage.topologies, facts) ? null : 'VolumeBinding'
  }

  /** The smallest free volume that will do; by name among equals. */
  #match(claim: Claim, key: string, facts: NodeFacts, picked: ReadonlySet<number>): Volume | undefined {
    let best: Volume | undefined
    const parsed = claim.selector === null ? null : toSelector(claim.selector)
    for (const volume of this.#volumes.values()) {
      if (volume.claim === key) return reaches(volume, facts) ? volume : undefined
      if (!volume.usable || volume.claim !== '' || volume.className !== claim.className || volume.bytes < claim.bytes)
        continue
      if ((this.#taken[volume.row] as number) > 0 || picked.has(volume.row) || volume.blockMode !== claim.blockMode)
        continue
      if (!claim.modes.every((mode) => volume.modes.includes(mode))) continue
      if (parsed !== null && (!parsed.ok || !selectorMatches(parsed.selector, volume.labels))) continue
      if (!reaches(volume, facts)) continue
      if (best === undefined || volume.bytes < best.bytes || (volume.bytes === best.bytes && volume.name < best.name))
        best = volume
    }
    return best
  }

  #overLimit(nodeName: string, node: number, podClass: PodClass, wanted: ReadonlyMap<string, number>): boolean {
    const limits = this.#limits.get(nodeName)
    if (limits === undefined || wanted.size === 0) return false
    const mine = new Set(podClass.spec.claims.map((name) => `${podClass.namespace}/${name}`))
    const attached = new Map<string, number>()
    const seen = new Set<string>()
    for (let task = this.#state.firstTask[node] as number; task >= 0; task = this.#state.taskNext[task] as number) {
      const other = this.#state.taskClass[task] as PodClass
      for (const name of other.spec.claims) {
        const key = `${other.namespace}/${name}`
        if (seen.has(key) || mine.has(key)) continue
        seen.add(key)
        const driver = this.#driverOf(other, name)
        if (driver !== '') attached.set(driver, (attached.get(driver) ?? 0) + 1)
      }
    }
    for (const [driver, count] of wanted)
      if (count + (attached.get(driver) ?? 0) > (limits.get(driver) ?? Number.POSITIVE_INFINITY)) return true
    return false
  }

  #driverOf(podClass: PodClass, name: string): string {
    const claim = this.#claims.get(`${this.#state.namespaces.names[podClass.namespace]}/${name}`)
    if (claim === undefined) return ''
    return this.#volumes.get(claim.volumeName)?.driver || (this.#classes.get(claim.className)?.provisioner ?? '')
  }

  /** Some disks can be on one node for one pod, or for readers only. */
  #diskInUse(podClass: PodClass, node: number): boolean {
    for (let task = this.#state.firstTask[node] as number; task >= 0; task = this.#state.taskNext[task] as number)
      for (const theirs of (this.#state.taskClass[task] as PodClass).spec.disks)
        for (const mine of podClass.spec.disks)
          if (
            mine.kind !== 'csi' &&
            mine.kind === theirs.kind &&
            mine.id === theirs.id &&
            !(mine.readOnly && theirs.readOnly)
          )
            return true
    return false
  }

  /** A pod of the class was put on the node, or taken off it. Claims without a volume are given one with the first pod. */
  moved(podClass: PodClass, node: number, sign: 1 | -1): void {
    const { log } = this.#state
    if (podClass.spec.devices.length > 0) this.devices.moved(podClass, node, sign)
    const namespace = this.#state.namespaces.names[podClass.namespace] as string
    const picked = new Set<number>()
    for (const name of podClass.spec.claims) {
      const key = `${namespace}/${name}`
      const claim = this.#claims.get(key)
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

const ZONE_LABELS = [
  'topology.kubernetes.io/zone',
  'topology.kubernetes.io/region',
  'failure-domain.beta.kubernetes.io/zone',
  'failure-domain.beta.kubernetes.io/region',
]

/** Several zones stand in one label with `__` between them. */
function zonesOf(labels: JsonObject): ReadonlyMap<string, ReadonlySet<string>> {
  const zones = new Map<string, ReadonlySet<string>>()
  for (const label of ZONE_LABELS)
    if (textAt(labels, label) !== '') zones.set(label, new Set(textAt(labels, label).split('__')))
  return zones
}

/** A node that says nothing of zones is in a cluster that has but one. */
function isInZone(volume: Volume, node: NodeFacts): boolean {
  if (volume.zones.size === 0 || !ZONE_LABELS.some((label) => node.labels[label] !== undefined)) return true
  for (const [label, values] of volume.zones) {
    const value = node.labels[label] ?? node.labels[label.replace('failure-domain.beta.', 'topology.')]
    if (value === undefined || !values.has(value)) return false
  }
  return true
}

function reaches(volume: Volume, node: NodeFacts): boolean {
  if (volume.nodeTerms === null) return true
  return volume.nodeTerms.some((term) => matchesTerm(readTerm(term), node))
}

function readTerm(term: JsonObject): Parameters<typeof matchesTerm>[0] {
  const requirements = (field: string): Parameters<typeof matchesTerm>[0]['labels'] =>
    listAt(term, field).map((one) => ({
      key: textAt(one, 'key'),
      operator: textAt(one, 'operator') as 'In',
      values: textsAt(one, 'values'),
    }))
  return { labels: requirements('matchExpressions'), fields: requirements('matchFields') }
}

function topologyAllows(topologies: readonly JsonObject[], node: NodeFacts): boolean {
  if (topologies.length === 0) return true
  return topologies.some((one) =>
    listAt(one, 'matchLabelExpressions').every((expression) => {
      const value = node.labels[textAt(expression, 'key')]
      return value !== undefined && textsAt(expression, 'values').includes(value)
    }),
  )
}
