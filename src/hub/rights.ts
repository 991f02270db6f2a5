/** Who may say what: by role, and in whose name. */
import { Fault } from '../core/model/fault.ts'
import type { Actor, Role } from './api.ts'

export const MOST_REASON = 500

/** Which roles may use which verbs. An approver speaks for teams and does nothing else. */
const MAY: Readonly<Record<'operate' | 'approve' | 'admin', readonly Role[]>> = {
  operate: ['operator', 'admin'],
  approve: ['approver', 'admin'],
  admin: ['admin'],
}

/** Fault Forbidden. */
export function allow(actor: Actor, what: keyof typeof MAY): void {
  if (!MAY[what].includes(actor.role))
    throw new Fault('Forbidden', `${actor.name} is ${actor.role}; this takes ${MAY[what].join(' or ')}`)
}

export function checkReason(reason: string): void {
  if (reason.trim() === '' || reason.length > MOST_REASON)
    throw new Fault('InvalidInput', `a reason of 1 to ${MOST_REASON} characters: whoever finds it must see why`)
}

/** Fault Forbidden. */
export function speakFor(actor: Actor, team: string | null): void {
  const may = actor.role === 'admin' || actor.teams.includes('*') || (team !== null && actor.teams.includes(team))
  if (!may) throw new Fault('Forbidden', `${actor.name} does not speak for ${team ?? 'this wave'}`)
}
