/** Which action an event calls for: the first policy that matches, a task's before the job's. */
import type { BatchJobSpec, JobAction, JobEvent, Policy } from './types.ts'

export interface Happening {
  readonly event: JobEvent
  readonly task: string
  /** Null: the whole task, or the whole job. */
  readonly index: number | null
  readonly version: number
  /** Of PodFailed. */
  readonly exitCode: number | null
  /** False: it was done to the job, not by it, and costs no retry. */
  readonly costs: boolean
  readonly says: string
}

export interface Answer {
  readonly action: JobAction
  readonly timeoutMs: number
}

export function answerTo(spec: BatchJobSpec, happening: Happening): Answer | undefined {
  const task = spec.tasks.find((candidate) => candidate.name === happening.task)
  const policy = [...(task?.policies ?? []), ...spec.policies].find((candidate) => matches(candidate, happening))
  return policy && { action: policy.action, timeoutMs: policy.timeoutMs }
}

function matches(policy: Policy, { event, exitCode }: Happening): boolean {
  if (policy.exitCode !== null) return event === 'PodFailed' && policy.exitCode === exitCode
  if (policy.events.includes(event)) return true
  // Every pod is pending at first: `*` means it only where it gives the pod time.
  return policy.events.includes('*') && (event !== 'PodPending' || policy.timeoutMs > 0)
}
