/** What is wrong with one pod. */
import type { JsonObject } from '../model/json.ts'
import type { Manifest } from '../model/object.ts'
import { isStuck } from './engine-pod.ts'
import type { ReadEvent } from './events.ts'
import { conditionOf, countAt, fieldAt, mapsAt, textAt } from './fields.ts'
import { sayImagePull } from './image-pull.ts'

export interface Finding {
  /** Lowest is said first. */
  readonly rank: number
  readonly reason: string
  readonly message: string
}

/** Events that say why a pod that has a node does not start. */
const CANNOT_START = new Set([
  'FailedMount',
  'FailedAttachVolume',
  'FailedMapVolume',
  'FailedCreatePodSandBox',
  'FailedPreStopHook',
  'FailedPostStartHook',
  'NetworkNotReady',
  'NodeNotReady',
  'FailedBinding',
])

/** `warnings` are about this pod, latest first. A ready or completed pod has nothing wrong. */
export function podFindings(pod: Manifest, warnings: readonly ReadEvent[]): readonly Finding[] {
  const phase = textAt(pod, 'status', 'phase')
  if (phase === 'Succeeded' || conditionOf(pod, 'Ready')?.status === 'True') return []
  if (phase === 'Failed') return [failedPod(pod)]
  const unscheduled = conditionOf(pod, 'PodScheduled')
  if (unscheduled?.status === 'False') {
    const reason = unscheduled.reason || 'Unschedulable'
    return [{ rank: 20, reason, message: unscheduled.message || 'no node fits' }]
  }
  const stuck = containersOf(pod).filter(isStuck)
  if (stuck.length > 0) return stuck.map((container) => stuckContainer(container, warnings))
  const held = warnings.find(({ reason }) => CANNOT_START.has(reason))
  if (held !== undefined && phase !== 'Running') return [{ rank: 15, reason: held.reason, message: held.message }]
  if (phase === 'Running') return [notReady(pod, warnings)]
  const [latest] = warnings
  return latest === undefined ? [] : [{ rank: 45, reason: latest.reason, message: latest.message }]
}

function containersOf(pod: Manifest): readonly JsonObject[] {
  return [...mapsAt(pod, 'status', 'initContainerStatuses'), ...mapsAt(pod, 'status', 'containerStatuses')]
}

function stuckContainer(container: JsonObject, warnings: readonly ReadEvent[]): Finding {
  const reason = textAt(container, 'state', 'waiting', 'reason')
  const message = textAt(container, 'state', 'waiting', 'message')
  const name = textAt(container, 'name')
  if (reason === 'CrashLoopBackOff') return { rank: 10, reason, message: crash(container, name) }
  if (/image|registry/i.test(reason)) {
    const image = textAt(container, 'image')
    // The waiting message of a back-off only repeats the image on older servers; the event has what the registry said.
    const said = [message, ...warnings.map((event) => event.message).filter((text) => text.includes(image))]
    const sentence = said.map((text) => sayImagePull(image, text)).find((text) => text !== undefined)
    const raw = said.find((text) => text !== '' && !text.startsWith('Back-off')) ?? message
    return { rank: 5, reason, message: sentence ?? (raw || `cannot pull ${image}`) }
  }
  return {
    rank: 8,
    reason,
    message: message === '' ? `container ${name} cannot start` : `container ${name}: ${message}`,
  }
}

/** `container web ended with exit code 137 (OOMKilled), 5 restarts`, and what it wrote as its last words. */
function crash(container: JsonObject, name: string): string {
  const ended = fieldAt(container, 'lastState', 'terminated') ?? fieldAt(container, 'state', 'terminated')
  const restarts = countAt(container, 'restartCount')
  const times = `${restarts} restart${restarts === 1 ? '' : 's'}`
  if (ended === undefined || ended === null) return `container ${name} keeps ending, ${times}`
  const word = textAt(ended, 'reason')
  const because = word === '' || word === 'Error' ? '' : ` (${word})`
  const words = textAt(ended, 'message')
  const text = `container ${name} ended with exit code ${countAt(ended, 'exitCode')}${because}, ${times}`
  return words === '' ? text : `${text}: ${words}`
}

function failedPod(pod: Manifest): Finding {
  const reason = textAt(pod, 'status', 'reason') || 'PodFailed'
  const message = textAt(pod, 'status', 'message')
  if (message !== '') return { rank: 12, reason, message }
  const ended = containersOf(pod).find((container) => countAt(container, 'state', 'terminated', 'exitCode') !== 0)
  if (ended === undefined) return { rank: 12, reason, message: 'the pod failed and does not say why' }
  return {
    rank: 12,
    reason,
    message: crash(
      { ...ended, lastState: { terminated: fieldAt(ended, 'state', 'terminated') } },
      textAt(ended, 'name'),
    ),
  }
}

function notReady(pod: Manifest, warnings: readonly ReadEvent[]): Finding {
  const probe = warnings.find(({ reason }) => reason === 'Unhealthy')
  if (probe !== undefined) return { rank: 30, reason: 'ProbeFailed', message: probe.message }
  const restarted = containersOf(pod).find((container) => countAt(container, 'restartCount') > 0)
  if (restarted !== undefined)
    return { rank: 25, reason: 'ContainerRestarted', message: crash(restarted, textAt(restarted, 'name')) }
  const ready = conditionOf(pod, 'Ready')
  return {
    rank: 50,
    reason: ready?.reason || 'NotReady',
    message: ready?.message || 'the pod runs and is not ready yet',
  }
}
