/** Why a controller's object is not healthy, from its pods: "ImagePullBackOff: registry-dk says 403", not just "Progressing". */
import type { Cluster } from '../core/kube/cluster.ts'
import { isObject, type Json, type JsonObject } from '../core/model/json.ts'
import type { Manifest } from '../core/model/object.ts'

/** One look an object at most this often: an object that stays broken must not cost a list a turn. */
export const LOOK_MS = 15_000

/** Waiting reasons of a container that will not pass by themselves, worst first. */
const WORST = ['CrashLoopBackOff', 'ImagePullBackOff', 'ErrImagePull', 'CreateContainerConfigError', 'InvalidImageName']

export async function podReason(cluster: Cluster, live: Manifest, signal: AbortSignal): Promise<string | undefined> {
  const selector = selectorOf(live)
  const { namespace } = live.metadata
  if (selector === undefined || namespace === undefined) return undefined
  try {
    const { items } = await cluster.list({ apiVersion: 'v1', kind: 'Pod', namespace, labelSelector: selector }, signal)
    const said = items.flatMap(reasonsOf)
    return (said.find(({ reason }) => WORST.includes(reason)) ?? said[0])?.text
  } catch (error) {
    if (signal.aborted) throw error
    // Only an explanation: without it the object's own word stands.
    return undefined
  }
}

function selectorOf({ spec }: Manifest): string | undefined {
  const labels = isObject(spec) && isObject(spec.selector) ? spec.selector.matchLabels : undefined
  const terms = Object.entries(isObject(labels) ? labels : {}).flatMap(([key, value]) =>
    typeof value === 'string' ? [`${key}=${value}`] : [],
  )
  return terms.length === 0 ? undefined : terms.join(',')
}

function reasonsOf(pod: Manifest): readonly { readonly reason: string; readonly text: string }[] {
  const status = isObject(pod.status) ? pod.status : {}
  const containers = [...list(status.initContainerStatuses), ...list(status.containerStatuses)]
  const waiting = containers.flatMap((container) => {
    const state = isObject(container.state) ? container.state : {}
    const at = [state.waiting, state.terminated, lastTermination(container)].find(isTelling)
    return at === undefined ? [] : [said(at, pod)]
  })
  if (waiting.length > 0) return waiting
  const unscheduled = list(status.conditions).find(
    (condition) => condition.type === 'PodScheduled' && condition.status === 'False',
  )
  return unscheduled === undefined ? [] : [said(unscheduled, pod)]
}

function lastTermination(container: JsonObject): Json | undefined {
  return isObject(container.lastState) ? container.lastState.terminated : undefined
}

function isTelling(state: Json | undefined): state is JsonObject {
  if (!isObject(state) || typeof state.reason !== 'string') return false
  return !['ContainerCreating', 'PodInitializing', 'Completed'].includes(state.reason)
}

function said(state: JsonObject, pod: Manifest): { readonly reason: string; readonly text: string } {
  const reason = typeof state.reason === 'string' ? state.reason : 'Unknown'
  const message = typeof state.message === 'string' && state.message !== '' ? `: ${state.message}` : ''
  return { reason, text: `pod ${pod.metadata.name} ${reason}${message}` }
}

function list(value: Json | undefined): readonly JsonObject[] {
  return Array.isArray(value) ? value.filter(isObject) : []
}
