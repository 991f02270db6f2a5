/** Why a workload or an object is as it is, from what the site itself knows. */
import type { BoxView, BoxWorkload } from '../../core/api/box.ts'
import { sentenceOf } from '../../core/api/sentences.ts'
import { API_FORMAT, type Cause, type WhyView } from '../../core/api/types.ts'
import type { Inventory, InventoryEntry } from '../../core/diff/types.ts'
import { shortDigest } from '../../core/model/digest.ts'
import { Fault } from '../../core/model/fault.ts'
import { formatRef, refKey, type ObjectRef } from '../../core/model/object.ts'
import { formatWaiting } from '../../core/model/state.ts'

/** Fault NotFound: neither a workload of this site nor an object of ours. */
export function whyAtBox(subject: string, view: BoxView, inventory: Inventory): WhyView {
  const name = subject.replace(/^workload\//, '')
  const workload = view.workloads.find((it) => it.workload === name)
  if (workload !== undefined) return answer(view, `workload/${name}`, [...ofSite(view), ...ofWorkload(workload)])
  const entries = [...inventory.values()].filter(({ ref }) => isMeant(ref, subject))
  const reported = view.workloads.flatMap(({ objects }) => objects).filter(({ ref }) => isMeant(ref, subject))
  const refs = new Map([...entries, ...reported].map(({ ref }) => [refKey(ref), ref] as const))
  if (refs.size > 1)
    throw new Fault(
      'InvalidInput',
      `${subject} is ${[...refs.values()].map(formatRef).join(' or ')}: name kind/namespace/name`,
    )
  const [[key, ref] = []] = refs
  if (key === undefined || ref === undefined)
    throw new Fault('NotFound', `${subject} is no workload of this site and no object that it owns`)
  return answer(view, formatRef(ref), ofObject(ref, inventory.get(key), view))
}

/** `deployment/till`, `Deployment/shop/till`, `deployments.apps/shop/till`, or a bare name. */
function isMeant(ref: ObjectRef, subject: string): boolean {
  const parts = subject.split(/[/ ]+/)
  const name = parts.at(-1)
  if (ref.name !== name || parts.length > 3) return false
  const [kind = ''] = (parts.length > 1 ? (parts[0] ?? '') : ref.kind).toLowerCase().split('.')
  const own = ref.kind.toLowerCase()
  const namespace = parts.length === 3 ? parts[1] : ref.namespace
  return ref.namespace === namespace && [own, `${own}s`, `${own}es`, own.replace(/y$/, 'ies')].includes(kind)
}

/** What holds for all of it. */
function ofSite({ paused, conditions, agent }: BoxView): Cause[] {
  const causes: Cause[] = []
  if (agent.state !== 'running') causes.push(cause('AgentStopped', 'agent', agent.because, null))
  if (paused !== null) causes.push(cause('Paused', 'site', `${paused.reason} (by ${paused.by})`, paused.sinceMs))
  for (const { type, reason, message, sinceMs } of conditions)
    if (type !== 'Link') causes.push(cause(reason, type, message, sinceMs))
  return causes
}

function ofWorkload(it: BoxWorkload): Cause[] {
  const subject = `workload/${it.workload}`
  const causes: Cause[] = []
  if (it.rolledBack !== null)
    causes.push(
      cause(
        'RolledBack',
        subject,
        `${it.rolledBack.reason} (by ${it.rolledBack.by}): it runs ${short(it.applied)}, the hub says ${short(it.desired)}`,
        it.rolledBack.atMs,
      ),
    )
  else if (it.waiting !== null) causes.push(cause(formatWaiting(it.waiting), subject, sentenceOf(it.waiting), null))
  if (it.failure !== null) causes.push(cause(it.failure.reason, subject, it.failure.message, null))
  for (const { ref, reason, message, sync, health } of it.objects)
    causes.push(cause(reason === '' ? `${sync}, ${health}` : reason, formatRef(ref), message, null))
  if (causes.length === 0 && it.sync !== 'Synced' && it.sync !== 'Unknown')
    causes.push(cause(it.sync, subject, `told ${short(it.desired)}, applied ${short(it.applied)}`, null))
  return causes
}

function ofObject(ref: ObjectRef, entry: InventoryEntry | undefined, view: BoxView): Cause[] {
  const key = refKey(ref)
  const causes = ofSite(view)
  const owner = view.workloads.find(
    ({ workload, objects }) => workload === entry?.workload || objects.some((it) => refKey(it.ref) === key),
  )
  const report = owner?.objects.find((it) => refKey(it.ref) === key)
  if (report !== undefined) causes.push(cause(report.reason, formatRef(ref), report.message, null))
  if (entry?.state === 'intended')
    causes.push(cause('Intended', formatRef(ref), 'it was about to be made, and is not known to be there', null))
  if (owner !== undefined && report === undefined && owner.waiting !== null)
    causes.push(...ofWorkload({ ...owner, objects: [] }))
  if (owner === undefined)
    causes.push(cause('Left', formatRef(ref), `of ${entry?.workload ?? 'nobody'}, which the hub no longer names`, null))
  return causes
}

function answer(view: BoxView, subject: string, causes: readonly Cause[]): WhyView {
  const settled = causes.length === 0
  const summary = settled ? `${subject} is as it should be` : `${subject} is not as it should be because:`
  return { formatVersion: API_FORMAT, asOfMs: view.asOfMs, subject, settled, summary, causes, nextDecision: null }
}

function cause(reason: string, subject: string, message: string, sinceMs: number | null): Cause {
  return { reason, subject, message, sinceMs, nextAtMs: null }
}

function short(digest: string | null): string {
  return digest === null ? 'nothing' : shortDigest(digest)
}
