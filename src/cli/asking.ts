/** Asks sites something through the hub and waits: what came back, and for what did not, why and that it is over. */
import type { AskGroupView, AskOpenView, AskView } from '../core/api/asks.ts'
import { formatDuration, parseDuration } from '../core/calendar/duration.ts'
import { Fault } from '../core/model/fault.ts'
import type { JsonObject } from '../core/model/json.ts'
import type { LabelSelector } from '../core/model/selector.ts'
import type { AskVerb } from '../core/protocol/ask.ts'
import { type Flag, type Io, SELECTOR_FLAG, type Values } from './command.ts'
import { EXIT, type ExitCode } from './exit.ts'
import { age, when } from './output.ts'
import type { HubClient } from './ports.ts'
import { labelSelector } from './selectors.ts'

export const TIMEOUT_FLAG: Flag = {
  type: 'string',
  placeholder: 'DURATION',
  help: 'how long it may wait for the site to call; then it expires and is not done any more',
  default: '5m',
}

/** Which sites are asked, and until when. */
export const ASK_FLAGS = {
  clusters: { type: 'string', short: 'M', placeholder: 'SITES', help: 'at these sites, through the hub' },
  site: { type: 'string', placeholder: 'SITES', help: 'as -M' },
  selector: { ...SELECTOR_FLAG, help: 'at every site with these labels, through the hub: country=dk' },
  timeout: TIMEOUT_FLAG,
} as const satisfies Readonly<Record<string, Flag>>

export interface Whom {
  readonly sites: readonly string[] | null
  readonly selector: LabelSelector | null
  readonly forMs: number
}

/** null: nobody is named, so this box is meant. undefined after saying what is wrong. */
export function whomOf(flags: Values, io: Io, site?: string): Whom | null | undefined {
  const { clusters, site: alias, selector: labels, timeout } = flags
  const names = [site, clusters, alias].flatMap((text) => (typeof text === 'string' ? text.split(',') : []))
  const sites = names.map((name) => name.replace(/^site\//, '')).filter((name) => name !== '')
  const selector = typeof labels === 'string' ? labelSelector(labels) : null
  const forMs = parseDuration(String(timeout ?? '5m'))
  const problem =
    typeof selector === 'string'
      ? `-l ${selector}`
      : forMs === undefined
        ? `--timeout found ${String(timeout)}, expected a duration such as 90s, 5m or 3h`
        : sites.length > 0 && selector !== null
          ? 'give sites by name or by -l, not both'
          : undefined
  if (problem !== undefined || forMs === undefined || typeof selector === 'string') {
    io.err(`error: ${problem}`)
    return undefined
  }
  if (selector !== null) return { sites: null, selector, forMs }
  return sites.length === 0 ? null : { sites, selector: null, forMs }
}

/** One that was done, alike at all of these sites. */
export interface Done {
  readonly sites: readonly string[]
  /** With those that are not named. */
  readonly count: number
  readonly said: JsonObject
}

export interface Asked {
  readonly done: readonly Done[]
  /** What the shell is told where that is not the command's own to say: a timeout, or a refusal. */
  readonly code: ExitCode
  readonly view: AskView
}

/** After its time is over a site that has begun may end. */
const GRACE_MS = 60_000
const FIRST_LOOK_MS = 200
const MOST_LOOK_MS = 1_000
const PROGRESS_MS = 10_000
/** Looks in a row that find no hub: a minute, as long as one takes to be started anew. */
const MOST_MISSED = 60

/** What was refused, or is over, is told on stderr. Faults of the hub's API. */
export async function askSites(hub: HubClient, verb: AskVerb, args: JsonObject, whom: Whom, io: Io): Promise<Asked> {
  const { sites, selector, forMs } = whom
  const request = {
    verb,
    args,
    forMs,
    ...(sites === null ? {} : { sites }),
    ...(selector === null ? {} : { selector: selector as unknown as JsonObject }),
  }
  let view = await hub.send<AskView>('POST', '/v1/asks', request)
  const late = dueTooLate(view)
  if (late !== undefined) io.err(late)
  let saidMs = view.asOfMs
  let waitMs = FIRST_LOOK_MS
  let missed = 0
  while (isUnderWay(view) && !io.signal.aborted) {
    await pause(io, waitMs)
    waitMs = Math.min(waitMs * 1.5, MOST_LOOK_MS)
    const next = await lookAt(hub, view.id)
    if (next === undefined && (missed += 1) > MOST_MISSED) throw new Fault('Unreachable', `the hub is away; ask ${view.id} may still be done`) // prettier-ignore
    if (next === undefined) continue
    missed = 0
    view = next
    if (view.asOfMs - saidMs < PROGRESS_MS || !isUnderWay(view)) continue
    saidMs = view.asOfMs
    io.err(progress(view))
  }
  // Whoever does not wait any more does not mean it any more: sites that were not told are not told.
  const end = isUnderWay(view) && io.signal.aborted ? 'withdrawn' : formatDuration(forMs)
  if (end === 'withdrawn') view = await hub.send<AskView>('DELETE', `/v1/asks/${view.id}`)
  if (view.counts.answered > 0) view = await hub.get<AskView>(`/v1/asks/${view.id}`, { answers: '1' })
  const { groups } = view
  const done = groups.flatMap(({ answer, count, sites: names }) =>
    answer.ok ? [{ sites: names, count, said: answer.said }] : [],
  )
  for (const group of groups) if (!group.answer.ok) io.err(refusal(group))
  if (view.leftOut > 0) io.err(`${view.leftOut} more sites answered, each otherwise: choose fewer by -l or -M`)
  const ends = overTexts(view, end)
  for (const text of ends) io.err(text)
  const refused = groups.some(({ answer }) => !answer.ok)
  return { done, view, code: ends.length > 0 ? EXIT.timeout : refused ? EXIT.failed : EXIT.ok }
}

/** undefined: the hub is away, or is started anew; what was asked stands in its store. */
async function lookAt(hub: HubClient, id: string): Promise<AskView | undefined> {
  try {
    return await hub.get<AskView>(`/v1/asks/${id}`)
  } catch (error) {
    if (error instanceof Fault && AWAY.has(error.reason)) return undefined
    throw error
  }
}

const AWAY: ReadonlySet<string> = new Set(['Unreachable', 'Timeout', 'ServerError'])

function isUnderWay({ counts, asOfMs, expiresMs }: AskView): boolean {
  const begun = counts.taken > 0 && asOfMs < expiresMs + GRACE_MS
  return counts.waiting + counts.told > 0 || begun
}

/** A site that pays for each call is not called: whoever waits less than it does need not wait at all. */
function dueTooLate({ sites, open: [one], asOfMs, expiresMs }: AskView): string | undefined {
  if (sites !== 1 || one === undefined || one.dueAtMs === null || one.dueAtMs <= expiresMs) return undefined
  return `site/${one.site} is due ${when(one.dueAtMs, asOfMs)}, in ${age(one.dueAtMs - asOfMs)}, and this expires before: --timeout asks for longer`
}

/** A site that waits is offline or comes when it is due: neither is an error. */
function progress(view: AskView): string {
  const { counts, open, asOfMs, expiresMs, sites } = view
  const left = `${age(expiresMs - asOfMs)} left`
  const [one] = open
  if (sites > 1 || one === undefined) return `${counts.answered} of ${sites} sites answered; ${left}`
  if (one.state !== 'waiting') return `site/${one.site} has it; ${left}`
  const due = one.dueAtMs === null ? '' : `, due ${when(one.dueAtMs, asOfMs)}`
  return `waits for site/${one.site} to call: ${contact(one, asOfMs)}${due}; ${left}`
}

function contact({ lastContactMs }: AskOpenView, nowMs: number): string {
  if (lastContactMs === null) return 'it never called'
  return `last contact ${when(lastContactMs, nowMs)} (${age(nowMs - lastContactMs)} ago)`
}

/** `0417 0418 … and 10 more`. */
export function named(sites: readonly string[], count: number): string {
  const most = sites.slice(0, 10)
  return `${most.join(' ')}${count > most.length ? ` … and ${count - most.length} more` : ''}`
}

/** `site/0417`, or `12 sites (0417 0418 …)`. */
export function whose({ sites, count }: Pick<Done, 'sites' | 'count'>): string {
  return count === 1 ? `site/${sites[0]}` : `${count} sites (${named(sites, count)})`
}

function refusal(group: AskGroupView): string {
  const { answer } = group
  return answer.ok ? '' : `error ${answer.reason} at ${whose(group)}: ${answer.message}`
}

/** `end`: how long it was good, or that it was withdrawn. */
function overTexts(view: AskView, end: string): readonly string[] {
  const states = ['expired', 'unknown', 'taken'] as const
  return states.flatMap((state) => {
    const count = view.counts[state]
    const open = view.open.filter((one) => one.state === state)
    const [one] = open
    if (count === 0 || one === undefined) return []
    if (count === 1) return [overText(one, view.asOfMs, end)]
    const names = named(open.map(({ site }) => site), count) // prettier-ignore
    return [`${count} sites ${manyTexts(state, end)}: ${names}`]
  })
}

/** The sentence of one site: what is known, and whether it may still happen. */
function overText(one: AskOpenView, nowMs: number, end: string): string {
  const { site, state, agent, toldMs } = one
  if (state === 'taken') return `site ${site} has begun and has not said how it ended`
  if (end === 'withdrawn' && toldMs === null) return `site ${site} was not told of it yet, and will not run it`
  if (end === 'withdrawn') return `site ${site} was told of it at ${when(toldMs ?? nowMs, nowMs)}: it may have done it, or be at it` // prettier-ignore
  if (state === 'unknown')
    return `site ${site} was told at ${when(toldMs ?? nowMs, nowMs)} and was not heard since: nobody knows whether it did it; it will not begin it any more`
  return toldMs === null
    ? `site ${site} did not call within ${end}; ${contact(one, nowMs)}; it will not run this any more`
    : `site ${site} was told and did not take it up within ${end}; its agent ${agent ?? ''} may be too old for it; it will not run this any more`
}

function manyTexts(state: 'expired' | 'unknown' | 'taken', end: string): string {
  if (state === 'taken') return 'have begun and have not said how it ended'
  if (end === 'withdrawn')
    return state === 'expired'
      ? 'do not have it and will not run it'
      : 'were told of it and may have done it, or be at it'
  return state === 'expired'
    ? `did not take it up within ${end} and will not run this any more`
    : 'were told and were not heard since: nobody knows whether they did it; they will not begin it any more'
}

export async function pause(io: Io, ms: number): Promise<void> {
  await new Promise<void>((resolve) => {
    const end = (): void => {
      clearTimeout(timer)
      io.signal.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, ms)
    io.signal.addEventListener('abort', end, { once: true })
  })
}
