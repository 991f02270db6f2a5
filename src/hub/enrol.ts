/** Joining: a token is spent once, the key it proved is recorded, and the name gets its identity. */
import { createHash, randomBytes } from 'node:crypto'
import type { EnrolRequest, Enrolled } from '../core/protocol/ports.ts'
import { Fault } from '../core/model/fault.ts'
import type { SiteProgress } from '../core/rollout/types.ts'
import { expected } from './adopt.ts'
import type { Authority } from './ports.ts'
import type { SiteRecord } from './store.ts'
import type { Draft, World } from './world.ts'

/** Bytes of a site id, a token's secret and an API token: all unguessable, the first unique. */
const ID_BYTES = 16
const SECRET_BYTES = 24

export function hashSecret(secret: string): string {
  return createHash('sha256').update(`flotilla/token/v1\0${secret}`).digest('hex')
}

export function makeSecret(): string {
  return randomBytes(SECRET_BYTES).toString('base64url')
}

export interface EnrolParts {
  readonly world: World
  readonly authority: Authority
  readonly nowMs: () => number
}

/** Fault TokenRefused; then nothing was changed and the token, where it is valid for another site, is not spent. */
export async function enrolSite(parts: EnrolParts, request: EnrolRequest): Promise<Enrolled> {
  const { world, authority, nowMs } = parts
  const latest = authority.chain.at(-1)
  if (latest === undefined) throw new Fault('Unexpected', 'this hub has no statement of its keys')
  const site = await world.turn(async (commit) => {
    const before = world.sites.get(request.site) ?? expected(request.site)
    if (before.gitRetired !== undefined)
      throw new Fault('TokenRefused', `Git retires ${request.site}: ${before.gitRetired}`, {
        facts: { site: request.site },
      })
    const key = world.keys.get(request.keyHash)
    if (key !== undefined && (key.site !== request.site || key.state === 'retired'))
      throw new Fault('TokenRefused', 'this key was used before', { facts: { site: request.site } })
    const atMs = nowMs()
    const spend = { hash: hashSecret(request.secret), site: request.site, by: request.keyHash, nowMs: atMs }
    if (key?.state === 'active' && before.siteId !== null) {
      // The answer to a first try was lost: it is given again.
      await commit({ spend, keys: [key] })
      return { ...before, siteId: before.siteId }
    }
    const after = joined(before, request.recipient)
    const replaced = before.siteId === after.siteId
    const fenced = [...world.keys.values()].filter(
      ({ site: name, state }) => name === request.site && state !== 'retired',
    )
    await commit({
      spend,
      // One that never joined has nothing to forget: its place in the rollouts is right as it is.
      ...(before.siteId === null ? {} : await forgotten(world, request.site, replaced)),
      sites: [after],
      keys: [
        ...fenced.map((old) => ({ ...old, state: 'retired' as const })),
        { hash: request.keyHash, site: after.name, siteId: after.siteId, state: 'active' },
      ],
      audit: [
        {
          atMs,
          actor: `token for ${request.site}`,
          action: replaced ? 'site replaced' : 'site enrolled',
          subject: request.site,
          detail: { siteId: after.siteId, keyHash: request.keyHash },
        },
      ],
      events: [
        {
          atMs,
          kind: replaced ? 'SiteReplaced' : 'SiteEnrolled',
          subject: `site/${request.site}`,
          message: replaced ? 'a new box joined in its place; the key of the old one is refused' : 'joined',
        },
      ],
    })
    return after
  })
  const certificate = await authority.certify(
    { site: site.name, siteId: site.siteId, publicKey: request.publicKey },
    nowMs(),
  )
  const { current } = site
  return {
    siteId: site.siteId,
    certificate,
    keys: latest,
    ...(current === null ? {} : { floor: { generation: current.generation, body: current.body } }),
  }
}

/** A box that replaces another goes on where that one stood; a name that was retired begins anew. */
function joined(before: SiteRecord, recipient: string): SiteRecord & { readonly siteId: string } {
  if (before.siteId !== null && before.standing === 'active')
    return { ...before, siteId: before.siteId, recipient, agent: null, have: null, fork: null, conditions: [] }
  const { formerNames: _of, ...rest } = before
  return {
    ...rest,
    siteId: randomBytes(ID_BYTES).toString('hex'),
    standing: 'active',
    recipient,
    agent: null,
    have: null,
    fork: null,
    conditions: [],
    current: null,
    confirmed: [],
    lastContactMs: null,
    dueAtMs: null,
  }
}

/**
 * A box that has just joined has nothing: what was published to another, and seen there, is no fact about it, and it is
 * provisioned anew. The generation goes on where the name stays with the same site; a reused name inherits nothing at all.
 */
async function forgotten(world: World, site: string, replaced: boolean): Promise<Draft> {
  const rollouts = [...world.rollouts.values()].flatMap((record) => {
    const before = record.state?.sites.get(site)
    if (record.state === null || before === undefined) return []
    const progress: SiteProgress = { wave: before.wave, phase: 'waiting', from: null, fresh: true }
    const state = { ...record.state, sites: new Map(record.state.sites).set(site, progress) }
    return [{ record: { ...record, state }, whole: false, sites: new Map([[site, progress]]) }]
  })
  if (!replaced) return { forgetSites: [site], rollouts }
  const at = [...(await world.store.atSite(site))]
  return {
    rollouts,
    entriesGone: at.map(([workload]) => ({ site, workload })),
    observationsGone: at.map(([workload]) => ({ site, workload })),
  }
}
