import { USUAL_VERBS } from '../core/protocol/ask.ts'
import type { AgentOptions } from './ports.ts'

/** Limits and pace of a site where nothing else is said. */
export const AGENT_DEFAULTS: Omit<AgentOptions, 'version'> = {
  mode: 'enforce',
  applySet: { namespace: 'flotilla-system', name: 'flotilla' },
  self: null,
  upgradeMs: 10 * 60_000,
  confirmMs: 300_000,
  pollMs: null,
  parallelApplies: 16,
  asks: USUAL_VERBS,
  scheduler: 'off',
  resyncMs: 6 * 3_600_000,
  debounceMs: 50,
  fuseObjects: 50,
  newsAfterMs: 1_000,
  maxGapMs: 60_000,
}
