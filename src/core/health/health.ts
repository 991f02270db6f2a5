/** One object's health: kstatus' reading, the delivery engine's, and the worse of both. Pure: `nowMs` is an input. */
import type { Manifest } from '../model/object.ts'
import { type HealthState, worstHealth } from '../model/state.ts'
import { checkedHealth, type HealthCheck } from './checks.ts'
import { engineHealthOf } from './engine.ts'
import { kstatusOf } from './kstatus.ts'
import type { EngineHealth, Status } from './status.ts'
import type { KStatus, ObjectHealth } from './types.ts'

const STATE_OF: Readonly<Record<KStatus, HealthState>> = {
  Current: 'Healthy',
  InProgress: 'Progressing',
  Failed: 'Degraded',
  Terminating: 'Progressing',
  NotFound: 'Degraded',
  Unknown: 'Unknown',
}

/** An object as it was read from the cluster, status included. `checks`: its Workload's own. */
export function healthOf(
  object: Manifest,
  { nowMs, checks = [] }: { readonly nowMs: number; readonly checks?: readonly HealthCheck[] },
): ObjectHealth {
  const checked = checkedHealth(object, checks)
  if (checked !== undefined) return checked
  const status = kstatusOf(object, nowMs)
  const state = STATE_OF[status.kstatus]
  const engine = engineHealthOf(object) ?? { state, reason: status.reason, message: status.message }
  const health = worstHealth([state, engine.state])
  const said = sayer(status, state, engine, health)
  return {
    kstatus: status.kstatus,
    conditions: status.conditions,
    engine: engine.state,
    health,
    reason: health === 'Healthy' ? '' : said.reason || health,
    message: said.message,
  }
}

/** An object that should be there and is not. */
export function healthOfMissing(): ObjectHealth {
  const message = 'the object is not in the cluster'
  return { kstatus: 'NotFound', conditions: [], engine: 'Degraded', health: 'Degraded', reason: 'NotFound', message }
}

/** The reading that is the worse one speaks; where they agree, the one with a reason of its own. */
function sayer(
  status: Status,
  state: HealthState,
  engine: EngineHealth,
  health: HealthState,
): { readonly reason: string; readonly message: string } {
  if (engine.state !== health) return status
  if (state !== health) return engine
  return engine.reason === '' ? status : { reason: engine.reason, message: engine.message || status.message }
}
