/**
 * The agent's own Deployment may be a Workload of the fleet and rolls out in waves like anything else. Kubernetes starts the new
 * one beside the old, which goes on until the new one is ready; where that does not happen, the old one takes it back.
 */
import type { Digest } from '../core/model/digest.ts'
import type { JsonObject } from '../core/model/json.ts'
import { sameGeneration } from '../core/model/observation.ts'
import type { Desired, Intent } from './desired.ts'
import type { AgentOptions, WorkloadRecord } from './ports.ts'
import type { Soak } from './soak.ts'

export const NOTE_UPGRADE = 'upgrade'

export interface OwnUpgrade {
  readonly workload: string
  readonly release: Digest
  /** The version that began it: the one that is to be replaced. */
  readonly by: string
}

function isOwn({ desired }: Intent, self: AgentOptions['self']): boolean {
  return (
    self !== null &&
    desired.objects.some(
      ({ ref }) => ref.kind === 'Deployment' && ref.name === self.name && ref.namespace === self.namespace,
    )
  )
}

/** What is written with the record that begins it. */
export function beginsOwn(
  { intents, begins }: Desired,
  { self, version }: Pick<AgentOptions, 'self' | 'version'>,
): ReadonlyMap<string, JsonObject> {
  const own = intents.find((intent) => begins.has(intent.entry.workload) && isOwn(intent, self))
  const release = own === undefined ? undefined : begins.get(own.entry.workload)?.release
  if (own === undefined || release === undefined) return new Map()
  const note: OwnUpgrade = { workload: own.entry.workload, release, by: version }
  return new Map([[NOTE_UPGRADE, note as unknown as JsonObject]])
}

export interface Stuck {
  readonly intent: Intent
  readonly back: Digest
  readonly because: string
}

/** Where this agent is still the one from before, and its successor was not ready in time. */
export function stuckOwn(
  { intents }: Desired,
  { self, version, upgradeMs }: Pick<AgentOptions, 'self' | 'version' | 'upgradeMs'>,
  note: JsonObject | undefined,
  records: ReadonlyMap<string, WorkloadRecord>,
  soaks: ReadonlyMap<string, Soak>,
): Stuck | undefined {
  const begun = note as unknown as OwnUpgrade | undefined
  const intent = intents.find((it) => it.entry.workload === begun?.workload && isOwn(it, self))
  const record = records.get(begun?.workload ?? '')
  if (intent === undefined || record === undefined || begun?.by !== version) return undefined
  const { entry } = intent
  if (record.release !== begun.release || entry.release !== begun.release || !sameGeneration(record.since, entry.since))
    return undefined
  const soak = soaks.get(entry.workload)
  if (soak === undefined || soak.healthySinceMs !== null || soak.unhealthyMs < upgradeMs) return undefined
  // What the hub signed as the way back comes first.
  const back = entry.fallback ?? record.previous
  const because = `the new agent was not ready within ${Math.round(upgradeMs / 1000)} s; ${version} goes on`
  return back === undefined || back === entry.release ? undefined : { intent, back, because }
}
