/**
 * A site without a cluster: its own key, store and connection, and the agent's own exchange, acceptance and staging. What a cluster
 * would make of a manifest is said at once: applied and healthy. Part of `storm` and `deployments`.
 */
import { randomUUID } from 'node:crypto'
import { openLink } from '../src/adapters/link/client.ts'
import { trustOf } from '../src/adapters/link/identity.ts'
import { openAgentStore } from '../src/adapters/store/agent-store.ts'
import { AGENT_DEFAULTS } from '../src/agent/defaults.ts'
import { createHubClock } from '../src/agent/hub-time.ts'
import { createLibrary } from '../src/agent/library.ts'
import { newestManifest, type Current } from '../src/agent/newest.ts'
import { createOutbox } from '../src/agent/outbox.ts'
import type { SiteIdentity } from '../src/agent/ports.ts'
import { createSync, type SyncDeps } from '../src/agent/sync.ts'
import { syncLoop } from '../src/agent/sync-loop.ts'
import { createTurnState, type TurnState } from '../src/agent/turn-state.ts'
import type { WorkloadObservation } from '../src/core/model/observation.ts'
import type { ManifestEntry } from '../src/core/protocol/messages.ts'
import type { HubLink } from '../src/core/protocol/ports.ts'
import { createBell } from '../src/runtime/bell.ts'
import { systemClock } from '../src/runtime/clock.ts'
import type { Logger } from '../src/runtime/logger.ts'

/** Links come and go; what is unexpected is a mistake of the bench, or of what it measures. */
const quiet: Logger = {
  info() {},
  warn() {},
  error() {},
  debug: (facts, text) => {
    if ('reason' in facts && facts.reason === 'Unexpected') console.error(text, facts)
  },
  child: () => quiet,
}
/** Of `confirm: uplink`, what turns do. */
type OfTurns = 'begins' | 'acted' | 'revert' | 'nextMs'
const machine = { bootId: 'bench', uptimeMs: () => performance.now() }

/** Runs until the process ends. `through`: what stands between the agent and its link, to measure. */
export function lightSite(identity: SiteIdentity, through: (link: HubLink) => HubLink): TurnState {
  const store = openAgentStore(':memory:')
  store.saveIdentity(identity)
  const { authorities } = trustOf(identity)
  const state = createTurnState(Math.random)
  const hubClock = createHubClock(store, machine)
  const news = createBell()
  let held: Current | undefined
  const manifest = (): Current | undefined => (held = newestManifest(store, held))
  const facts: SyncDeps['facts'] = { next: () => ({}), acknowledged() {}, asked() {} }
  const uplink: Omit<SyncDeps['uplink'], OfTurns> = { asked() {}, missed() {}, reached() {}, callWithinMs: () => Infinity } // prettier-ignore
  const asks: SyncDeps['asks'] = { take() {}, recover() {}, callWithinMs: () => Infinity, idle: async () => undefined, stop() {} } // prettier-ignore
  // What an exchange asks of a turn, and no turn: the rest of the agent is not here.
  const parts = {
    ports: { store, clock: systemClock, log: quiet, machine, random: Math.random },
    options: { ...AGENT_DEFAULTS, version: 'bench' },
    state,
    link: through(openLink({ identity: () => identity, authorities: () => authorities })),
    outbox: createOutbox(store),
    hubClock,
    hubNow: () => hubClock.now(),
    reconciler: { manifest, library: createLibrary(store) },
    observer: { blindSinceMs: () => undefined },
    words: { pins: () => new Map() },
    facts,
    uplink,
    asks,
    marks: undefined,
    batch: { learn() {} } satisfies Pick<SyncDeps['batch'], 'learn'>,
    urgent: createBell(),
    boot: randomUUID(),
    onManifest() {
      const entries = manifest()?.manifest.entries ?? []
      for (const entry of entries) state.observations.set(entry.workload, healthy(entry))
      news.ring()
    },
  } satisfies Record<keyof SyncDeps, unknown>
  const deps = parts as unknown as SyncDeps
  void syncLoop(createSync(deps), deps, news, new AbortController().signal)
  return state
}

function healthy({ workload, since, release }: ManifestEntry): WorkloadObservation {
  const at = { digest: release, atMs: Date.now() }
  return {
    workload,
    since,
    desired: at,
    received: at,
    staged: at,
    applied: at,
    healthy: at,
    sync: 'Synced',
    health: 'Healthy',
    healthyForMs: 1,
    unhealthyMs: 0,
    transitions: 0,
    begun: true,
    objects: [],
    counts: { objects: 1, ready: 1, drifted: 0, pruned: 0 },
  }
}
