/** What people may do, each word checked against who says it, and in the audit log before it is answered. */
import { randomBytes } from 'node:crypto'
import { Fault } from '../core/model/fault.ts'
import { matches } from '../core/kube/selector.ts'
import { SITE_NAME } from '../core/protocol/shape.ts'
import type { Actor, HubApi } from './api.ts'
import { expected } from './adopt.ts'
import { asksApi } from './asks.ts'
import { hashSecret, makeSecret } from './enrol.ts'
import { measure } from './measures.ts'
import type { Authority } from './ports.ts'
import { nextEpoch } from './recover.ts'
import type { Rollouts } from './rollouts.ts'
import type { Signed } from './signed.ts'
import type { Source } from './source.ts'
import { readsOf, readsOfAll } from './reads.ts'
import { sitesOf } from './records.ts'
import { allow, checkReason } from './rights.ts'
import { wordOf } from './rollout-words.ts'
import { scopeText, unscoped, within } from './scope.ts'
import { sourceState } from './source-state.ts'
import { siteOf, type Views } from './views.ts'
import type { StandingParts } from './standing.ts'
import type { Draft, World } from './world.ts'

/** A join token lives for an hour at most (RELIABILITY.md). */
const MOST_TOKEN_MS = 3_600_000
/** A freeze ends by itself; a longer one belongs in Git. */
const MOST_FREEZE_MS = 30 * 86_400_000
/** Who makes the first token. */
const HUB: Actor = { name: 'hub', role: 'admin', teams: [] }

export interface OperateParts extends StandingParts {
  readonly world: World
  readonly rollouts: Rollouts
  readonly views: Views
  readonly source: Pick<Source, 'checkedAtMs'>
  readonly signed: Signed
  readonly authority: Authority
  /** Where sites reach this hub. */
  readonly linkUrl: () => string
  /** Decide again. */
  readonly wake: () => void
  /** Look at Git now. */
  readonly look: () => void
  readonly ready: () => HubApi['ready']
}

export function createApi(parts: OperateParts): HubApi {
  const { world, nowMs } = parts
  const showSite = (actor: Actor, name: string): ReturnType<HubApi['site']> => readsOf(parts, actor).site(name)
  return {
    ...readsOfAll(parts),
    ...asksApi(parts),
    get ready() {
      return parts.ready()
    },
    measure: () => measure(parts),
    authenticate(bearer) {
      const token = world.apiTokens.get(hashSecret(bearer))
      if (token === undefined) return undefined
      const { name, role, teams, scope = null } = token
      return { name, role, teams, ...(scope === null ? {} : { scope }) }
    },
    seenBy: (actor) => readsOf(parts, actor),
    async command(actor, workload, verb, word) {
      const record = world.rollouts.get(workload)
      if (record?.state == null) throw new Fault('NotFound', `no rollout of a workload named ${workload}`)
      within(world, actor, record.spec.targets.keys())
      const said = wordOf(parts, actor, record.spec, record.state, verb, word)
      await parts.rollouts.say(workload, said, {
        id: record.spec.id,
        ...(word.why === undefined ? {} : { why: word.why }),
        ...(said.kind === 'breakGlass' ? { team: said.team, untilMs: said.untilMs } : {}),
      })
      parts.wake()
      return readsOf(parts, actor).rollout(workload)
    },
    async hold(actor, site, reason, untilMs) {
      allow(actor, 'operate')
      checkReason(reason)
      if (untilMs !== null && untilMs <= nowMs()) throw new Fault('InvalidInput', 'a hold that is over already')
      const record = { site, reason, by: actor.name, untilMs }
      await change(parts, site, { holds: [record] }, actor, 'hold', { reason, untilMs })
      return showSite(actor, site)
    },
    async release(actor, site) {
      allow(actor, 'operate')
      within(world, actor, site)
      if (!world.holds.has(site)) throw new Fault('NotFound', `site ${site} has no hold of an operator`)
      await change(parts, site, { holdsGone: [site] }, actor, 'release', {})
      return showSite(actor, site)
    },
    async freeze(actor, { selector, reason, untilMs }) {
      allow(actor, 'operate')
      checkReason(reason)
      if (untilMs <= nowMs() || untilMs > nowMs() + MOST_FREEZE_MS)
        throw new Fault('InvalidInput', 'a freeze ends within 30 days; a longer one belongs in Git')
      const id = randomBytes(6).toString('hex')
      const frozen = [...world.sites.values()].filter(
        ({ inGit, labels }) => inGit && (selector === null || matches(selector, labels)),
      )
      if (frozen.length === 0) throw new Fault('NotFound', 'the selector matches no site')
      within(world, actor, frozen.map(({ name }) => name)) // prettier-ignore
      await world.turn((commit) =>
        commit({
          freezes: [{ id, selector, reason, by: actor.name, untilMs }],
          sites: frozen.map(({ name }) => ({ ...(world.sites.get(name) ?? expected(name)), published: 'behind' })),
          ...logged(nowMs(), actor, 'freeze', id, { reason, untilMs, sites: frozen.length }),
        }),
      )
      parts.wake()
      return { id, sites: frozen.length }
    },
    async thaw(actor, id) {
      allow(actor, 'operate')
      const freeze = world.freezes.get(id)
      if (freeze === undefined) throw new Fault('NotFound', `no freeze ${id}: \`flotilla get freezes\` lists them`)
      const thawed = sitesOf(world, freeze)
      within(world, actor, thawed.map(({ name }) => name)) // prettier-ignore
      await world.turn((commit) =>
        commit({
          freezesGone: [id],
          sites: thawed.map((site) => ({ ...site, published: 'behind' })),
          ...logged(nowMs(), actor, 'unfreeze', id, { reason: freeze.reason, by: freeze.by }),
        }),
      )
      parts.wake()
    },
    async call(actor, site) {
      allow(actor, 'operate')
      within(world, actor, site)
      const { linkClass } = siteOf(parts, site)
      await change(parts, site, {}, actor, 'reconcile', {})
      world.onPublished([site])
      return { heard: linkClass !== 'metered' }
    },
    async createToken(actor, site, ttlMs) {
      allow(actor, 'admin')
      if (!SITE_NAME.test(site)) throw new Fault('InvalidInput', `${site} is not a site name: a DNS label is`)
      within(world, actor, site)
      const retired = world.sites.get(site)?.gitRetired
      if (retired !== undefined) throw new Fault('Conflict', `Git retires ${site}: ${retired}`)
      if (!(ttlMs > 0 && ttlMs <= MOST_TOKEN_MS)) throw new Fault('InvalidInput', 'a token lives for an hour at most')
      const secret = makeSecret()
      const expiresAtMs = nowMs() + ttlMs
      await world.turn((commit) =>
        commit({
          tokens: [{ hash: hashSecret(secret), site, expiresMs: expiresAtMs }],
          ...logged(nowMs(), actor, 'token create', site, { expiresAtMs }),
        }),
      )
      return { token: secret, line: parts.authority.joinLine(parts.linkUrl(), site, secret), expiresAtMs }
    },
    async sign(actor, statements) {
      allow(actor, 'operate')
      const said = statements.map((statement) => {
        const read = parts.signed.read(statement)
        if (read === undefined)
          throw new Fault(
            'SignatureInvalid',
            `not signed by a release signer that the root names: key ${statement.keyid}`,
          )
        return { statement, release: read.release, sites: read.sites }
      })
      const concerned = new Set(said.flatMap(({ sites }) => sites))
      within(world, actor, concerned)
      await world.turn((commit) =>
        commit({
          statements: said.map(({ statement, release }) => ({ statement, release })),
          sites: [...concerned].flatMap((name) => {
            const site = world.sites.get(name)
            return site?.current == null ? [] : [{ ...site, published: 'behind' as const }]
          }),
          ...logged(nowMs(), actor, 'sign', 'releases', { statements: said.length, sites: concerned.size }),
        }),
      )
      for (const { statement } of said) parts.signed.add(statement)
      parts.wake()
      return { taken: said.length }
    },
    async retire(actor, site) {
      allow(actor, 'admin')
      const keys = [...world.keys.values()].filter((key) => key.site === site && key.state !== 'retired')
      const draft: Draft = { keys: keys.map((key) => ({ ...key, state: 'retired' })) }
      await change(parts, site, draft, actor, 'retire', { keys: keys.length }, { standing: 'retired' })
    },
    async recover(actor) {
      allow(actor, 'admin')
      unscoped(actor)
      const because = branchUnread(parts)
      if (because !== null) throw new Fault('Conflict', `${because}: sites would be taken back to what a backup knew`)
      const epoch = nextEpoch(world)
      const ahead = [...world.sites.values()].filter(({ fork }) => fork !== null).length
      const meta = { epoch: String(epoch), recoveredAtMs: String(nowMs()) }
      await world.turn((commit) =>
        commit({ meta, ...logged(nowMs(), actor, 'hub recover', `epoch ${epoch}`, { sites: ahead }) }),
      )
      parts.wake()
      return { epoch, sites: ahead }
    },
    async reconcile(actor, accept) {
      allow(actor, accept === undefined ? 'operate' : 'admin')
      if (accept !== undefined) {
        unscoped(actor)
        const state = { ...sourceState(world), accept }
        await world.turn((commit) =>
          commit({ meta: { source: JSON.stringify(state) }, ...logged(nowMs(), actor, 'accept history', accept, {}) }),
        )
      }
      parts.look()
      parts.wake()
    },
    async createApiToken(name, role, teams, { by = HUB, scope = null } = {}) {
      allow(by, 'admin')
      unscoped(by)
      const secret = makeSecret()
      await world.turn((commit) =>
        commit({
          apiTokens: [{ hash: hashSecret(secret), name, role, teams, scope, createdAtMs: nowMs() }],
          ...logged(nowMs(), by, 'api token', name, {
            role,
            teams,
            ...(scope === null ? {} : { scope: scopeText(scope) }),
          }),
        }),
      )
      return { secret }
    },
  }
}

/** Why what this hub knows of Git may be older than what its sites run; null: it follows the tip. */
function branchUnread({ world, source }: OperateParts): string | null {
  const { revision, seen, fault } = sourceState(world)
  if (source.checkedAtMs === null) return 'the branch was not looked at since the hub started'
  if (fault !== null) return `the branch cannot be followed (${fault.reason}: ${fault.message})`
  return seen === revision ? null : `the tip ${(seen ?? '').slice(0, 12)} is not taken (flotilla status says why)`
}

/** A word about one site: its manifest echoes it. */
async function change(
  { world, nowMs, wake }: OperateParts,
  site: string,
  draft: Draft,
  actor: Actor,
  action: string,
  detail: Record<string, string | number | null>,
  part: { readonly standing?: 'retired' } = {},
): Promise<void> {
  await world.turn((commit) => {
    within(world, actor, site)
    const record = world.sites.get(site)
    if (record === undefined) throw new Fault('NotFound', `no site named ${site}`)
    return commit({
      ...draft,
      sites: [{ ...record, ...part, published: 'behind' }],
      ...logged(nowMs(), actor, action, site, detail),
    })
  })
  wake()
}

function logged(
  atMs: number,
  actor: Actor,
  action: string,
  subject: string,
  detail: NonNullable<Draft['audit']>[number]['detail'],
): Pick<Draft, 'audit' | 'events'> {
  return {
    audit: [{ atMs, actor: actor.name, action, subject, detail }],
    events: [{ atMs, kind: 'Operator', subject, message: `${action} by ${actor.name}` }],
  }
}
