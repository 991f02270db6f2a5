/** What a process of the story does, the same whether it is to be killed or not: it opens the store, listens once, makes turns. */
import { openAgentStore } from '../../../src/adapters/store/agent-store.ts'
import { createAgent, type Agent } from '../../../src/agent/agent.ts'
import { createOutbox } from '../../../src/agent/outbox.ts'
import type { AgentStore, SiteIdentity } from '../../../src/agent/ports.ts'
import type { Cluster } from '../../../src/core/kube/cluster.ts'
import type { HubLink } from '../../../src/core/protocol/ports.ts'
import type { Clock } from '../../../src/runtime/clock.ts'
import type { Logger } from '../../../src/runtime/logger.ts'

/** Enough for all that the story asks: a Job is replaced, a Deployment becomes ready, what waits for others follows. */
const TURNS = 8
const SILENT: Logger = { info() {}, warn() {}, error() {}, debug() {}, child: () => SILENT }

export interface World {
  readonly dir: string
  readonly cluster: Cluster
  readonly link: HubLink
  readonly clock: Clock
  readonly signal: AbortSignal
  /** Lets time pass, here and in the cluster. */
  pass(ms: number): Promise<void>
}

export interface Lived {
  readonly agent: Agent
  readonly store: AgentStore
  /** Ends the watches and closes the store. */
  end(): void
}

/** `result`: a word that must reach the hub, kept before the first exchange. */
export async function live(
  world: World,
  identity: SiteIdentity,
  options: { readonly result?: string; readonly storeOf?: (store: AgentStore) => AgentStore } = {},
): Promise<Lived> {
  const { dir, cluster, link, clock, signal } = world
  const opened = openAgentStore(dir)
  const store = options.storeOf?.(opened) ?? opened
  if (store.identity() === null) store.saveIdentity(identity)
  if (options.result !== undefined) createOutbox(store).put('result', 0, { id: options.result })
  const machine = { bootId: 'boot', uptimeMs: () => clock.monotonicMs() }
  const agent = createAgent(
    { cluster, link, store, clock, log: SILENT, machine, random: () => 0.5 },
    { version: 'kill' },
  )
  for (let turn = 0; turn < TURNS; turn++) {
    if (turn === 0 || turn === TURNS - 1) await agent.exchange(signal)
    // As its loop does: a turn that met a fault is tried again.
    const { nextMs } = await agent.turn(signal).catch(() => ({ nextMs: 1_000 }))
    await world.pass(Math.min(Math.max(nextMs, 100), 15_000))
  }
  await agent.exchange(signal)
  return {
    agent,
    store,
    end: () => {
      agent.stop()
      store.close()
    },
  }
}
