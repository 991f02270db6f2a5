/** Jobs and queues as they are told, with what is not of its type left out: whoever tells of them may have read them from anywhere. */
import { isObject, type JsonObject } from '../model/json.ts'
import { objectAt, textAt, textsAt } from './object.ts'
import type { JobInput, JobPhase, QueueInput, SubGroupPolicy } from './types.ts'

type Loose = Readonly<Record<string, unknown>>

export function soundJob(given: JobInput): JobInput {
  const input = given as unknown as JsonObject
  return {
    namespace: textAt(input, 'namespace'),
    name: textAt(input, 'name'),
    ...texts(input, ['uid', 'queue', 'priorityClassName']),
    ...numbers(input, ['priority', 'createdMs']),
    ...numbers(input, ['minMember', 'timeLimitMs', 'estimateMs'], 0),
    ...objects(input, ['minResources', 'networkTopology']),
    ...(isObject(input['minTaskMember']) ? { minTaskMember: countsIn(objectAt(input, 'minTaskMember')) } : {}),
    ...(isPhase(input['phase']) ? { phase: input['phase'] } : {}),
    ...(typeof input['preemptible'] === 'boolean' ? { preemptible: input['preemptible'] } : {}),
    ...(isObject(input['annotations']) ? { annotations: textsIn(objectAt(input, 'annotations')) } : {}),
    ...(Array.isArray(input['subGroupPolicy'])
      ? { subGroupPolicy: input['subGroupPolicy'].filter(isObject).map(soundGroup) }
      : {}),
  }
}

export function soundQueue(given: QueueInput): QueueInput {
  const input = given as unknown as JsonObject
  const { state, dequeueStrategy, reclaimable } = input
  return {
    name: textAt(input, 'name'),
    ...texts(input, ['parent']),
    ...numbers(input, ['priority']),
    ...numbers(input, ['weight', 'maxRunning'], 0),
    ...objects(input, ['deserved', 'guarantee', 'capability', 'affinity']),
    ...(state === 'Open' || state === 'Closed' || state === 'Closing' || state === 'Unknown' ? { state } : {}),
    ...(dequeueStrategy === 'fifo' || dequeueStrategy === 'traverse' ? { dequeueStrategy } : {}),
    ...(typeof reclaimable === 'boolean' ? { reclaimable } : {}),
    ...(isObject(input['annotations']) ? { annotations: textsIn(objectAt(input, 'annotations')) } : {}),
  }
}

function soundGroup(group: JsonObject): SubGroupPolicy {
  return {
    name: textAt(group, 'name'),
    matchLabelKeys: textsAt(group, 'matchLabelKeys'),
    ...numbers(group, ['subGroupSize', 'minSubGroups'], 0),
    ...objects(group, ['labelSelector']),
    ...(isObject(group['networkTopology']) ? { networkTopology: group['networkTopology'] } : {}),
  }
}

const PHASES: readonly JobPhase[] = ['Pending', 'Inqueue', 'Running', 'Unknown', 'Completed']

function isPhase(value: unknown): value is JobPhase {
  return (PHASES as readonly unknown[]).includes(value)
}

function texts<K extends string>(input: Loose, keys: readonly K[]): Picked<K> {
  return picked(input, keys, (value) => typeof value === 'string')
}

/** Finite ones, of which none is less than `least`. */
function numbers<K extends string>(input: Loose, keys: readonly K[], least = Number.NEGATIVE_INFINITY): Picked<K> {
  return picked(input, keys, (value) => typeof value === 'number' && Number.isFinite(value) && value >= least)
}

function objects<K extends string>(input: Loose, keys: readonly K[]): Picked<K> {
  return picked(input, keys, isObject)
}

/** Of whatever type the field has: what is not of it was left out. */
type Picked<K extends string> = { readonly [key in K]?: never }

function picked<K extends string>(input: Loose, keys: readonly K[], is: (value: unknown) => boolean): Picked<K> {
  return Object.fromEntries(keys.flatMap((key) => (is(input[key]) ? [[key, input[key]]] : []))) as Picked<K>
}

function textsIn(map: JsonObject): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(map).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  )
}

function countsIn(map: JsonObject): Readonly<Record<string, number>> {
  const isCount = (entry: [string, unknown]): entry is [string, number] =>
    Number.isFinite(entry[1]) && (entry[1] as number) >= 0
  return Object.fromEntries(Object.entries(map).filter(isCount))
}
