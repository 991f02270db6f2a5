/** The manifest that a site acts on: the newest that it can read. */
import { parseManifest } from '../core/protocol/manifest.ts'
import type { SiteManifest } from '../core/protocol/messages.ts'
import type { AgentStore, StoredManifest } from './ports.ts'

export interface Current {
  readonly stored: StoredManifest
  readonly manifest: SiteManifest
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
