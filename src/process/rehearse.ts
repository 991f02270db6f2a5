/** A new version of the agent shows that it is fit before it asks for the store: a turn that only looks, over a copy, and the hub reached. */
import { rmSync } from 'node:fs'
import path from 'node:path'
import { fetchTrust } from '../adapters/link/rescue.ts'
import { copyAgentStore, openAgentStore } from '../adapters/store/agent-store.ts'
import { createAgent } from '../agent/agent.ts'
import type { AgentOptions, Machine } from '../agent/ports.ts'
import type { Cluster } from '../core/kube/cluster.ts'
import { Fault } from '../core/model/fault.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Logger } from '../runtime/logger.ts'

/** A first turn of a large site lists everything. */
const TIMEOUT_MS = 120_000

export interface Rehearsal {
  readonly dir: string
  readonly cluster: Cluster
  readonly clock: Clock
  readonly machine: Machine
  readonly log: Logger
  readonly options: Partial<AgentOptions> & { readonly version: string }
}

/** Nothing is written but the copy. Any fault: not fit, and why. */
export async function rehearse(rehearsal: Rehearsal, signal: AbortSignal): Promise<void> {
  const { dir, cluster, clock, machine, log, options } = rehearsal
  const copy = path.join(dir, 'rehearsal')
  const until = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)])
  try {
    copyAgentStore(dir, copy)
    const store = openAgentStore(copy)
    try {
      const identity = store.identity()
      if (identity === null) throw new Fault('KeyUnknown', 'this site is not enrolled yet')
      const agent = createAgent(
        { cluster, link: null, store, clock, log, machine, random: Math.random },
        { ...options, mode: 'observe' },
      )
      try {
        await agent.turn(until)
      } finally {
        agent.stop()
      }
      await fetchTrust(identity, until)
    } finally {
      store.close()
    }
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}
