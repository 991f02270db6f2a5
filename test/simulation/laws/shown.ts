/** What people are shown: an offline site is never well, and every site that waits has a reason that is true. */
import type { SiteView, WorkloadAtSite } from '../../../src/core/api/types.ts'
import { POLL_MS } from '../hub-machine.ts'
import { Violation } from './violation.ts'
import type { HubApi } from '../../../src/hub/api.ts'
import type { Digest } from '../../../src/core/model/digest.ts'

/** A site that is asked to come each 5 minutes, give or take a tenth, and another for the way, is Late 5 minutes after that. */
const LATE_MS = 2.5 * POLL_MS

export interface Truth {
  /** Monotonic ms since the hub could have heard it: since its last word, or since the hub came up. */
  readonly silentMs: (site: string) => number
  readonly mayBeHeld: (site: string) => boolean
  readonly mayBeStopped: (workload: string) => boolean
  readonly mayBeWithdrawn: (workload: string, release: Digest) => boolean
  readonly isGated: boolean
  readonly depends: boolean
  /** Its hub was restored or copied: the site may be ahead of it. */
  readonly isForked: boolean
}

export class ShownLaws {
  /** A lie that is told once may be a moment between two decisions. */
  readonly #doubts = new Map<string, string>()

  async check(api: HubApi, sites: readonly string[], truth: Truth): Promise<void> {
    for (const name of sites) {
      const view = await api.site(name)
      const isOffline = truth.silentMs(name) > LATE_MS
      if (isOffline && (view.link === 'Online' || view.health === 'Healthy' || view.sync === 'Synced'))
        throw new Violation(
          'offline',
          `${name} is silent for ${Math.round(truth.silentMs(name) / 1000)} s and shown as ${view.link} ${view.sync} ${view.health}`,
        )
      for (const workload of view.workloads) {
        const lie = await this.#lie(api, view, workload, truth)
        const key = `${name} ${workload.workload} ${workload.target ?? ''}`
        if (lie !== null && this.#doubts.get(key) === lie)
          throw new Violation('reason', `${name} ${workload.workload}: ${lie}`)
        if (lie === null) this.#doubts.delete(key)
        else this.#doubts.set(key, lie)
      }
    }
  }

  /** Why the reason given cannot be true; null: it may be. */
  async #lie(api: HubApi, site: SiteView, at: WorkloadAtSite, truth: Truth): Promise<string | null> {
    if (at.target === null || at.target === at.desired) return null
    const { waiting } = at
    if (waiting === null) return 'it waits for nothing'
    const [, have = '', of = ''] = /(\d+) of (\d+)/.exec(waiting.detail ?? '') ?? []
    switch (waiting.reason) {
      case 'LinkDown':
        return truth.silentMs(site.name) < POLL_MS / 2 && !truth.isForked ? 'LinkDown, and it was just heard' : null
      case 'Hold':
        return truth.mayBeHeld(site.name) || truth.isForked ? null : `Hold(${waiting.detail}), and nobody holds it`
      case 'Frozen':
        return truth.mayBeHeld(site.name) || truth.isForked ? null : 'Frozen, and nobody froze it'
      case 'Withdrawn':
        return truth.mayBeWithdrawn(at.workload, at.target as Digest) || truth.isForked
          ? null
          : 'Withdrawn, and nobody took it back'
      case 'Slot':
      case 'Budget':
        return Number(have) >= Number(of) ? null : `${waiting.reason}(${waiting.detail}) is no reason to wait`
      case 'ApprovalNeeded':
        return truth.isGated ? null : 'ApprovalNeeded, and nobody has to say yes'
      case 'Dependency':
        return truth.depends ? null : 'Dependency, and it has none'
      case 'Paused': {
        if (truth.mayBeStopped(at.workload)) return null
        const rollout = await api.rollout(at.workload)
        return rollout.paused !== null || rollout.phase === 'RolledBack' || rollout.phase === 'Aborted'
          ? null
          : 'Paused, and it is not'
      }
      case 'WaveNotReached': {
        if (waiting.detail !== undefined) return null
        const { wave, phase } = await api.rollout(at.workload)
        const mine = site.labels['cohort'] ?? ''
        return phase === 'Progressing' && wave?.name === mine ? `WaveNotReached, and wave ${mine} runs` : null
      }
      default:
        return null
    }
  }
}
