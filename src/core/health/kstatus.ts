/**
 * The status of one object by the rules of kstatus: what all kinds share first, then the rules of the kind, then a Ready
 * condition, and what says nothing at all is Current.
 */
import { groupOf, type Manifest } from '../model/object.ts'
import { conditionsOf, numberAt, textAt } from './fields.ts'
import { KIND_RULES } from './kstatus-kinds.ts'
import { CURRENT, failed, inProgress, type Status } from './status.ts'

export function kstatusOf(object: Manifest, nowMs: number): Status {
  const common = commonStatus(object)
  if (common !== undefined) return common
  const rule = KIND_RULES.get(`${groupOf(object.apiVersion)}/${object.kind}`)
  return rule === undefined ? (readyStatus(object) ?? CURRENT) : rule(object, nowMs)
}

/** Deletion, a generation not yet observed, and the conditions that kstatus defines; undefined: they say nothing. */
function commonStatus(object: Manifest): Status | undefined {
  if (textAt(object, 'metadata', 'deletionTimestamp') !== '')
    return { kstatus: 'Terminating', conditions: [], reason: 'Terminating', message: 'Resource scheduled for deletion' }
  const generation = numberAt(object, 'metadata', 'generation')
  const observed = numberAt(object, 'status', 'observedGeneration')
  if (generation !== undefined && observed !== undefined && observed !== generation)
    return inProgress(
      'LatestGenerationNotObserved',
      `${object.kind} generation is ${generation}, but latest observed generation is ${observed}`,
    )
  for (const { type, status, reason, message } of conditionsOf(object)) {
    if (type === 'Reconciling' && status === 'True') return inProgress(reason, message)
    if (type === 'Stalled' && status === 'True') return failed(reason, message)
  }
  return undefined
}

function readyStatus(object: Manifest): Status | undefined {
  for (const { type, status, reason, message } of conditionsOf(object)) {
    if (type !== 'Ready') continue
    if (status === 'True') return CURRENT
    if (status === 'False' || status === 'Unknown') return inProgress(reason, message)
  }
  return undefined
}
