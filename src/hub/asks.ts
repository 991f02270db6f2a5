/** What people ask of sites through the hub: who may ask what, for how long it is good, and what came back. */
import { randomBytes } from 'node:crypto'
import type { AskAnswerView, AskGroupView, AskOpenView, AskState, AskView } from '../core/api/asks.ts'
import { API_FORMAT } from '../core/api/types.ts'
import { matches } from '../core/kube/selector.ts'
import { Fault, REASONS } from '../core/model/fault.ts'
import { byUtf16, canonicalJson, type JsonObject } from '../core/model/json.ts'
import type { LabelSelector } from '../core/model/selector.ts'
import {
  ANSWER_MAX_CHARS,
  ASK_MAX_BYTES,
  ASK_MAX_MS,
  ASK_VERBS,
  askBytes,
  type AskVerb,
  isAskVerb,
  readAnswer,
} from '../core/protocol/ask.ts'
import type { Actor, AskRequest, HubAsks, Role } from './api.ts'
import { said } from './ask-carry.ts'
import type { Contacts } from './contacts.ts'
import type { Authority } from './ports.ts'
import { scopeText, within } from './scope.ts'
import type { AskRecord, AskSiteRecord, SiteRecord } from './store.ts'
import type { World } from './world.ts'

/** Who may ask what. An approver speaks for teams, and reads as everybody does. */
const MAY: Readonly<Record<AskVerb, readonly Role[]>> = {
  diff: ['viewer', 'operator', 'approver', 'admin'],
  logs: ['operator', 'admin'],
  predict: ['operator', 'admin'],
  reconcile: ['operator', 'admin'],
  scancel: ['operator', 'admin'],
  queue: ['operator', 'admin'],
  job: ['operator', 'admin'],
  sbatch: ['operator', 'admin'],
  exec: ['admin'],
}
const DEFAULT_MS = 300_000
/** Sites of one ask, and of all that is open, each counted by its sites. */
const MOST_SITES = 1_000
const MOST_OPEN = 20_000
/** Of each answer, where many sites are asked. */
const MANY_CHARS = 16 * 1024
/** After it expired, what came back is kept for so long: for whoever waits. */
const KEPT_MS = 3_600_000
/** In one view. */
const MOST_GROUPS = 50
const MOST_NAMED = 20
const MOST_AUDITED_CHARS = 2_000

export interface AsksParts {
  readonly world: World
  readonly contacts: Pick<Contacts, 'get'>
  readonly authority: Authority
  readonly nowMs: () => number
  /** Why the hub does not believe its own clock; absent: it is not asked. */
  readonly clockDoubt?: () => string | undefined
}

export function asksApi(parts: AsksParts): HubAsks {
  const { world, authority, nowMs } = parts
  return {
    async ask(actor, request) {
      const { verb, args } = request
      if (!isAskVerb(verb)) throw new Fault('InvalidInput', `${verb} is none of ${Object.keys(ASK_VERBS).join(', ')}`)
      allow(actor, verb)
      if (ASK_VERBS[verb] === 'runs' && authority.trust.critical.includes('release'))
        throw new Fault(
          'Forbidden',
          `the root names a release signer, so that no hub brings what it did not sign: ${verb} is said at the box, or in Git`,
        )
      const doubt = parts.clockDoubt?.()
      if (doubt !== undefined) throw new Fault('HubClock', `${doubt}: nobody could say until when it is good`)
      const sites = sitesOf(parts, actor, request)
      const forMs = request.forMs ?? DEFAULT_MS
      if (!(forMs > 0 && forMs <= ASK_MAX_MS))
        throw new Fault('InvalidInput', `an ask is good for ${ASK_MAX_MS / 3_600_000} hours at most`)
      const issuedMs = nowMs()
      const ask: AskRecord = {
        id: randomBytes(8).toString('hex'),
        verb,
        args,
        by: actor.name,
        issuedMs,
        expiresMs: Math.ceil(issuedMs + forMs),
        most: sites.length === 1 ? ANSWER_MAX_CHARS : MANY_CHARS,
        siteIds: sites.map(({ siteId }) => siteId),
      }
      const bytes = askBytes({ ...said(ask, authority), site: 'x'.repeat(63), siteId: 'x'.repeat(64) }).length
      if (bytes > ASK_MAX_BYTES) throw new Fault('TooLarge', `an ask of ${bytes} bytes: at most ${ASK_MAX_BYTES}`)
      const rows = sites.map(({ name, siteId }): AskSiteRecord => ({
        id: ask.id,
        siteId,
        site: name,
        sentMs: null,
        takenMs: null,
        answeredMs: null,
        of: null,
        parts: [],
      }))
      const names = sites.map(({ name }) => name)
      const subject = names.length === 1 ? (names[0] ?? '') : `${names.length} sites`
      await world.turn((commit) =>
        commit({
          asks: [ask],
          askSites: rows,
          asksGone: overAt(world, issuedMs),
          audit: [
            { atMs: issuedMs, actor: actor.name, action: `ask ${verb}`, subject, detail: audited(ask, request, names) },
          ],
          // A look is no event: whoever looks again and again must not push out what happened.
          events:
            ASK_VERBS[verb] === 'reads'
              ? []
              : [{ atMs: issuedMs, kind: 'Operator', subject, message: `${verb} asked by ${actor.name}` }],
        }),
      )
      world.onPublished(names)
      return viewOf(parts, ask, 'counts')
    },
    async asked(actor, id, answers) {
      const ask = world.asks.asks.get(id)
      if (ask === undefined) throw new Fault('NotFound', `no ask ${id}: what came back is kept for an hour`)
      if (isAskVerb(ask.verb)) allow(actor, ask.verb)
      within(world, actor, rowsOf(world, ask).map(({ site }) => site)) // prettier-ignore
      return viewOf(parts, ask, answers)
    },
    async withdraw(actor, id) {
      const ask = world.asks.asks.get(id)
      if (ask === undefined) throw new Fault('NotFound', `no ask ${id}: what came back is kept for an hour`)
      if (isAskVerb(ask.verb)) allow(actor, ask.verb)
      const sites = rowsOf(world, ask).map(({ site }) => site)
      within(world, actor, sites)
      const atMs = nowMs()
      const ended = { ...ask, expiresMs: Math.min(ask.expiresMs, atMs) }
      const subject = sites.length === 1 ? (sites[0] ?? '') : `${sites.length} sites`
      const audit = [{ atMs, actor: actor.name, action: `withdraw ${ask.verb}`, subject, detail: { id } }]
      if (ask.expiresMs > atMs) await world.turn((commit) => commit({ asks: [ended], audit }))
      return viewOf(parts, ended, 'counts')
    },
  }
}

/** Fault Forbidden. */
function allow(actor: Actor, verb: AskVerb): void {
  if (!MAY[verb].includes(actor.role))
    throw new Fault('Forbidden', `${actor.name} is ${actor.role}; ${verb} takes ${MAY[verb].join(' or ')}`)
}

type Joined = SiteRecord & { readonly siteId: string }

function isJoined(site: SiteRecord): site is Joined {
  return site.siteId !== null && site.standing === 'active'
}

/** Faults InvalidInput, NotFound, Forbidden, Throttled. */
function sitesOf({ world, nowMs }: AsksParts, actor: Actor, request: AskRequest): readonly Joined[] {
  const { sites: named, selector } = request
  if ((named === null) === (selector === null)) throw new Fault('InvalidInput', 'give sites by name, or a selector')
  // Before it is said whether there are such: what is outside of a token's scope is Forbidden, and no more.
  if (named !== null) within(world, actor, named.length === 1 ? (named[0] ?? '') : named)
  const found = named === null ? labelled(world, selector) : [...new Set(named)].map((name) => siteNamed(world, name))
  if (named === null) within(world, actor, found.map(({ name }) => name)) // prettier-ignore
  if (found.length === 0) throw new Fault('NotFound', 'the selector matches no site that has joined')
  if (found.length > MOST_SITES)
    throw new Fault('TooLarge', `${found.length} sites at once: at most ${MOST_SITES}, choose fewer by labels`)
  const ahead = found.filter(({ fork }) => fork !== null).length
  if (ahead > 0)
    throw new Fault('Conflict', `${ahead} of ${found.length} sites have what this hub never published: \`flotilla hub recover\` first`) // prettier-ignore
  const open = world.asks.countOpen(nowMs())
  if (open + found.length > MOST_OPEN)
    throw new Fault('Throttled', `${open} sites have not heard yet what they are asked: wait until some of it is over`)
  return found
}

function siteNamed(world: World, name: string): Joined {
  const site = world.sites.get(name)
  if (site === undefined) throw new Fault('NotFound', `no site named ${name}`)
  if (isJoined(site)) return site
  throw new Fault(
    'Conflict',
    `site ${name} ${site.siteId === null ? 'never joined' : 'is retired'}: it cannot be asked`,
  )
}

function labelled(world: World, selector: LabelSelector | null): readonly Joined[] {
  return [...world.sites.values()]
    .filter(
      (site): site is Joined => site.inGit && isJoined(site) && selector !== null && matches(selector, site.labels),
    )
    .toSorted((a, b) => byUtf16(a.name, b.name))
}

/** What was asked, in the audit log for good: a script by its beginning. */
function audited(ask: AskRecord, { selector }: AskRequest, names: readonly string[]): JsonObject {
  const text = canonicalJson(ask.args)
  const args = text.length <= MOST_AUDITED_CHARS ? ask.args : `${text.slice(0, MOST_AUDITED_CHARS)}… (${text.length})`
  return {
    id: ask.id,
    args,
    until: new Date(ask.expiresMs).toISOString(),
    ...(selector === null ? {} : { selector: scopeText(selector) }),
    ...(names.length === 1 ? {} : { sites: names.slice(0, MOST_NAMED), of: names.length }),
  }
}

/** Asks of which nobody waits for anything any more. */
export function overAt(world: World, nowMs: number): readonly string[] {
  return [...world.asks.asks.values()].filter(({ expiresMs }) => expiresMs + KEPT_MS < nowMs).map(({ id }) => id)
}

function rowsOf(world: World, ask: AskRecord): readonly AskSiteRecord[] {
  return ask.siteIds.flatMap((siteId) => world.asks.at(siteId, ask.id) ?? [])
}

async function viewOf(parts: AsksParts, ask: AskRecord, answers: 'counts' | 'answers'): Promise<AskView> {
  const { world, contacts } = parts
  const nowMs = parts.nowMs()
  const counts: Record<AskState, number> = { waiting: 0, told: 0, taken: 0, answered: 0, expired: 0, unknown: 0 }
  const open: AskOpenView[] = []
  for (const row of rowsOf(world, ask)) {
    const state = stateOf(parts, ask, row, nowMs)
    counts[state] += 1
    if (state === 'answered' || counts[state] > MOST_NAMED) continue
    const agent = world.sites.get(row.site)?.agent ?? null
    open.push({ site: row.site, state, toldMs: row.sentMs, ...contacts.get(row.site), agent })
  }
  const { id, verb, by, issuedMs, expiresMs } = ask
  const sites = ask.siteIds.length
  const base = { formatVersion: API_FORMAT, asOfMs: nowMs, id, verb, by, issuedMs, expiresMs, sites, counts, open }
  if (answers === 'counts') return { ...base, groups: [], leftOut: counts.answered }
  const groups = await groupsOf(world, ask)
  const shown = groups.slice(0, MOST_GROUPS)
  return { ...base, groups: shown, leftOut: counts.answered - shown.reduce((sum, { count }) => sum + count, 0) }
}

function stateOf({ world, contacts }: AsksParts, ask: AskRecord, row: AskSiteRecord, nowMs: number): AskState {
  if (row.answeredMs !== null) return 'answered'
  if (row.takenMs !== null) return 'taken'
  if (nowMs < ask.expiresMs) return row.sentMs === null ? 'waiting' : 'told'
  if (row.sentMs === null) return 'expired'
  // A message since it was last told would have said that it was taken, unless more waited there than goes into one.
  const lastToldMs = world.asks.lastToldMs(row.siteId, ask.id)
  const { lastContactMs } = contacts.get(row.site)
  const wasHeard = lastToldMs !== null && lastContactMs !== null && lastContactMs > lastToldMs
  return wasHeard && world.asks.lastFullMs(row.siteId) !== lastContactMs ? 'expired' : 'unknown'
}

const KNOWN_REASONS: ReadonlySet<string> = new Set(Object.keys(REASONS))

async function groupsOf(world: World, ask: AskRecord): Promise<readonly AskGroupView[]> {
  const texts = new Map<string, Map<number, string>>()
  for (const { siteId, part, text } of await world.store.askParts(ask.id)) {
    const of = texts.get(siteId) ?? new Map<number, string>()
    texts.set(siteId, of.set(part, text))
  }
  const alike = new Map<string, string[]>()
  for (const row of rowsOf(world, ask)) {
    if (row.answeredMs === null || row.of === null) continue
    const whole = Array.from({ length: row.of }, (_, part) => texts.get(row.siteId)?.get(part) ?? '').join('')
    const names = alike.get(whole) ?? []
    names.push(row.site)
    alike.set(whole, names)
  }
  return [...alike]
    .map(([text, names]) => ({
      answer: readAnswer([text], KNOWN_REASONS) satisfies AskAnswerView,
      count: names.length,
      sites: names.toSorted(byUtf16).slice(0, MOST_NAMED),
    }))
    .toSorted((a, b) => b.count - a.count || byUtf16(a.sites[0] ?? '', b.sites[0] ?? ''))
}
