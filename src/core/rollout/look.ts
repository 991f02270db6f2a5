import { type Digest, shortDigest } from '../model/digest.ts'
import type { Waiting } from '../model/state.ts'
import { inWindow, type Standing, standingOf } from './standing.ts'
import type { GlassBroken, RolloutSpec, RolloutState, RolloutWorld } from './types.ts'

/** What one rollout asks of the world about a site, as of this tick. */
export interface Look {
  standing(site: string): Standing
  /** Its target is withdrawn; null: it is not. */
  withdrawn(site: string): Waiting | null
  /** No release signer signed for its target; null: one did, or none is asked for. */
  unsigned(site: string): Waiting | null
}

/** Nobody broke the glass: one list, so that ticks make none. */
export const WHOLE: readonly GlassBroken[] = []

/** What of it is broken now: a yes is for an emergency, and ends. */
export function glassAt({ glass = WHOLE }: Pick<RolloutState, 'glass'>, nowMs: number): readonly GlassBroken[] {
  if (glass.length === 0) return WHOLE
  const broken = glass.filter(({ untilMs }) => nowMs < untilMs)
  return broken.length === 0 ? WHOLE : broken
}

/** One memory a tick, shared by all rollouts: a site's standing is the same for each policy with the same patience. */
export type Standings = Map<number, Map<string, Standing>>

export function lookAt(
  spec: RolloutSpec,
  world: RolloutWorld,
  standings: Standings,
  opened: readonly GlassBroken[] = WHOLE,
): Look {
  const { excuseAfterMs } = spec.policy.offline
  const known = standings.get(excuseAfterMs) ?? new Map<string, Standing>()
  standings.set(excuseAfterMs, known)
  const { nowMs, withdrawn } = world
  return {
    standing(site) {
      let standing = known.get(site)
      if (standing === undefined) {
        standing = standingOf(world.site(site), excuseAfterMs, nowMs)
        known.set(site, standing)
      }
      return inWindow(standing, world.window?.(site, spec.workload, opened), nowMs)
    },
    unsigned(site) {
      const target = spec.targets.get(site)
      if (target === undefined || world.signed?.(site, spec.workload, target) !== false) return null
      return { reason: 'Unsigned', detail: shortDigest(target) }
    },
    withdrawn(site) {
      if (withdrawn.size === 0) return null
      const target = spec.targets.get(site)
      return target !== undefined && withdrawn.has(target) ? withdrawnReason(target) : null
    },
  }
}

export function withdrawnReason(digest: Digest): Waiting {
  return { reason: 'Withdrawn', detail: shortDigest(digest) }
}
