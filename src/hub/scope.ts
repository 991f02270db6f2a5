/** Which sites a token may speak of: words about others are refused, whatever the role. Reading is for everybody with a token. */
import { formatSelector, matches, toSelector } from '../core/kube/selector.ts'
import { Fault } from '../core/model/fault.ts'
import type { LabelSelector } from '../core/model/selector.ts'
import type { Actor } from './api.ts'
import type { World } from './world.ts'

/** Fault Forbidden, naming the first site that is outside. */
export function within(world: World, actor: Actor, sites: Iterable<string>): void {
  const { scope } = actor
  if (scope == null) return
  for (const site of sites)
    if (!matches(scope, world.sites.get(site)?.labels ?? {}))
      throw new Fault('Forbidden', `${actor.name} speaks for sites of ${scopeText(scope)}, and ${site} is none`)
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
