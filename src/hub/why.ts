/** Why something is not as desired: numbered causes with their numbers, and when it is decided again. */
import { stopSentence, WAITING_SENTENCES } from '../core/api/sentences.ts'
import type { Cause, WhyView, WorkloadAtSite } from '../core/api/types.ts'
import { shortDigest } from '../core/model/digest.ts'
import { Fault } from '../core/model/fault.ts'
import { formatRef } from '../core/model/object.ts'
import { formatWaiting, type Waiting } from '../core/model/state.ts'
import { glassAt } from '../core/rollout/look.ts'
import { clockText } from '../core/rollout/standing.ts'
import type { RolloutDecision, RolloutState } from '../core/rollout/types.ts'
import { emptyingOf } from './empty.ts'
import { activeFreeze } from './facts.ts'
import { Releases } from './releases.ts'
import { fleetState, sourceState } from './source-state.ts'
import { linkOf, siteView, workloadAt, type StandingParts } from './standing.ts'
import type { AtSite, SiteRecord } from './store.ts'
import { atSite, siteOf } from './views.ts'
import { answer, cause, fromWaiting, groupBy, named, short } from './why-answer.ts'

export function whySite(parts: StandingParts, name: string): Promise<WhyView> {
  const site = siteOf(parts, name)
  const { world, nowMs, contacts } = parts
  return atSite(parts, name).then(async (at) => {
    const view = siteView(parts, site, at)
    const { revision } = sourceState(world)
    const causes: Cause[] = []
    const add = (
      reason: string,
      subject: string,
      message: string,
      sinceMs: number | null,
      nextAtMs: number | null,
    ): void => {
      causes.push({ reason, subject, message, sinceMs, nextAtMs })
    }
    for (const { type, reason, message, sinceMs } of view.conditions) add(reason, type, message, sinceMs, null)
    const { lastContactMs, dueAtMs } = contacts.get(name)
    if (site.standing === 'retired' || site.gitRetired !== undefined)
      add('Retired', `site/${name}`, `its key is refused: ${site.gitRetired ?? 'an operator retired it'}`, null, null)
    else if (site.siteId === null)
      add('NotEnrolled', `site/${name}`, `it has never joined: \`flotilla token create --site ${name}\``, null, null)
    else if (view.link === 'Never') add('NeverHeard', `site/${name}`, 'it joined and was never heard since', null, null)
    else if (view.link !== 'Online')
      add('LinkDown', `site/${name}`, `${view.link}: it was due ${ago(dueAtMs, nowMs())} ago`, lastContactMs, null)
    if (view.hold !== null)
      add('Hold', `site/${name}`, `${view.hold.reason} (by ${view.hold.by})`, null, view.hold.untilMs)
    const freeze = activeFreeze(world, site, nowMs())
    if (freeze !== undefined) add('Frozen', `site/${name}`, `${freeze.reason} (by ${freeze.by})`, null, freeze.untilMs)
    if (!view.listed) add('Unlisted', `site/${name}`, await unlisted(parts, site, at), null, null)
    for (const workload of view.workloads)
      causes.push(...workloadCauses(workload, workload.workload), ...nextCauses(parts, workload, name))
    causes.push(...revisionCauses(parts))
    return answer(parts, `site/${name}`, causes, {
      fine: `is at ${short(revision)}: ${view.workloads.length === 1 ? '1 workload' : `${view.workloads.length} workloads`}, all as desired`,
      not: `is not at ${short(revision)}`,
    })
  })
}

/** Said of the site as a whole already. */
const SITE_WIDE: ReadonlySet<string> = new Set(['Hold', 'Frozen', 'LinkDown'])

/** What would keep it once the nearest cause is gone. */
function nextCauses({ explain, decisions }: StandingParts, at: WorkloadAtSite, site: string): readonly Cause[] {
  if (explain === undefined || at.waiting === null || at.desired === at.target) return []
  const first = formatWaiting(at.waiting)
  const whole = decisions.get(at.workload)?.because ?? null
  const subjectOf = (text: string): string =>
    whole !== null && formatWaiting(whole) === text ? `rollout/${at.workload}` : at.workload
  return explain(at.workload, site)
    .filter((waiting) => formatWaiting(waiting) !== first && !SITE_WIDE.has(waiting.reason))
    .map((waiting) => fromWaiting(waiting, subjectOf(formatWaiting(waiting)), null))
}

/** With the name of the list that empties it, where it has something to lose. */
async function unlisted({ world }: StandingParts, site: SiteRecord, at: ReadonlyMap<string, AtSite>): Promise<string> {
  const entries = [...at.values()].flatMap(({ entry }) => (entry === null ? [] : [entry]))
  const releases = new Releases(world.store)
  const emptying = await emptyingOf(site, entries, (digest) => releases.load(digest))
  if (emptying === null) return WAITING_SENTENCES.Unlisted
  const { digest, objects } = emptying
  const how = `to delete its ${objects.length} objects, add ${digest} to deletionBrake.confirmed in the root file`
  return `${WAITING_SENTENCES.Unlisted}; ${how}`
}

export function whyRollout(parts: StandingParts, workload: string): WhyView {
  const { world, decisions } = parts
  const record = world.rollouts.get(workload)
  if (record === undefined) throw new Fault('NotFound', `no workload named ${workload} is rolled out`)
  const { spec, state, next } = record
  const decision = decisions.get(workload)
  const subject = `rollout/${workload}`
  const causes: Cause[] = []
  if (state?.ended !== undefined)
    causes.push(
      cause(
        state.phase,
        subject,
        stopSentence(state.ended.by, state.ended.kind, state.ended.why),
        state.endedAtMs ?? null,
        null,
      ),
    )
  if (state?.paused !== undefined)
    causes.push(
      cause('Paused', subject, stopSentence(state.paused.by, 'pause', state.paused.why), state.paused.atMs, null),
    )
  if (state?.phase === 'Progressing' || state?.phase === 'Paused')
    for (const { team, by, why, atMs, untilMs } of glassAt(state, parts.nowMs())) {
      const until = `no window of ${team} keeps it until ${clockText(untilMs)}`
      causes.push(cause('GlassBroken', subject, `${until}: ${why} (by ${by})`, atMs, untilMs))
    }
  const waiting = groupBy(waitingOf(state, decision), ({ why }) => formatWaiting(why))
  // What its sites say says it too.
  const whole = decision?.because ?? null
  if (whole !== null && whole.reason !== 'Paused' && !waiting.has(formatWaiting(whole)))
    causes.push(fromWaiting(whole, subject, null))
  for (const [key, sites] of groupBy([...(state?.sites ?? [])], ([, { failure }]) =>
    failure === undefined ? null : `${failure.reason}\n${failure.message}`,
  )) {
    const [reason = '', message = ''] = key.split('\n')
    causes.push(cause(reason, named(sites.map(([name]) => name)), message, sites[0]?.[1].failure?.atMs ?? null, null))
  }
  const moving = [...(state?.sites ?? [])].flatMap(([site, { phase }]) =>
    (phase === 'granted' || phase === 'changing') && decision?.waiting.get(site) === undefined ? [site] : [],
  )
  if (moving.length > 0)
    causes.push(cause('Progressing', named(moving), 'told to change, and not seen healthy yet', null, null))
  for (const [, group] of waiting) {
    const [first] = group
    if (first !== undefined) causes.push(fromWaiting(first.why, named(group.map(({ site }) => site)), null))
  }
  if (next !== null)
    causes.push(
      cause(
        'WaveNotReached',
        subject,
        `a newer map of ${short(next.revision)} waits for the running wave`,
        next.createdAtMs,
        null,
      ),
    )
  const done = [...(state?.sites.values() ?? [])].filter(({ phase }) => phase === 'done').length
  const moved = [...(state?.sites.values() ?? [])].filter(({ phase }) => phase !== 'unchanged').length
  const ends = decision?.nextAtMs ?? null
  return answer(
    parts,
    subject,
    causes,
    {
      fine: `is complete at ${short(spec.revision)}: ${done} of ${moved} sites`,
      not: `is at ${done} of ${moved} sites of ${short(spec.revision)}`,
    },
    ends === null ? null : { atMs: ends, what: `rollout/${workload}` },
  )
}

function waitingOf(
  state: RolloutState | null,
  decision: RolloutDecision | undefined,
): readonly { readonly site: string; readonly why: Waiting }[] {
  return [...(state?.sites.keys() ?? [])].flatMap((site) => {
    const why = decision?.waiting.get(site)
    return why === undefined ? [] : [{ site, why }]
  })
}

export function whyWorkload(parts: StandingParts, workload: string): WhyView {
  const { world } = parts
  const { workloads } = fleetState(world)
  const facts = Object.hasOwn(workloads, workload) ? workloads[workload] : undefined
  const record = world.rollouts.get(workload)
  if (facts === undefined && record === undefined) throw new Fault('NotFound', `no workload named ${workload}`)
  const causes: Cause[] = (facts?.held ?? []).map(({ sites, problem }) =>
    cause(
      'HeldByError',
      sites === null ? `workload/${workload}` : named(sites),
      `${problem.code} ${problem.place.file}:${problem.place.line}:${problem.place.column} ${problem.message}`,
      null,
      null,
    ),
  )
  const book = world.books.get(workload)
  const targets = (record?.next ?? record?.spec)?.targets ?? new Map<string, string>()
  const unsettled = [...targets.keys()].flatMap((name) => {
    const site = world.sites.get(name)
    if (site === undefined) return []
    const at = workloadAt(parts, site, workload, book?.get(name), linkOf(parts, name))
    return workloadCauses(at, name).map((found) => ({ name, found }))
  })
  for (const [, group] of groupBy(unsettled, ({ found }) => `${found.reason}\n${found.message}`)) {
    const [first] = group
    if (first !== undefined) causes.push({ ...first.found, subject: named(group.map(({ name }) => name)) })
  }
  const fine = targets.size - new Set(unsettled.map(({ name }) => name)).size
  return answer(parts, `workload/${workload}`, causes, {
    fine: `is as desired at ${targets.size} sites`,
    not: `is as desired at ${fine} of ${targets.size} sites`,
  })
}

/** Nothing where the workload is what it should be and well. */
export function workloadCauses(at: WorkloadAtSite, subject: string): Cause[] {
  const causes: Cause[] = []
  if (at.failure !== null) causes.push(cause(at.failure.reason, subject, at.failure.message, at.atMs, null))
  // Since when the site says something is known; what keeps it here was decided at some time before.
  const saidMs = at.desired === at.target ? at.atMs : null
  if (at.waiting !== null) causes.push(fromWaiting(at.waiting, subject, saidMs))
  else if (at.sync !== 'Synced' && at.failure === null)
    causes.push(cause(at.sync, subject, progressOf(at), at.atMs, null))
  for (const { ref, reason, message } of at.objects)
    if (at.health !== 'Healthy' || at.sync !== 'Synced')
      causes.push(cause(reason, `${subject}: ${formatRef(ref)}`, message, at.atMs, null))
  if (causes.length === 0 && at.health !== 'Healthy' && at.health !== 'Suspended')
    causes.push(cause(at.health, subject, `health is ${at.health}`, at.atMs, null))
  return causes
}

function progressOf({ target, desired, received, applied, healthy }: WorkloadAtSite): string {
  const has = (digest: string | null): string => (digest === null ? 'none' : shortDigest(digest))
  if (desired === null) return `should have ${has(target)} and was not told yet`
  return `told ${has(desired)}; received ${has(received)}, applied ${has(applied)}, healthy ${has(healthy)}`
}

/** A revision that Git has and the fleet does not follow. */
function revisionCauses({ world }: StandingParts): Cause[] {
  const { seen, revision, brake, fault, problems } = sourceState(world)
  const causes: Cause[] = []
  if (fault !== null) causes.push(cause(fault.reason, 'source', fault.message, fault.sinceMs, null))
  if (brake !== null) causes.push(cause('DeletionBrake', `revision ${short(seen)}`, brake.message, null, null))
  const first = problems.find(({ severity }) => severity === 'error')
  if (seen !== revision && brake === null && first !== undefined)
    causes.push(
      cause(
        first.code,
        `revision ${short(seen)}`,
        `${first.place.file}:${first.place.line} ${first.message}`,
        null,
        null,
      ),
    )
  return causes
}

function ago(ms: number | null, nowMs: number): string {
  const seconds = Math.max(0, Math.round((nowMs - (ms ?? nowMs)) / 1000))
  return seconds < 120
    ? `${seconds}s`
    : seconds < 7200
      ? `${Math.round(seconds / 60)}m`
      : `${Math.round(seconds / 3600)}h`
}
