/** How long to wait before something is made again: doubling, with a ceiling. */

/** The job's own failures: as Kubernetes' Job controller, 10 s to 6 min. */
const RETRY = { firstMs: 10_000, mostMs: 360_000 }
/** Evictions and refusals by a kubelet: another place may be free at once. */
const REQUEUE = { firstMs: 1_000, mostMs: 60_000 }

/** After the nth failure in a row, from 1. */
export function backoffMs(kind: 'retry' | 'requeue', nth: number): number {
  const { firstMs, mostMs } = kind === 'retry' ? RETRY : REQUEUE
  return nth < 1 ? 0 : Math.min(mostMs, firstMs * 2 ** Math.min(nth - 1, 20))
}

/** What ran so long is not failing at once: the next wait is the first one again. */
export const RAN_WELL_MS = 600_000
