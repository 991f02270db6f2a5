/** Words of operators that hold or were said: freezes, and the audit log with the head that the hub signed. */
import { API_FORMAT, type AuditHead, type AuditView, type FreezeView, type Page } from '../core/api/types.ts'
import { matches } from '../core/kube/selector.ts'
import { byUtf16 } from '../core/model/json.ts'
import type { FreezeRecord, SiteRecord } from './store.ts'
import type { StandingParts } from './standing.ts'
import type { World, WorldSeen } from './world.ts'

const MOST_RECORDS = 500

/** Sites of Git that a freeze is about now. */
export function sitesOf(world: WorldSeen, { selector }: FreezeRecord): readonly SiteRecord[] {
  return [...world.sites.values()].filter(
    ({ inGit, labels }) => inGit && (selector === null || matches(selector, labels)),
  )
}

export function freezes({ world, nowMs }: StandingParts): Page<FreezeView> {
  const items = [...world.freezes.values()]
    .filter(({ untilMs }) => untilMs > nowMs())
    .sort((a, b) => a.untilMs - b.untilMs || byUtf16(a.id, b.id))
    .map((freeze) => ({ ...freeze, sites: sitesOf(world, freeze).length }))
  return { formatVersion: API_FORMAT, asOfMs: nowMs(), total: items.length, items, next: null }
}

/** Records after the one numbered `after`, oldest first. */
export async function audit(
  { world, nowMs }: { readonly world: World; readonly nowMs: () => number },
  after: number,
  limit: number,
): Promise<Page<AuditView> & { readonly signed: AuditHead | null }> {
  const most = Math.min(Math.max(1, limit), MOST_RECORDS)
  const items = await world.store.audit(after, most)
  const signed = world.meta.get('audit.signed')
  const last = items.at(-1)
  return {
    formatVersion: API_FORMAT,
    asOfMs: nowMs(),
    total: world.auditHead.seq,
    items,
    next: last === undefined || items.length < most ? null : String(last.seq),
    signed: signed === undefined ? null : (JSON.parse(signed) as AuditHead),
  }
}
