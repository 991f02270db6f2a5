/**
 * One text per distinct pod specification, of everything in it that scheduling can see and nothing else. Pods of equal text are
 * compiled once. It runs for every pod that comes in, so it reads fields and joins strings and does no more.
 */
import type { JsonObject } from '../model/json.ts'
import { DISK_KINDS } from './disks.ts'

/** Whatever was parsed: it is joined into a text and compiled with care later. */
type Loose = Readonly<Record<string, any>>

export function specSignature(pod: JsonObject): string {
  const spec = pod['spec'] as Loose | undefined
  if (spec === undefined || spec === null || typeof spec !== 'object') return '-'
  let text = containers(spec['containers'])
  if (spec['initContainers'] !== undefined) text += `;i${containers(spec['initContainers'])}`
  if (spec['hostNetwork'] === true)
    text += `;x${JSON.stringify([hostPorts(spec['initContainers']), hostPorts(spec['containers'])])}`
  if (spec['overhead'] !== undefined) text += `;o${list(spec['overhead'])}`
  if (spec['resources'] !== undefined) text += `;r${JSON.stringify(spec['resources'])}`
  if (spec['nodeSelector'] !== undefined) text += `;s${list(spec['nodeSelector'])}`
  if (spec['affinity'] !== undefined) text += `;a${JSON.stringify(spec['affinity'])}`
  if (spec['tolerations'] !== undefined) text += `;t${JSON.stringify(spec['tolerations'])}`
  if (spec['topologySpreadConstraints'] !== undefined) text += `;p${JSON.stringify(spec['topologySpreadConstraints'])}`
  if (spec['schedulingGates'] !== undefined) text += `;g${JSON.stringify(spec['schedulingGates'])}`
  if (spec['volumes'] !== undefined) text += volumes(spec['volumes'], pod)
  if (spec['resourceClaims'] !== undefined) text += `;d${JSON.stringify(spec['resourceClaims'])}${podName(pod)}`
  if (spec['priority'] !== undefined) text += `;n${word(spec['priority'])}`
  if (spec['priorityClassName'] !== undefined) text += `;c${word(spec['priorityClassName'])}`
  if (spec['preemptionPolicy'] !== undefined) text += `;e${word(spec['preemptionPolicy'])}`
  if (spec['activeDeadlineSeconds'] !== undefined) text += `;l${word(spec['activeDeadlineSeconds'])}`
  if (spec['terminationGracePeriodSeconds'] !== undefined) text += `;k${word(spec['terminationGracePeriodSeconds'])}`
  if (spec['schedulerName'] !== undefined) text += `;h${word(spec['schedulerName'])}`
  const status = pod['status'] as Loose | undefined
  if (typeof status === 'object' && status !== null) text += resized(status)
  return text
}

/** An object has no text of its own to be trusted. */
function word(value: unknown): string {
  return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? '')
}

function containers(value: unknown): string {
  if (!Array.isArray(value)) return '-'
  let text = ''
  for (const container of value as readonly (Loose | null)[]) {
    if (container === null || typeof container !== 'object') continue
    const resources = container['resources'] as Loose | undefined
    text += '['
    if (resources !== undefined && resources !== null) {
      text += list(resources['requests'])
      if (resources['limits'] !== undefined) text += `/${list(resources['limits'])}`
    }
    if (container['ports'] !== undefined) text += ports(container['ports'])
    if (container['restartPolicy'] !== undefined) text += `!${word(container['restartPolicy'])}`
    if (container['image'] !== undefined) text += `@${word(container['image'])}`
  }
  return text
}

function list(value: unknown): string {
  if (typeof value !== 'object' || value === null) return ''
  let text = ''
  for (const key in value) text += `${key}=${word((value as Loose)[key])},`
  return text
}

function ports(value: unknown): string {
  if (!Array.isArray(value)) return ''
  let text = ''
  for (const port of value as readonly (Loose | null)[])
    if (port !== null && typeof port === 'object' && port['hostPort'] !== undefined)
      text += `:${word(port['hostIP'])}/${word(port['protocol'])}/${word(port['hostPort'])}`
  return text
}

/** On the host's network. */
function hostPorts(containers: unknown): unknown[] {
  return Array.isArray(containers) ? (containers as readonly (Loose | null)[]).map((one) => one?.['ports'] ?? null) : []
}

/** Config maps, secrets and empty directories constrain nothing. A generated claim is named after its pod. */
function volumes(value: unknown, pod: JsonObject): string {
  if (!Array.isArray(value)) return ''
  let text = ''
  for (const volume of value as readonly (Loose | null)[]) {
    if (volume === null || typeof volume !== 'object') continue
    const claim = volume['persistentVolumeClaim'] as Loose | null | undefined
    if (claim !== undefined) text += `;v${word(claim?.['claimName'])}`
    else if (volume['ephemeral'] !== undefined) text += `;v${podName(pod)}-${word(volume['name'])}`
    else
      for (const kind of DISK_KINDS) if (volume[kind] !== undefined) text += `;w${kind}${JSON.stringify(volume[kind])}`
  }
  return text
}

export function podName(pod: JsonObject): string {
  const name = (pod['metadata'] as Loose | undefined)?.['name']
  return typeof name === 'string' ? name : ''
}

/** A pod being resized counts with what it was given as well as with what it asks for. */
function resized(status: Loose): string {
  let text = ''
  for (const field of ['containerStatuses', 'initContainerStatuses']) {
    const statuses = status[field]
    if (!Array.isArray(statuses)) continue
    for (const one of statuses as readonly (Loose | null)[])
      if (one?.['allocatedResources'] !== undefined || one?.['resources'] !== undefined)
        text += `;z${word(one['name'])}${JSON.stringify([one['allocatedResources'], one['resources']])}`
  }
  if (text !== '' && JSON.stringify(status['conditions'] ?? []).includes('"Infeasible"')) text += ';zInfeasible'
  return text
}
