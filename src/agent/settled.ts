/** What a turn stands on, and when a workload is where its entry wants it. */
import type { Marks } from '../core/diff/types.ts'
import { sameGeneration } from '../core/model/observation.ts'
import type { ManifestEntry, SiteManifest } from '../core/protocol/messages.ts'
import type { HubNow } from '../core/protocol/time.ts'
import type { BatchRoom } from './batch/room.ts'
import type { BoxWords } from './box/words.ts'
import type { Uplink } from './uplink.ts'
import type { Observer } from './observe.ts'
import type { AgentOptions, AgentPorts, WorkloadRecord } from './ports.ts'
import type { TurnState } from './turn-state.ts'

export interface ReconcileDeps {
  readonly ports: AgentPorts
  readonly options: AgentOptions
  readonly marks: Marks
  readonly observer: Observer
  readonly state: TurnState
  readonly words: BoxWords
  readonly uplink: Uplink
  readonly batch: BatchRoom
  hubNow(): HubNow
}

/** Healthy here at the release that its current entry names, by the last turn's finding. */
export function isSettled(
  workload: string,
  manifest: SiteManifest,
  records: ReadonlyMap<string, WorkloadRecord>,
  state: TurnState,
): boolean {
  const entry = manifest.entries.find((it) => it.workload === workload)
  return entry !== undefined && isEntrySettled(entry, records, state)
}

export function isEntrySettled(
  entry: ManifestEntry,
  records: ReadonlyMap<string, WorkloadRecord>,
  state: TurnState,
): boolean {
  const record = records.get(entry.workload)
  if (record === undefined || !sameGeneration(entry.since, record.since)) return false
  const soak = state.soaks.get(entry.workload)
  return record.applied?.digest === entry.release && soak?.release === entry.release && soak.healthySinceMs !== null
}
