/** Policies as Volcano's admission takes them: events or an exit code, each once, and an action. */
import { isObject, type Json } from '../model/json.ts'
import { durationOf, type Gathering, listOf, refuse, textOf, textsOf } from './fields.ts'
import { ACTIONS, BATCH_LIMITS, EVENTS, type JobAction, type Policy, type PolicyEvent } from './types.ts'

export function parsePolicies(into: Gathering, value: Json | undefined, path: string): readonly Policy[] {
  const written = listOf(value)
  if (written.length > BATCH_LIMITS.policies) {
    refuse(into, path, `has ${written.length} policies; ${BATCH_LIMITS.policies} is the limit`)
    return []
  }
  const policies = written.flatMap((item, i) => parsePolicy(into, item, `${path}[${i}]`) ?? [])
  refuseDoubles(into, policies, path)
  return policies
}

function parsePolicy(into: Gathering, value: Json, path: string): Policy | undefined {
  if (!isObject(value)) {
    refuse(into, path, 'must be a map')
    return undefined
  }
  const before = into.refused.length
  const event = textOf(value['event'])
  const events = [...(event === undefined ? [] : [event]), ...textsOf(value['events'])]
  for (const name of events)
    if (!EVENTS.includes(name as PolicyEvent))
      refuse(into, path, `"${name}" is no event; there are ${EVENTS.join(', ')}`)
  const action = textOf(value['action'])
  if (!ACTIONS.includes(action as JobAction))
    refuse(into, `${path}.action`, `"${action ?? ''}" is no action; there are ${ACTIONS.join(', ')}`)
  const exitCode = exitCodeOf(into, value['exitCode'], path)
  if (events.length === 0 && exitCode === null) refuse(into, path, 'needs an event or an exitCode')
  if (events.length > 0 && exitCode !== null)
    refuse(into, path, 'has both an event and an exitCode; one of them decides')
  if (events.includes('*') && events.length > 1) refuse(into, path, 'names * beside other events; * is all of them')
  const timeoutMs = durationOf(into, value['timeout'], `${path}.timeout`) ?? 0
  if (events.includes('PodPending') && timeoutMs === 0)
    refuse(into, path, 'PodPending needs a timeout: every pod is pending at first')
  if (into.refused.length > before) return undefined
  return { events: [...new Set(events as PolicyEvent[])], exitCode, action: action as JobAction, timeoutMs }
}

function exitCodeOf(into: Gathering, value: Json | undefined, path: string): number | null {
  if (value === undefined || value === null) return null
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 255) return value
  refuse(into, `${path}.exitCode`, value === 0 ? '0 is no failure' : 'must be between 1 and 255')
  return null
}

function refuseDoubles(into: Gathering, policies: readonly Policy[], path: string): void {
  const seen = new Set<string>()
  for (const policy of policies)
    for (const key of policy.exitCode === null ? policy.events : [`exit code ${policy.exitCode}`]) {
      if (seen.has(key)) refuse(into, path, `names ${key} twice; only the first would ever count`)
      seen.add(key)
    }
}
