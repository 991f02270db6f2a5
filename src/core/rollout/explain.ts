import { formatWaiting, type Waiting } from '../model/state.ts'
import { byWorkload, unmetDependency } from './depends.ts'
import { glassAt, lookAt } from './look.ts'
import type { RolloutDecision, RolloutWorld } from './types.ts'

/**
 * All that keeps one site from what it should have, the nearest cause first; empty where it does not wait. `decision` is this
 * tick's for the workload: its one reason a site is enough for a list, and `why` wants the others that would come next.
 */
export function explain(world: RolloutWorld, decision: RolloutDecision, site: string): readonly Waiting[] {
  const first = decision.waiting.get(site)
  if (first === undefined) return []
  const causes: Waiting[] = [first]
  if (decision.because !== null) causes.push(decision.because)
  const entry = world.rollouts.find(({ spec }) => spec.workload === decision.workload)
  const spec = entry?.next?.id === decision.state.id ? entry.next : entry?.spec
  if (spec !== undefined) {
    const look = lookAt(spec, world, new Map(), glassAt(decision.state, world.nowMs))
    const standing = look.standing(site)
    const barred = [look.withdrawn(site), look.unsigned(site), standing.is === 'ready' ? null : standing.because]
    causes.push(...barred.filter((because) => because !== null))
    const dependency = unmetDependency(spec, site, world, byWorkload(world))
    if (dependency !== null && decision.state.sites.get(site)?.phase === 'waiting')
      causes.push({ reason: 'Dependency', detail: dependency })
  }
  const said = new Set<string>()
  return causes.filter((cause) => {
    const text = formatWaiting(cause)
    return said.has(text) ? false : (said.add(text), true)
  })
}
