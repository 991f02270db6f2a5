/** Of several sites the one where a job would begin first, as -M of Slurm has it: each is asked by its own scheduler's prediction. */
import type { PredictedView } from '../../core/batch/view.ts'
import type { JsonObject } from '../../core/model/json.ts'
import { askSites, type Whom } from '../asking.ts'
import type { Io } from '../command.ts'
import { EXIT, type ExitCode } from '../exit.ts'
import type { HubClient } from '../ports.ts'

export type Earliest = { readonly site: string } | { readonly site: null; readonly code: ExitCode }

/** What no site takes, or none has room for, is said. A site that does not answer in time is not chosen. */
export async function earliest(hub: HubClient, script: JsonObject, whom: Whom, io: Io): Promise<Earliest> {
  const options = [...(script['options'] as readonly string[]), '--test-only']
  const { done, code } = await askSites(hub, 'sbatch', { ...script, options }, whom, io)
  const trials = done.flatMap(({ sites, said }) => sites.map((site) => ({ site, said, waitMs: waitOf(said) })))
  // As they were named, where several would begin at the same time.
  const order = whom.sites ?? []
  const sorted = trials.toSorted((a, b) => a.waitMs - b.waitMs || order.indexOf(a.site) - order.indexOf(b.site))
  const [best] = sorted
  if (best !== undefined && best.waitMs < Infinity) return { site: best.site }
  for (const { site, said } of sorted) io.err(`sbatch: error: ${site}: ${becauseOf(said)}`)
  return { site: null, code: code === EXIT.ok ? EXIT.failed : code }
}

/** Ms from now, by the site's own clock; Infinity: never, or not taken. */
function waitOf(said: JsonObject): number {
  const [found] = predictionsOf(said)
  switch (found?.fit) {
    case 'now':
      return 0
    case 'after-evicting':
      // Nobody has to give way for it elsewhere.
      return 1
    case 'at':
      return Math.max(2, (found.atMs ?? Infinity) - Number(said['nowMs'] ?? 0))
    default:
      return Infinity
  }
}

function becauseOf(said: JsonObject): string {
  const refused = said['refused'] as readonly string[] | undefined
  const [because] = refused ?? predictionsOf(said)[0]?.because ?? []
  return because ?? 'Requested node configuration is not available'
}

function predictionsOf(said: JsonObject): readonly PredictedView[] {
  return (said['predictions'] ?? []) as unknown as readonly PredictedView[]
}
