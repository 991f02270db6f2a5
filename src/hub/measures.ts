/** What the hub counts of its fleet for its metrics: by state, never by name. */
import type { HubMeasures } from './api.ts'
import { sourceState } from './source-state.ts'
import type { Views } from './views.ts'
import type { World } from './world.ts'

export function measure({ world, views }: { readonly world: World; readonly views: Views }): HubMeasures {
  const sites = { link: {}, sync: {}, health: {} } as Record<'link' | 'sync' | 'health', Record<string, number>>
  for (const standing of views.standings().values())
    for (const axis of ['link', 'sync', 'health'] as const)
      sites[axis][standing[axis]] = (sites[axis][standing[axis]] ?? 0) + 1
  const rollouts: Record<string, number> = {}
  for (const { state } of world.rollouts.values()) {
    const phase = state?.phase ?? 'Waiting'
    rollouts[phase] = (rollouts[phase] ?? 0) + 1
  }
  const { fault, brake, problems } = sourceState(world)
  return {
    ...sites,
    rollouts,
    storeWrites: world.store.written,
    sourceFault: fault === null && brake === null && !problems.some(({ severity }) => severity === 'error') ? 0 : 1,
  }
}
