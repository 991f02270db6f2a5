/** Pods that are ours, as the shell must know them: who they are, and what was said of those that wait. */
import { isObject, type Json, type JsonObject } from '../../core/model/json.ts'
import type { Manifest } from '../../core/model/object.ts'

export interface OwnPod {
  readonly key: string
  readonly namespace: string
  readonly name: string
  readonly uid: string
  readonly version: string
  /** '' while it has none. */
  readonly node: string
  readonly leaving: boolean
  readonly nominated: string
  readonly conditions: readonly Json[]
}

/** Undefined for a pod that is not ours, or has ended. */
export function readOwn(pod: Manifest, schedulerName: string): OwnPod | undefined {
  const spec = isObject(pod['spec']) ? pod['spec'] : {}
  if (spec['schedulerName'] !== schedulerName) return undefined
  const status = isObject(pod['status']) ? pod['status'] : {}
  if (status['phase'] === 'Succeeded' || status['phase'] === 'Failed') return undefined
  const { namespace = '', name, uid = '', resourceVersion = '' } = pod.metadata
  const node = textOf(spec['nodeName'])
  return {
    key: `${namespace}/${name}`,
    namespace,
    name,
    uid,
    version: resourceVersion,
    node,
    leaving: typeof pod.metadata.deletionTimestamp === 'string',
    nominated: textOf(status['nominatedNodeName']),
    // Of a pod that has its node nothing more is said.
    conditions: node === '' && Array.isArray(status['conditions']) ? status['conditions'] : [],
  }
}

/** What its PodScheduled condition says, `reason: message`; '' where there is none that says no. */
export function toldOf(pod: OwnPod): string {
  const condition = pod.conditions.find((one): one is JsonObject => isObject(one) && one['type'] === 'PodScheduled')
  return condition?.['status'] === 'False' ? `${textOf(condition['reason'])}: ${textOf(condition['message'])}` : ''
}

function textOf(value: Json | undefined): string {
  return typeof value === 'string' ? value : ''
}
