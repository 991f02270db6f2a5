/**
 * Why an object is not healthy, said from its own conditions, its pods and the events about them. Pure: the caller reads all
 * three from the cluster. What is said is what somebody has to do something about, the worst first.
 */
import type { Manifest, ObjectRef } from '../model/object.ts'
import { refOf } from '../model/object.ts'
import { conditionsOf } from './fields.ts'
import { type Finding, podFindings } from './explain-pod.ts'
import { warningsAbout } from './events.ts'
import type { ObjectHealth } from './types.ts'

export interface Cause {
  /** The word: ImagePullBackOff, CrashLoopBackOff, Unschedulable, FailedCreate. */
  readonly reason: string
  /** The sentence. At most MAX_MESSAGE characters. */
  readonly message: string
  /** The pod or object of which it is said; of several the first by name. */
  readonly about: ObjectRef
  /** How many pods say the same. */
  readonly count: number
}

const MAX_CAUSES = 20
/** A scheduler's or a webhook's message can be a page; what a person reads fits here. */
const MAX_MESSAGE = 512

/** Conditions that say of the object itself why it cannot go on, with the status that means trouble. */
const TROUBLE: readonly (readonly [type: string, status: string])[] = [
  ['ReplicaFailure', 'True'],
  ['Failed', 'True'],
  ['Stalled', 'True'],
  ['Available', 'False'],
  ['Progressing', 'False'],
  ['NamesAccepted', 'False'],
  ['AbleToScale', 'False'],
  ['ScalingActive', 'False'],
]

/** Empty where nothing explains it: then the health's own reason has to do. `events` may hold events about anything. */
export function explain(object: Manifest, pods: readonly Manifest[], events: readonly Manifest[]): readonly Cause[] {
  const own = object.kind === 'Pod' ? [object] : []
  const findings: (Finding & { readonly about: ObjectRef })[] = []
  for (const pod of [...own, ...pods])
    for (const finding of podFindings(pod, warningsAbout(pod, events))) findings.push({ ...finding, about: refOf(pod) })
  if (object.kind !== 'Pod')
    for (const finding of objectFindings(object, events)) findings.push({ ...finding, about: refOf(object) })
  return fold(findings)
}

/** The health of an object with its first cause as the reason; a healthy one stays as it is. */
export function withCause(health: ObjectHealth, causes: readonly Cause[]): ObjectHealth {
  const [first] = causes
  if (first === undefined || health.health === 'Healthy') return health
  const others = first.count > 1 ? `${first.message} (${first.count} pods)` : first.message
  return { ...health, reason: first.reason, message: others }
}

function objectFindings(object: Manifest, events: readonly Manifest[]): readonly Finding[] {
  const conditions = conditionsOf(object).flatMap(({ type, status, reason, message }): Finding[] => {
    const isTrouble = TROUBLE.some(([name, bad]) => name === type && bad === status)
    return isTrouble && message !== '' ? [{ rank: 40, reason: reason || type, message }] : []
  })
  const [latest] = warningsAbout(object, events)
  return latest === undefined
    ? conditions
    : [...conditions, { rank: 35, reason: latest.reason, message: latest.message }]
}

/** One cause for all that say the same, the worst rank first, then what most pods say. */
function fold(findings: readonly (Finding & { readonly about: ObjectRef })[]): readonly Cause[] {
  const causes = new Map<string, Cause & { readonly rank: number }>()
  for (const { rank, reason, message, about } of findings) {
    const said = shorten(message)
    const key = `${reason}\n${withoutName(said, about.name)}`
    const before = causes.get(key)
    if (before === undefined) causes.set(key, { reason, message: said, about, count: 1, rank })
    else causes.set(key, { ...before, count: before.count + 1 })
  }
  return [...causes.values()]
    .toSorted((a, b) => a.rank - b.rank || b.count - a.count)
    .slice(0, MAX_CAUSES)
    .map(({ reason, message, about, count }) => ({ reason, message, about, count }))
}

/** The message as it would be of any pod; a name counts only as a whole, for a pod may be called `a`. */
function withoutName(message: string, name: string): string {
  return message
    .split(/([^\w.-]+)/)
    .map((word) => (word === name ? '' : word))
    .join('')
}

function shorten(message: string): string {
  const line = message.trim().replaceAll(/\s+/g, ' ')
  return line.length <= MAX_MESSAGE ? line : `${line.slice(0, MAX_MESSAGE - 1)}…`
}
