/** A pod's specification as the scheduler uses it: compiled once for all pods of one signature. */
import { refuseRequirement, type Requirement, type Selector } from '../kube/selector.ts'
import { isObject, type JsonObject } from '../model/json.ts'
import { readDisks, type Disk } from './disks.ts'
import { has, listAt, numberAt, objectAt, textAt, textsAt } from './object.ts'
import { podRequests, type PodRequests } from './requests.ts'
import type { Dimensions } from './resources.ts'
import { readSelector } from './selectors.ts'
import { podName } from './signature.ts'

/** One alternative of a node selector: all of it must hold. */
export interface NodeTerm {
  readonly labels: readonly Requirement[]
  /** On metadata.name. */
  readonly fields: readonly Requirement[]
}

export interface Toleration {
  readonly key: string
  readonly exists: boolean
  readonly value: string
  readonly effect: string
}

export interface Port {
  readonly ip: string
  readonly protocol: string
  readonly port: number
}

/** A term of pod affinity before the pod's own labels and namespace are put in. */
export interface PodTerm {
  readonly selector: Selector
  readonly topologyKey: string
  readonly namespaces: readonly string[]
  readonly namespaceSelector: Selector | null
  readonly matchLabelKeys: readonly string[]
  readonly mismatchLabelKeys: readonly string[]
}

export interface Weighted<T> {
  readonly weight: number
  readonly term: T
}

export interface SpreadSpec {
  readonly maxSkew: number
  readonly topologyKey: string
  readonly hard: boolean
  readonly minDomains: number
  readonly honorAffinity: boolean
  readonly honorTaints: boolean
  readonly selector: Selector
  readonly matchLabelKeys: readonly string[]
}

export interface PodSpec {
  readonly id: number
  readonly signature: string
  /** The class that a pod of this spec was last given: most often the next one has it too. */
  lastClass: { readonly namespace: number; readonly labels: Readonly<Record<string, string>> } | null
  readonly requests: PodRequests
  /** What makes the pod impossible to schedule at all. */
  readonly problem: string | null
  readonly priority: number | null
  readonly priorityClassName: string
  readonly never: boolean
  readonly gated: boolean
  readonly schedulerName: string
  readonly timeLimitMs: number
  readonly graceMs: number
  readonly nodeSelector: readonly Requirement[]
  /** null: none asked for; an empty list matches no node. */
  readonly nodeTerms: readonly NodeTerm[] | null
  readonly preferredNodes: readonly Weighted<NodeTerm>[]
  readonly tolerations: readonly Toleration[]
  readonly ports: readonly Port[]
  readonly spreads: readonly SpreadSpec[]
  readonly affinity: readonly PodTerm[]
  readonly antiAffinity: readonly PodTerm[]
  readonly preferredPods: readonly Weighted<PodTerm>[]
  readonly claims: readonly string[]
  readonly disks: readonly Disk[]
  readonly devices: readonly string[]
  readonly images: readonly string[]
  /** Label keys that some term of it looks at. */
  readonly termKeys: readonly string[]
}

export function compileSpec(id: number, signature: string, pod: JsonObject, dimensions: Dimensions): PodSpec {
  const spec = objectAt(pod, 'spec')
  const problems: string[] = []
  const requests = podRequests(pod, dimensions)
  problems.push(...requests.problems)
  const affinity = objectAt(spec, 'affinity')
  const nodes = objectAt(affinity, 'nodeAffinity')
  const together = objectAt(affinity, 'podAffinity')
  const apart = objectAt(affinity, 'podAntiAffinity')
  const required = 'requiredDuringSchedulingIgnoredDuringExecution'
  const preferred = 'preferredDuringSchedulingIgnoredDuringExecution'
  const podTerm = (term: JsonObject): PodTerm => readPodTerm(term, problems)
  const weigh = (term: JsonObject, sign: number): Weighted<PodTerm> => ({
    weight: sign * numberAt(term, 'weight', 0),
    term: podTerm(objectAt(term, 'podAffinityTerm')),
  })
  const spreads = listAt(spec, 'topologySpreadConstraints').map((one) => readSpread(one, problems))
  const own = listAt(together, required).map(podTerm)
  const anti = listAt(apart, required).map(podTerm)
  const weighted = [
    ...listAt(together, preferred).map((term) => weigh(term, 1)),
    ...listAt(apart, preferred).map((term) => weigh(term, -1)),
  ]
  const selectors = [...own, ...anti, ...weighted.map(({ term }) => term), ...spreads]
  return {
    id,
    signature,
    lastClass: null,
    requests,
    problem: problems.length > 0 ? problems.join('; ') : null,
    priority: has(spec, 'priority') ? numberAt(spec, 'priority', 0) : null,
    priorityClassName: textAt(spec, 'priorityClassName'),
    never: spec['preemptionPolicy'] === 'Never',
    gated: listAt(spec, 'schedulingGates').length > 0,
    schedulerName: textAt(spec, 'schedulerName'),
    timeLimitMs: numberAt(spec, 'activeDeadlineSeconds', Number.POSITIVE_INFINITY) * 1000,
    graceMs: numberAt(spec, 'terminationGracePeriodSeconds', 30) * 1000,
    nodeSelector: Object.entries(objectAt(spec, 'nodeSelector')).map(([key, value]) => ({
      key,
      operator: '=' as const,
      values: [typeof value === 'string' ? value : JSON.stringify(value)],
    })),
    nodeTerms: isObject(nodes[required])
      ? listAt(objectAt(nodes, required), 'nodeSelectorTerms').map(readNodeTerm)
      : null,
    preferredNodes: listAt(nodes, preferred).map((term) => ({
      weight: numberAt(term, 'weight', 0),
      term: readNodeTerm(objectAt(term, 'preference')),
    })),
    tolerations: listAt(spec, 'tolerations').map(readToleration),
    ports: [
      ...listAt(spec, 'containers'),
      ...listAt(spec, 'initContainers').filter((c) => c['restartPolicy'] === 'Always'),
    ].flatMap((container) => readPorts(container, spec['hostNetwork'] === true)),
    spreads,
    affinity: own,
    antiAffinity: anti,
    preferredPods: weighted,
    claims: readClaims(spec, pod),
    disks: readDisks(spec),
    devices: readDevices(spec, pod),
    images: [...listAt(spec, 'initContainers'), ...listAt(spec, 'containers')].map((container) =>
      textAt(container, 'image'),
    ),
    termKeys: selectors.length === 0 ? NO_TEXTS : termKeysOf(selectors),
  }
}

const NO_TEXTS: readonly string[] = Object.freeze([])

function termKeysOf(terms: readonly (PodTerm | SpreadSpec)[]): readonly string[] {
  const keys = new Set<string>()
  for (const term of terms) {
    if (term.selector.selects === 'matching') for (const { key } of term.selector.requirements) keys.add(key)
    for (const key of term.matchLabelKeys) keys.add(key)
    if ('mismatchLabelKeys' in term) for (const key of term.mismatchLabelKeys) keys.add(key)
  }
  return [...keys]
}

export function readNodeTerm(term: JsonObject): NodeTerm {
  const labels = listAt(term, 'matchExpressions').map(readRequirement)
  const fields = listAt(term, 'matchFields').map(readRequirement)
  // A term that is not valid matches nothing; an empty one would too, but not where it is only preferred.
  const valid = labels.every((requirement) => refuseRequirement(requirement) === undefined)
  return valid ? { labels, fields } : { labels: [NEVER], fields: [] }
}

const NEVER: Requirement = { key: '', operator: 'In', values: [] }

function readRequirement(requirement: JsonObject): Requirement {
  return {
    key: textAt(requirement, 'key'),
    operator: textAt(requirement, 'operator') as Requirement['operator'],
    values: textsAt(requirement, 'values'),
  }
}

function selectorOf(value: unknown, problems: string[]): Selector {
  const parsed = readSelector(value)
  if (parsed.ok) return parsed.selector
  problems.push(parsed.because)
  return { selects: 'nothing' }
}

function readPodTerm(term: JsonObject, problems: string[]): PodTerm {
  return {
    selector: selectorOf(term['labelSelector'], problems),
    topologyKey: textAt(term, 'topologyKey'),
    namespaces: textsAt(term, 'namespaces'),
    namespaceSelector: isObject(term['namespaceSelector']) ? selectorOf(term['namespaceSelector'], problems) : null,
    matchLabelKeys: textsAt(term, 'matchLabelKeys'),
    mismatchLabelKeys: textsAt(term, 'mismatchLabelKeys'),
  }
}

function readSpread(one: JsonObject, problems: string[]): SpreadSpec {
  return {
    maxSkew: numberAt(one, 'maxSkew', 1),
    topologyKey: textAt(one, 'topologyKey'),
    hard: one['whenUnsatisfiable'] !== 'ScheduleAnyway',
    minDomains: numberAt(one, 'minDomains', 1),
    honorAffinity: one['nodeAffinityPolicy'] !== 'Ignore',
    honorTaints: one['nodeTaintsPolicy'] === 'Honor',
    selector: selectorOf(one['labelSelector'], problems),
    matchLabelKeys: textsAt(one, 'matchLabelKeys'),
  }
}

function readToleration(one: JsonObject): Toleration {
  return {
    key: textAt(one, 'key'),
    exists: one['operator'] === 'Exists',
    value: textAt(one, 'value'),
    effect: textAt(one, 'effect'),
  }
}

/** On the host's network a container's port is the host's. */
function readPorts(container: JsonObject, onHost: boolean): Port[] {
  return listAt(container, 'ports').flatMap((one) => {
    const port = numberAt(one, 'hostPort', onHost ? numberAt(one, 'containerPort', 0) : 0)
    if (port <= 0) return []
    return [{ ip: textAt(one, 'hostIP') || '0.0.0.0', protocol: textAt(one, 'protocol') || 'TCP', port }]
  })
}

function readClaims(spec: JsonObject, pod: JsonObject): string[] {
  return listAt(spec, 'volumes').flatMap((volume) => {
    if (isObject(volume['persistentVolumeClaim']))
      return [textAt(objectAt(volume, 'persistentVolumeClaim'), 'claimName')]
    return isObject(volume['ephemeral']) ? [`${podName(pod)}-${textAt(volume, 'name')}`] : []
  })
}

/** Names of the resource claims it uses; one from a template is known by the status, or by the pod's name. */
function readDevices(spec: JsonObject, pod: JsonObject): string[] {
  return listAt(spec, 'resourceClaims').map(
    (claim) => textAt(claim, 'resourceClaimName') || `${podName(pod)}/${textAt(claim, 'name')}`,
  )
}
