/** The manifest that a site acts on: the newest that it can read, and never one of before the newest that it accepted. */
import { compareGenerations } from '../core/model/observation.ts'
import { parseManifest } from '../core/protocol/manifest.ts'
import type { SiteManifest } from '../core/protocol/messages.ts'
import type { Waiting } from '../core/model/state.ts'
import type { AgentStore, StoredManifest } from './ports.ts'

export interface Current {
  readonly stored: StoredManifest
  readonly manifest: SiteManifest
}

const LOST: Waiting = {
  reason: 'Hold',
  detail: 'the newest manifest that was accepted here is lost: what runs stays as it is until the hub tells it again',
}

/** A damaged disk, or one of a backup: what an older manifest names and does not name is no word to act on. null: this is the newest. */
export function behindFloor({ stored }: Current, store: Pick<AgentStore, 'floor'>): Waiting | null {
  const floor = store.floor()
  return floor !== null && compareGenerations(stored.generation, floor.generation) < 0 ? LOST : null
}

/** `held`: what was parsed last, which is not parsed again. */
export function newestManifest(store: Pick<AgentStore, 'manifests'>, held: Current | undefined): Current | undefined {
  for (const stored of store.manifests()) {
    if (held?.stored.body === stored.body) return held
    const parsed = parseManifest(stored.envelope.payload)
    if (parsed.ok) return { stored, manifest: parsed.value }
  }
  return undefined
}
