/** What a site says of itself beside its workloads: told when it changed, or when the hub asks for it. */
import { digestJson, type Digest } from '../core/model/digest.ts'
import type { JsonObject } from '../core/model/json.ts'

export interface Facts {
  /** For the next message. */
  next(): { readonly facts?: JsonObject; readonly factsDigest?: Digest }
  /** The hub stored what the last message said. */
  acknowledged(): void
  /** The hub does not know it, or not any more. */
  asked(): void
}

export function createFacts(now: () => JsonObject): Facts {
  let known: Digest | undefined
  let sent: Digest | undefined
  return {
    next() {
      const facts = now()
      const digest = digestJson('facts', facts)
      // A site that has nothing to say, and never had, does not say so.
      if (Object.keys(facts).length === 0 && known === undefined) return {}
      sent = digest
      return digest === known ? { factsDigest: digest } : { facts, factsDigest: digest }
    },
    acknowledged() {
      known = sent
    },
    asked() {
      known = undefined
    },
  }
}
