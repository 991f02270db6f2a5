/** Claims, volumes, classes and drivers as Kubernetes gives them, read into what placement depends on. */
import { selectorMatches, type Selector } from '../kube/selector.ts'
import type { JsonObject } from '../model/json.ts'
import { matchesTerm, type NodeFacts } from './node.ts'
import { has, listAt, numberAt, objectAt, textAt, textsAt, textsByKey } from './object.ts'
import type { Dimensions } from './resources.ts'
import { readSelector } from './selectors.ts'
import { readNodeTerm, type NodeTerm } from './spec.ts'

export interface Claim {
  readonly row: number
  readonly uid: string
  readonly className: string
  readonly attributesClass: string
  readonly volumeName: string
  /** Both sides of the binding are done. */
  readonly bound: boolean
  /** It is being deleted, or its volume was lost: nobody may begin with it. */
  readonly lost: boolean
  readonly bytes: number
  readonly modes: readonly string[]
  readonly blockMode: boolean
  /** null: any volume; a selector that cannot be read selects nothing. */
  readonly selector: Selector | null
  readonly selectedNode: string
}

export interface Volume {
  readonly row: number
  readonly name: string
  readonly className: string
  readonly attributesClass: string
  readonly bytes: number
  readonly modes: readonly string[]
  readonly blockMode: boolean
  readonly labels: Readonly<Record<string, string>>
  /** null: reachable from everywhere. */
  readonly nodeTerms: readonly NodeTerm[] | null
  /** Zones and regions it says it is in, by label. */
  readonly zones: ReadonlyMap<string, ReadonlySet<string>>
  readonly driver: string
  /** `namespace/name` of the claim it is bound to or kept for, and its UID where that is said. */
  readonly claim: string
  readonly claimUid: string
  readonly available: boolean
  readonly leaving: boolean
}

export interface StorageClass {
  readonly waits: boolean
  readonly provisions: boolean
  readonly provisioner: string
  readonly topologies: readonly JsonObject[]
}

/** Room that a driver says it has for volumes of a class, and which nodes can reach it. */
export interface StorageRoom {
  readonly className: string
  /** Of one volume; null: it does not say. */
  readonly bytes: number | null
  readonly nodes: Selector
}

const CLASS_BEFORE = 'volume.beta.kubernetes.io/storage-class'

export function readClaim(claim: JsonObject, row: number, dimensions: Dimensions): Claim {
  const metadata = objectAt(claim, 'metadata')
  const annotations = objectAt(metadata, 'annotations')
  const spec = objectAt(claim, 'spec')
  const volumeName = textAt(spec, 'volumeName')
  return {
    row,
    uid: textAt(metadata, 'uid'),
    className: textAt(annotations, CLASS_BEFORE) || textAt(spec, 'storageClassName'),
    attributesClass: textAt(spec, 'volumeAttributesClassName'),
    volumeName,
    bound: volumeName !== '' && has(annotations, 'pv.kubernetes.io/bind-completed'),
    lost: has(metadata, 'deletionTimestamp') || objectAt(claim, 'status')['phase'] === 'Lost',
    bytes: bytesOf(objectAt(objectAt(spec, 'resources'), 'requests'), 'storage', dimensions) ?? 0,
    modes: textsAt(spec, 'accessModes'),
    blockMode: spec['volumeMode'] === 'Block',
    selector: has(spec, 'selector') ? selectorOf(spec['selector']) : null,
    selectedNode: textAt(annotations, 'volume.kubernetes.io/selected-node'),
  }
}

export function readVolume(volume: JsonObject, row: number, dimensions: Dimensions): Volume {
  const metadata = objectAt(volume, 'metadata')
  const spec = objectAt(volume, 'spec')
  const required = objectAt(objectAt(spec, 'nodeAffinity'), 'required')
  const reference = objectAt(spec, 'claimRef')
  const phase = textAt(objectAt(volume, 'status'), 'phase')
  const labels = textsByKey(metadata, 'labels')
  return {
    row,
    name: textAt(metadata, 'name'),
    className: textAt(objectAt(metadata, 'annotations'), CLASS_BEFORE) || textAt(spec, 'storageClassName'),
    attributesClass: textAt(spec, 'volumeAttributesClassName'),
    bytes: bytesOf(objectAt(spec, 'capacity'), 'storage', dimensions) ?? 0,
    modes: textsAt(spec, 'accessModes'),
    blockMode: spec['volumeMode'] === 'Block',
    labels,
    nodeTerms: has(required, 'nodeSelectorTerms') ? listAt(required, 'nodeSelectorTerms').map(readNodeTerm) : null,
    zones: zonesOf(labels),
    driver: textAt(objectAt(spec, 'csi'), 'driver'),
    claim: textAt(reference, 'name') === '' ? '' : `${textAt(reference, 'namespace')}/${textAt(reference, 'name')}`,
    claimUid: textAt(reference, 'uid'),
    // Pending: the volume controller has not looked at it yet. Without a phase it is nobody's word but the caller's.
    available: phase === '' || phase === 'Available',
    leaving: has(metadata, 'deletionTimestamp'),
  }
}

export function readStorageClass(object: JsonObject): StorageClass {
  const provisioner = textAt(object, 'provisioner')
  return {
    waits: object['volumeBindingMode'] === 'WaitForFirstConsumer',
    provisions: provisioner !== '' && provisioner !== 'kubernetes.io/no-provisioner',
    provisioner,
    topologies: listAt(object, 'allowedTopologies'),
  }
}

export function readStorageRoom(object: JsonObject, dimensions: Dimensions): StorageRoom {
  return {
    className: textAt(object, 'storageClassName'),
    bytes: bytesOf(object, 'maximumVolumeSize', dimensions) ?? bytesOf(object, 'capacity', dimensions),
    nodes: has(object, 'nodeTopology') ? selectorOf(object['nodeTopology']) : { selects: 'nothing' },
  }
}

/** By driver, how many of its volumes the node takes. */
export function readLimits(csiNode: JsonObject): ReadonlyMap<string, number> {
  const limits = new Map<string, number>()
  for (const driver of listAt(objectAt(csiNode, 'spec'), 'drivers'))
    limits.set(textAt(driver, 'name'), numberAt(objectAt(driver, 'allocatable'), 'count', Number.POSITIVE_INFINITY))
  return limits
}

function selectorOf(value: unknown): Selector {
  const parsed = readSelector(value)
  return parsed.ok ? parsed.selector : { selects: 'nothing' }
}

function bytesOf(list: JsonObject, name: string, dimensions: Dimensions): number | null {
  const value = list[name]
  if (typeof value !== 'string' && typeof value !== 'number') return null
  const converted = dimensions.convert('ephemeral-storage', value)
  return converted.ok && 'value' in converted ? converted.value : null
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
export function isInZone(volume: Volume, node: NodeFacts): boolean {
  if (volume.zones.size === 0 || !ZONE_LABELS.some((label) => node.labels[label] !== undefined)) return true
  for (const [label, values] of volume.zones) {
    const value = node.labels[label] ?? node.labels[label.replace('failure-domain.beta.', 'topology.')]
    if (value === undefined || !values.has(value)) return false
  }
  return true
}

export function reaches(volume: Volume, node: NodeFacts): boolean {
  return volume.nodeTerms === null || volume.nodeTerms.some((term) => matchesTerm(term, node))
}

/** Made for this claim, or kept for it. */
export function isKeptFor(volume: Volume, claim: Claim, key: string): boolean {
  return volume.claim === key && (volume.claimUid === '' || claim.uid === '' || volume.claimUid === claim.uid)
}

/** Large enough, of the mode and the attributes asked for, and not on its way out: whoever it is kept for. */
export function couldServe(volume: Volume, claim: Claim): boolean {
  return (
    volume.className === claim.className &&
    volume.bytes >= claim.bytes &&
    volume.blockMode === claim.blockMode &&
    volume.attributesClass === claim.attributesClass &&
    !volume.leaving
  )
}

/** Free for anybody, and what this claim asks for. */
export function isFreeFor(volume: Volume, claim: Claim): boolean {
  return (
    volume.claim === '' &&
    volume.available &&
    claim.modes.every((mode) => volume.modes.includes(mode)) &&
    (claim.selector === null || selectorMatches(claim.selector, volume.labels))
  )
}

/** An empty term selects no node. */
export function topologyAllows(topologies: readonly JsonObject[], node: NodeFacts): boolean {
  if (topologies.length === 0) return true
  return topologies.some((one) => {
    const expressions = listAt(one, 'matchLabelExpressions')
    return (
      expressions.length > 0 &&
      expressions.every((expression) => {
        const value = node.labels[textAt(expression, 'key')]
        return value !== undefined && textsAt(expression, 'values').includes(value)
      })
    )
  })
}
