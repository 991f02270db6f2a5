/** Which pods are made and which are deleted, once the phase is settled. */
import { type Draft, isAlive, isCurrent, slotAt, update } from './draft.ts'
import { releasedTasks } from './gang.ts'
import { podName } from './pods.ts'
import { isOver } from './record.ts'
import { BATCH_LIMITS, type PodDelete, type PodSeen } from './types.ts'

export function deletePods(draft: Draft, seen: readonly PodSeen[]): void {
  const { phase } = draft.record
  const isToRun = phase === 'Pending' || phase === 'Running'
  const byName = new Map([...draft.pods].map(([key, pod]) => [pod.name, key]))
  for (const pod of seen) {
    const key = byName.get(pod.name)
    const because = draft.record.expired ? 'its time after the end is over' : whyNot(draft, key, pod, isToRun)
    if (because !== undefined) remove(draft, pod, because)
    else if (pod.terminating && pod.nodeGone && isAlive(pod)) remove(draft, pod, 'its node is gone')
  }
}

function whyNot(draft: Draft, key: string | undefined, pod: PodSeen, isToRun: boolean): string | undefined {
  if (pod.jobUid !== draft.record.uid)
    return pod.createdMs < draft.record.createdMs ? 'it belongs to an earlier job of this name' : undefined
  if (key === undefined) return 'the job has no such pod any more'
  const { task, index } = pod
  if (draft.done.has(task, index)) return isAlive(pod) ? 'its index has completed' : undefined
  if (!isCurrent(draft, key, pod)) return 'it is of an earlier try'
  if (!isAlive(pod)) return undefined
  if (slotAt(draft, key).state === 'failed') return slotAt(draft, key).because?.says ?? 'it failed'
  if (isToRun) return undefined
  return (
    draft.record.because?.says ?? (isOver(draft.record.phase) ? 'the job is over' : `the job is ${draft.record.phase}`)
  )
}

/** A pod that is already going is only asked again where its node cannot let go of it. */
function remove(draft: Draft, pod: PodSeen, because: string): void {
  const how: PodDelete['how'] = pod.nodeGone ? 'force' : 'graceful'
  if (pod.terminating && how === 'graceful') return
  draft.delete.set(pod.name, { name: pod.name, uid: pod.uid, how, because })
}

/** Tasks whose turn it is, up to what an array may run at once. */
export function createPods(draft: Draft, mayAdmit: boolean): void {
  const { spec, nowMs, record } = draft
  if (record.phase !== 'Pending' && record.phase !== 'Running') return
  if (!mayAdmit && (!record.admitted || spec.array !== null)) return
  if (record.notBeforeMs !== null && record.notBeforeMs > nowMs) {
    draft.alarms.push(record.notBeforeMs)
    return
  }
  const released = releasedTasks(spec, draft.slots, draft.done)
  let free = (spec.array?.maxParallel ?? Infinity) - [...draft.pods.values()].filter(isAlive).length
  for (const { key, task, index } of draft.places) {
    if (draft.done.has(task.name, index) || !released.has(task.name)) continue
    const slot = slotAt(draft, key)
    if (slot.state !== 'idle' && slot.state !== 'made') continue
    if (slot.notBeforeMs !== undefined && slot.notBeforeMs > nowMs) {
      draft.alarms.push(slot.notBeforeMs)
      continue
    }
    if (draft.pods.has(key)) continue
    if (free <= 0) break
    if (draft.create.length >= BATCH_LIMITS.createsPerStep) {
      draft.alarms.push(nowMs)
      break
    }
    free--
    if (slot.state === 'idle') draft.slots.set(key, { ...slot, state: 'made', sinceMs: nowMs })
    draft.create.push({ name: podName(spec.name, task.name, index), task: task.name, index, version: slot.version })
  }
  if (draft.create.length > 0 && !record.admitted) update(draft, { admitted: true })
}
