/**
 * Mistakes planted around the engine, each with the law that must find it: a law that no mistake breaks proves nothing. Each
 * lies to the engine about the world, or to the world about what it said; the engine itself stays as it is.
 */
import { decide } from '../../../src/core/rollout/decide.ts'
import type { RolloutDecision, RolloutEntry, RolloutState, RolloutWorld } from '../../../src/core/rollout/types.ts'
import { DAY, type Engine, MINUTE } from './sim.ts'

export interface Mutant {
  readonly mistake: string
  readonly law: RegExp
  readonly engine: () => Engine
}

export const MUTANTS: readonly Mutant[] = [
  {
    mistake: 'starts one site more than there are places',
    law: /^(blast-radius|budget)/,
    engine: () => (world) => decide(world).map((decision) => withOneMore(decision, world)),
  },
  {
    mistake: 'knows no maxConcurrent',
    law: /^blast-radius/,
    engine: () => eachPolicy((wave) => ({ ...wave, maxConcurrent: { count: 1000 } })),
  },
  {
    mistake: 'knows no fleet budget',
    law: /^budget/,
    engine: () => (world) => decide({ ...world, budget: { changingSites: null, brokenSites: null } }),
  },
  {
    mistake: 'takes a dark site for one in touch',
    law: /^(blast-radius|evidence|blocked|reason)/,
    engine: () => (world) =>
      decide({
        ...world,
        site: (name) => {
          const facts = world.site(name)
          return facts === undefined
            ? undefined
            : { ...facts, lastContactMs: world.nowMs, dueAtMs: world.nowMs + MINUTE }
        },
      }),
  },
  {
    mistake: 'takes a dark site for a healthy one',
    law: /^(evidence|stale)/,
    engine: () => (world) =>
      decide({
        ...world,
        at: (site, workload) => (isDark(world, site) ? allWell(world, site, workload) : world.at(site, workload)),
        site: (name) => {
          const facts = world.site(name)
          return facts === undefined || !isDark(world, name)
            ? facts
            : { ...facts, lastContactMs: world.nowMs, dueAtMs: world.nowMs + DAY }
        },
      }),
  },
  {
    mistake: 'takes an answer about an older entry for one about this',
    law: /^(stale|evidence)/,
    engine: () => (world) => decide({ ...world, at: (site, workload) => stale(world, site, workload) }),
  },
  {
    mistake: 'lets a wave wait for whoever is away',
    law: /^(blocked|converges|reason|blast-radius)/,
    engine: () => (world) =>
      decide({
        ...world,
        rollouts: world.rollouts.map((entry) => ({
          ...entry,
          spec: {
            ...entry.spec,
            policy: { ...entry.spec.policy, offline: { excuseAfterMs: 300 * DAY, onReturn: 'ApplyLatest' } },
          },
        })),
      }),
  },
  {
    mistake: 'takes what a site runs for what it should run',
    law: /^(stale|evidence)/,
    engine: () => (world) => decide({ ...world, at: (site, workload) => unapplied(world, site, workload) }),
  },
  {
    mistake: 'knows no windows',
    law: /^window/,
    engine: () => (world) => decide({ ...world, window: () => undefined }),
  },
  {
    mistake: 'does not soak',
    law: /^(stale|evidence)/,
    engine: () => eachPolicy((wave) => ({ ...wave, soakMs: 0 })),
  },
  {
    mistake: 'asks nobody for the yes',
    law: /^approval/,
    engine: () => eachPolicy((wave) => ({ ...wave, approval: null })),
  },
  {
    mistake: 'wants one site of evidence whatever the coverage',
    law: /^evidence/,
    engine: () => (world) =>
      decide({
        ...world,
        rollouts: world.rollouts.map((entry) => ({
          ...entry,
          spec: { ...entry.spec, policy: { ...entry.spec.policy, minCoveragePercent: 1 } },
        })),
      }),
  },
  {
    mistake: 'is content where nobody can give evidence',
    law: /^evidence/,
    engine: () => (world) =>
      decide(world).map((decision) =>
        decision.because?.reason === 'Coverage'
          ? { ...decision, state: { ...decision.state, phase: 'Completed' }, because: null }
          : decision,
      ),
  },
  {
    mistake: 'goes on after an abort',
    law: /^abort/,
    engine: () => (world) =>
      decide({ ...world, rollouts: world.rollouts.map(unaborted) }).map((decision, i) =>
        asAborted(decision, world.rollouts[i]),
      ),
  },
  {
    mistake: 'renews the permits of an aborted rollout',
    law: /^abort/,
    engine: () => (world) => decide(world).map((decision) => withRenewals(decision, world)),
  },
  {
    mistake: 'forgets what was withdrawn',
    law: /^withdrawn/,
    engine: () => (world) =>
      decide({ ...world, withdrawn: new Set() }).map((decision) => ({ ...decision, withdraw: [] })),
  },
  {
    mistake: 'takes nothing back that was told and not begun',
    law: /^withdrawn/,
    engine: () => (world) =>
      decide(world).map((decision) => ({
        ...decision,
        grants: decision.grants.filter(({ because }) => !['revoke', 'rollback', 'undo'].includes(because)),
      })),
  },
  {
    mistake: 'gives no reason',
    law: /^reason/,
    engine: () => (world) => decide(world).map((decision) => ({ ...decision, waiting: new Map() })),
  },
  {
    mistake: 'gives one reason for everything',
    law: /^reason/,
    engine: () => (world) =>
      decide(world).map((decision) => ({
        ...decision,
        waiting: new Map([...decision.waiting.keys()].map((site) => [site, { reason: 'Soaking' as const }])),
      })),
  },
  {
    mistake: 'forgets a site that returns',
    law: /^(converges|reason)/,
    engine: () => (world) =>
      decide(world).map((decision) => ({
        ...decision,
        grants: decision.grants.filter(({ because }) => because !== 'return' && because !== 'renew'),
      })),
  },
  {
    mistake: 'starts sites before their wave',
    law: /^(blast-radius|evidence|reason)/,
    engine: () => (world) => decide({ ...world, rollouts: world.rollouts.map(allWavesPassed) }),
  },
]

function withOneMore(decision: RolloutDecision, world: RolloutWorld): RolloutDecision {
  if (decision.grants.every(({ because }) => because !== 'wave')) return decision
  const model = decision.grants.find(({ because }) => because === 'wave')
  const next = [...decision.state.sites].find(([, place]) => place.phase === 'waiting' && place.from !== null)
  const spec = world.rollouts.find((entry) => entry.spec.id === decision.state.id)?.spec
  const target = next === undefined ? undefined : spec?.targets.get(next[0])
  if (model === undefined || next === undefined || target === undefined) return decision
  return { ...decision, grants: [...decision.grants, { ...model, site: next[0], release: target }] }
}

type WaveOf = RolloutEntry['spec']['policy']['waves'][number]

function eachPolicy(change: (wave: WaveOf) => WaveOf): Engine {
  return (world) =>
    decide({
      ...world,
      rollouts: world.rollouts.map((entry) => ({
        ...entry,
        spec: withWaves(entry.spec, change),
        ...(entry.next === undefined ? {} : { next: withWaves(entry.next, change) }),
      })),
    })
}

function withWaves(spec: RolloutEntry['spec'], change: (wave: WaveOf) => WaveOf): RolloutEntry['spec'] {
  return { ...spec, policy: { ...spec.policy, waves: spec.policy.waves.map(change) } }
}

function isDark(world: RolloutWorld, site: string): boolean {
  const due = world.site(site)?.dueAtMs
  return due != null && world.nowMs > due + 30 * MINUTE
}

function allWell(world: RolloutWorld, site: string, workload: string): ReturnType<RolloutWorld['at']> {
  const at = world.at(site, workload)
  if (at?.published == null || at.since === null || at.observation === null) return at
  const stamp = { digest: at.published, atMs: world.nowMs }
  const observation = { ...at.observation, since: at.since, desired: stamp, applied: stamp, healthy: stamp }
  return { ...at, observation: { ...observation, sync: 'Synced', health: 'Healthy', healthyForMs: DAY, begun: true } }
}

function stale(world: RolloutWorld, site: string, workload: string): ReturnType<RolloutWorld['at']> {
  const at = world.at(site, workload)
  if (at?.published == null || at.since === null || at.observation === null) return at
  const stamp = { digest: at.published, atMs: world.nowMs }
  const { failure: _failure, ...observation } = at.observation
  return {
    ...at,
    observation: { ...observation, since: at.since, desired: stamp, applied: stamp, healthy: stamp, sync: 'Synced' },
  }
}

/** Health that was read before the apply. */
function unapplied(world: RolloutWorld, site: string, workload: string): ReturnType<RolloutWorld['at']> {
  const at = world.at(site, workload)
  if (at?.published == null || at.observation === null) return at
  const stamp = { digest: at.published, atMs: world.nowMs }
  return {
    ...at,
    observation: { ...at.observation, desired: stamp, applied: stamp, healthy: stamp, sync: 'Synced', begun: true },
  }
}

function unaborted(entry: RolloutEntry): RolloutEntry {
  const { state } = entry
  if (state?.phase !== 'Aborted') return entry
  const { ended: _ended, endedAtMs: _endedAt, ...rest } = state
  return { ...entry, state: { ...rest, phase: 'Progressing' } }
}

/** The state is still said to be aborted: only what is done about it is wrong. */
function asAborted(decision: RolloutDecision, entry: RolloutEntry | undefined): RolloutDecision {
  const given = entry?.state
  if (given?.phase !== 'Aborted' || decision.state.id !== given.id) return decision
  const state: RolloutState = {
    ...decision.state,
    phase: 'Aborted',
    ...(given.ended === undefined ? {} : { ended: given.ended }),
    ...(given.endedAtMs === undefined ? {} : { endedAtMs: given.endedAtMs }),
  }
  return { ...decision, state }
}

function withRenewals(decision: RolloutDecision, world: RolloutWorld): RolloutDecision {
  if (decision.state.phase !== 'Aborted') return decision
  const again = decision.grants.map((grant) => {
    const target = world.rollouts.find((entry) => entry.spec.id === decision.state.id)?.spec.targets.get(grant.site)
    return grant.because === 'revoke' && target !== undefined
      ? { ...grant, release: target, startByMs: world.nowMs + DAY }
      : grant
  })
  return { ...decision, grants: again }
}

/** As if every wave but the last were through already. */
function allWavesPassed(entry: RolloutEntry): RolloutEntry {
  const { state } = entry
  if (state?.phase !== 'Progressing') return entry
  const last = state.waves.length - 1
  const waves = state.waves.map((wave, i) => (i < last ? { ...wave, state: 'passed' as const } : wave))
  return { ...entry, state: { ...state, waves } }
}
