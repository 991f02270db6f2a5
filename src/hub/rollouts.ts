/** One turn of the rollouts: what the engine decides is written down, then published. Nothing is decided here. */
import { digestJson, type Digest } from '../core/model/digest.ts'
import { Fault } from '../core/model/fault.ts'
import type { JsonObject } from '../core/model/json.ts'
import { matches } from '../core/kube/selector.ts'
import type { Amount } from '../core/model/policy.ts'
import type { Waiting } from '../core/model/state.ts'
import { command } from '../core/rollout/command.ts'
import { decide } from '../core/rollout/decide.ts'
import { explain } from '../core/rollout/explain.ts'
import type { Grant, RolloutCommand, RolloutDecision, RolloutWorld, SiteFacts } from '../core/rollout/types.ts'
import { echoing } from './echo.ts'
import { nextEndMs, siteFacts, siteWorkload, type Contact } from './facts.ts'
import type { Publisher } from './publish.ts'
import { changeOf, draftOf, endsNow, movedPlaces, past } from './rollout-draft.ts'
import type { Signed } from './signed.ts'
import type { RolloutRecord } from './store.ts'
import { windowsOf } from './windows.ts'
import type { Draft, World } from './world.ts'

export interface RolloutParts {
  readonly world: World
  readonly publisher: Publisher
  readonly signed: Signed
  readonly nowMs: () => number
  readonly contact: (site: string) => Contact
  readonly budget: () => { readonly changingSites: Amount | null; readonly brokenSites: Amount | null }
  /** The revision that sites and labels are of. */
  readonly revision: () => string | null
}

export interface Rollouts {
  /** Decide, write down, publish. `nextAtMs`: when something may change without an event. */
  turn(): Promise<{ readonly nextAtMs: number | null; readonly published: readonly string[] }>
  /** What the engine said last, by workload. */
  readonly decisions: ReadonlyMap<string, RolloutDecision>
  /** All that keeps a site from what it should have of a workload, the nearest first. */
  explain(workload: string, site: string): readonly Waiting[]
  /** An operator's word. Faults: NotFound, Conflict (with the engine's reason). */
  say(workload: string, word: RolloutCommand, extra: JsonObject): Promise<void>
}

/** The name of a rollout: its workload and its map. Approvals name it. */
export function rolloutId(workload: string, targets: ReadonlyMap<string, Digest>): Digest {
  return digestJson('rollout', { workload, targets: Object.fromEntries(targets) })
}

export function createRollouts(parts: RolloutParts): Rollouts {
  const { world, publisher } = parts
  const decisions = new Map<string, RolloutDecision>()
  let first = true
  return {
    decisions,
    async turn() {
      const changed = new Set(world.changed)
      // What changes from here on is for the next turn.
      world.changed.clear()
      const nowMs = parts.nowMs()
      const decided = await world
        .turn(async (commit) => {
          await commit(ended(world, nowMs))
          const records = [...world.rollouts.values()]
          await world.openBooks()
          for (const { spec } of records) await world.book(spec.workload)
          const made = decide(worldOf(parts, records, nowMs, first ? undefined : changed))
          await commit(draftOf(world, records, made, nowMs))
          return made
        })
        .catch((error: unknown) => {
          for (const site of changed) world.changed.add(site)
          throw error
        })
      first = false
      decisions.clear()
      world.version += 1
      for (const decision of decided) decisions.set(decision.workload, decision)
      const grants: Grant[] = decided.flatMap((decision) => decision.grants)
      const published =
        grants.length + world.unpublished.size === 0 ? [] : await publisher.publish(grants, world.unpublished)
      return { nextAtMs: earliest([...decided.map(({ nextAtMs }) => nextAtMs), nextEndMs(world, nowMs)]), published }
    },
    explain(workload, site) {
      const decision = decisions.get(workload)
      if (decision === undefined) return []
      return explain(worldOf(parts, [...world.rollouts.values()], parts.nowMs(), undefined), decision, site)
    },
    async say(workload, word, extra) {
      await world.turn(async (commit) => {
        const record = world.rollouts.get(workload)
        if (record?.state == null) throw new Fault('NotFound', `no rollout of a workload named ${workload}`)
        const nowMs = parts.nowMs()
        const outcome = command(record.state, record.spec, word, nowMs)
        if (!outcome.ok) throw new Fault('Conflict', outcome.because, { facts: { workload } })
        await world.book(workload)
        await commit({
          rollouts: [changeOf(record, { ...record, state: outcome.state }, movedPlaces(record.state, outcome.state))],
          withdrawn: outcome.withdraw.map(({ digest, reason }) => ({
            digest,
            workload,
            reason,
            by: word.by,
            atMs: nowMs,
          })),
          readmitted: outcome.readmit,
          sites: echoing(world, record, outcome.state).map((site) => ({ ...site, published: 'behind' })),
          history: endsNow(record.state, outcome.state) ? [past(record.spec, outcome.state, nowMs)] : [],
          audit: [{ atMs: nowMs, actor: word.by, action: `rollout ${word.kind}`, subject: workload, detail: extra }],
          events: [
            { atMs: nowMs, kind: 'Operator', subject: `rollout/${workload}`, message: `${word.kind} by ${word.by}` },
          ],
        })
      })
    },
  }
}

/** Words of operators that ended by themselves: what their sites echo changes with them. */
function ended(world: World, nowMs: number): Draft {
  const holds = [...world.holds.values()].filter(({ untilMs }) => untilMs !== null && untilMs <= nowMs)
  const freezes = [...world.freezes.values()].filter(({ untilMs }) => untilMs <= nowMs)
  if (holds.length + freezes.length === 0) return {}
  const sites = [...world.sites.values()].filter(
    ({ name, labels, current }) =>
      current !== null &&
      (holds.some(({ site }) => site === name) ||
        freezes.some(({ selector }) => selector === null || matches(selector, labels))),
  )
  return {
    holdsGone: holds.map(({ site }) => site),
    freezesGone: freezes.map(({ id }) => id),
    sites: sites.map((site) => ({ ...site, published: 'behind' })),
  }
}

function worldOf(
  parts: RolloutParts,
  records: readonly RolloutRecord[],
  nowMs: number,
  changed: ReadonlySet<string> | undefined,
): RolloutWorld {
  const { world } = parts
  const facts = new Map<string, SiteFacts>()
  const revision = parts.revision()
  return {
    nowMs,
    budget: parts.budget(),
    fleetSites: world.listed,
    ...(revision === null ? {} : { revision }),
    rollouts: records.map(({ spec, state, next }) => ({ spec, state, ...(next === null ? {} : { next }) })),
    site(name) {
      const known = facts.get(name)
      if (known !== undefined) return known
      const site = world.sites.get(name)
      if (site === undefined) return undefined
      const made = siteFacts(world, site, parts.contact(name), nowMs)
      facts.set(name, made)
      return made
    },
    window: windowsOf(world, nowMs),
    ...(parts.signed.demanded ? { signed: (...asked) => parts.signed.allows(...asked) } : {}),
    at: (site, workload) => siteWorkload(world.books.get(workload)?.get(site)),
    withdrawn: new Set(world.withdrawn.keys()),
    lastGood: (site, workload) =>
      world.books
        .get(workload)
        ?.get(site)
        ?.entry?.good.find((digest) => !world.withdrawn.has(digest)) ?? null,
    ...(changed === undefined ? {} : { changed }),
  }
}

function earliest(times: readonly (number | null)[]): number | null {
  const known = times.filter((time): time is number => time !== null)
  return known.length === 0 ? null : known.reduce((least, time) => Math.min(least, time))
}
