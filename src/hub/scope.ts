/** Which sites a token may speak of: words about others are refused, whatever the role. What it may read is `reads.ts`. */
import { formatSelector, matches, toSelector } from '../core/kube/selector.ts'
import { Fault } from '../core/model/fault.ts'
import type { LabelSelector } from '../core/model/selector.ts'
import type { Actor } from './api.ts'
import type { World } from './world.ts'

/** Fault Forbidden. A site that was named is named back; of those that something is about it is said how many are outside, not which. */
export function within(world: World, actor: Actor, sites: string | Iterable<string>): void {
  const { scope } = actor
  if (scope == null) return
  const names = typeof sites === 'string' ? [sites] : [...sites]
  const outside = names.filter((site) => !matches(scope, world.sites.get(site)?.labels ?? {}))
  if (outside.length === 0) return
  const which = typeof sites === 'string' ? `${sites} is none` : `${outside.length} of ${names.length} sites are none`
  throw new Fault('Forbidden', `${actor.name} speaks for sites of ${scopeText(scope)}, and ${which}`)
}

/** Words about the fleet as a whole. Fault Forbidden. */
export function unscoped(actor: Actor): void {
  if (actor.scope != null)
    throw new Fault('Forbidden', `${actor.name} speaks for sites of ${scopeText(actor.scope)} only`)
}

export function scopeText(scope: LabelSelector): string {
  const read = toSelector(scope, 'ordered')
  return (read.ok ? formatSelector(read.selector) : undefined) ?? 'nothing'
}
