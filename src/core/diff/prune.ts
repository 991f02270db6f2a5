/**
 * What may go. Only what is in the inventory; an intended entry only where the live object carries our marks; an owned one only
 * where the live UID is the one we own and nothing desired is that same object. All doubts leave it where it is.
 */
import { formatRef, parseRefKey, refKey, type Manifest, type ObjectRef } from '../model/object.ts'
import type { ReleaseRules } from '../model/release.ts'
import { matches } from './drift.ts'
import { carriesMarks, isDefinition, isProtected, PART_OF } from './marks.ts'
import { kappOrder } from './order-kapp.ts'
import { allEdges, inSets, type Edge } from './order.ts'
import type { InventoryEntry, PlanInput, Step } from './types.ts'
import { lowerWaves, waveOf } from './waves.ts'

/** In the reason why a definition stays. */
const MOST_NAMED = 3

type LeaveReason = Extract<Step, { kind: 'leave' }>['because']
type ForgetReason = Extract<Step, { kind: 'forget' }>['because']

/** What the prune rules know of the desired side. */
export interface Claims {
  /** refKeys that some workload names, for now or for later. */
  readonly named: ReadonlySet<string>
  /** UIDs that desired refs resolve to. */
  readonly uids: ReadonlySet<string>
  /** Namespaces that something desired stands in. */
  readonly namespaces: ReadonlySet<string>
  /** `kind/namespace/name` of desired refs that were not read: one of them may be the object at hand, in another group. */
  readonly unread: ReadonlySet<string>
}

type Judged =
  | { readonly kind: 'delete'; readonly actual: Manifest; readonly rules: ReleaseRules }
  | { readonly kind: 'leave'; readonly because: LeaveReason; readonly message?: string }
  | { readonly kind: 'forget'; readonly because: ForgetReason }

/** Steps for every entry of the inventory that no active workload claims. */
export function prune(input: PlanInput, claims: Claims): readonly Step[] {
  const steps: Step[] = []
  const candidates: Candidate[] = []
  const staying = new Set<string>()
  const leave = (entry: InventoryEntry, because: LeaveReason, message?: string): void => {
    const { ref, workload } = entry
    if (ref.namespace !== '') staying.add(ref.namespace)
    steps.push({
      kind: 'leave',
      ref,
      workload,
      because,
      differences: [],
      ...(message === undefined ? {} : { message }),
    })
  }
  for (const [key, entry] of input.inventory) {
    if (claims.named.has(key)) continue
    const judged = judge(key, entry, input, claims)
    const { ref, workload } = entry
    if (judged.kind === 'delete') candidates.push({ entry, ...judged })
    else if (judged.kind === 'forget') steps.push({ kind: 'forget', ref, workload, because: judged.because })
    else leave(entry, judged.because, judged.message)
  }
  const stopped = stoppedByFuse(candidates, input)
  for (const { entry } of stopped) if (entry.ref.namespace !== '') staying.add(entry.ref.namespace)
  const going = candidates.filter((candidate) => !stopped.has(candidate) && !holdsUp(candidate))
  const goingToo = new Set(going.map(({ entry }) => refKey(entry.ref)))
  const harmless = going.filter((candidate) => !takesAlong(candidate))
  return [...steps, ...waiting(stopped), ...deletions(harmless, input)]

  /** A namespace takes along what stands in it. */
  function holdsUp({ entry }: Candidate): boolean {
    const { ref } = entry
    const held = ref.kind === 'Namespace' && ref.group === '' && staying.has(ref.name)
    if (held) leave(entry, 'protected', 'what stays of ours stands in it')
    return held
  }

  /** A definition takes along all that it defines, whoever made it: no yes to the definition is a yes to that. */
  function takesAlong({ entry }: Candidate): boolean {
    if (!isDefinition(entry.ref)) return false
    const instances = input.instances.get(refKey(entry.ref))
    const others = instances?.filter((ref) => !goingToo.has(refKey(ref))) ?? []
    if (instances === undefined) leave(entry, 'uncounted', 'what it defines was not counted')
    else if (others.length > 0) leave(entry, 'in-use', `it would take along ${listed(others)}`)
    return instances === undefined || others.length > 0
  }
}

/** `Menu kitchen/lunch, Menu kitchen/dinner and 3 more`. */
function listed(refs: readonly ObjectRef[]): string {
  const more = refs.length - MOST_NAMED
  return refs.slice(0, MOST_NAMED).map(formatRef).join(', ') + (more > 0 ? ` and ${more} more` : '')
}

interface Candidate {
  readonly entry: InventoryEntry
  readonly actual: Manifest
  readonly rules: ReleaseRules
}

/** The site's fuse: too many at once that no confirmed list names. What has a yes goes, and what was begun goes on. */
function stoppedByFuse(candidates: readonly Candidate[], { confirmed, fuse }: PlanInput): ReadonlySet<Candidate> {
  const unasked = candidates.filter(({ entry }) => entry.deleting !== true && !confirmed.has(refKey(entry.ref)))
  return new Set(unasked.length > fuse.objects ? unasked : [])
}

function waiting(stopped: ReadonlySet<Candidate>): readonly Step[] {
  const because = { reason: 'DeletionBrake', detail: String(stopped.size) } as const
  return [...stopped].map(({ entry, actual }) => {
    const { ref, workload } = entry
    return { kind: 'wait', ref, workload, because, uid: actual.metadata.uid ?? '' }
  })
}

function judge(key: string, entry: InventoryEntry, input: PlanInput, claims: Claims): Judged {
  const leave = (because: LeaveReason, message?: string): Judged => ({
    kind: 'leave',
    because,
    ...(message === undefined ? {} : { message }),
  })
  const { ref } = entry
  const live = input.actual.get(key)
  if (live === undefined) return leave('unread')
  if (live === null) return { kind: 'forget', because: entry.state === 'intended' ? 'never-made' : 'gone' }
  if (entry.state === 'owned' && live.metadata.uid !== entry.uid) return { kind: 'forget', because: 'uid-changed' }
  if (entry.state === 'intended' && !carriesMarks(live, input.marks)) return { kind: 'forget', because: 'not-ours' }
  if (claims.uids.has(live.metadata.uid ?? '')) return { kind: 'forget', because: 'same-uid' }
  if (claims.unread.has(`${ref.kind}/${ref.namespace}/${ref.name}`)) return leave('unread')
  if (live.metadata.deletionTimestamp !== undefined) return leave('terminating')
  const owner = input.workloads.find(
    ({ name, rules }) => name === entry.workload || rules.formerNames.includes(entry.workload),
  )
  if (owner?.state === 'held') return leave('held')
  const rules = owner?.rules ?? input.gone.get(entry.workload)
  if (rules === undefined) return leave('rules-unknown')
  if (rules.prune === 'off' || input.prune === 'off') return leave('prune-off')
  const foreign = foreignOwner(live, input)
  if (foreign !== undefined) return leave('owned-by-another', foreign)
  const isNamespace = ref.kind === 'Namespace' && ref.group === ''
  if (isNamespace && claims.namespaces.has(ref.name)) return leave('protected', 'desired objects stand in it')
  if (ref.kind === 'ServiceAccount' && isInUse(key, ref, input))
    return leave('protected', 'objects applied under it remain')
  const confirmed = input.confirmed.has(key) || rules.pruneConfirm.some((match) => matches(match, live))
  if (isProtected(ref) && !confirmed)
    return leave('protected', `${ref.kind} needs pruneConfirm or a confirmed list that names it`)
  return { kind: 'delete', actual: live, rules }
}

/** What is applied under an account is also taken away under it: the account goes last. */
function isInUse(key: string, { name }: ObjectRef, { workloads, gone, inventory }: PlanInput): boolean {
  const users = new Set<string>()
  const accounts = [...workloads.map(({ name, rules }) => [name, rules] as const), ...gone]
  for (const [user, { serviceAccount }] of accounts) {
    if (serviceAccount !== undefined && serviceAccount.slice(serviceAccount.indexOf('/') + 1) === name) users.add(user)
  }
  return users.size > 0 && [...inventory].some(([other, entry]) => other !== key && users.has(entry.workload))
}

/** Somebody else made it theirs since: a controller, or another ApplySet. */
function foreignOwner(live: Manifest, { marks }: PlanInput): string | undefined {
  const controller = (live.metadata.ownerReferences ?? []).find((owner) => owner.controller === true)
  if (controller !== undefined) return `${controller.kind} ${controller.name}`
  const set = live.metadata.labels?.[PART_OF]
  return set === undefined || set === marks.applySetId ? undefined : `ApplySet ${set}`
}

/** Of a workload's waves the higher go first. */
function waveEdges(candidates: readonly Candidate[]): readonly Edge[] {
  const byWorkload = Map.groupBy(candidates, ({ entry }) => entry.workload)
  return [...byWorkload.values()].flatMap((all) =>
    [...lowerWaves(new Map(all.map(({ entry, actual }) => [refKey(entry.ref), waveOf(actual)])))].flatMap(
      ([key, lower]) => lower.map((other) => ({ from: parseRefKey(other), to: parseRefKey(key) })),
    ),
  )
}

/** By key: what goes before it. Dependents go before what they depend on. */
function deletionOrder(candidates: readonly Candidate[]): ReadonlyMap<string, readonly string[]> {
  const objects = candidates.map(({ actual }) => actual)
  const reversed = allEdges(objects).edges.map(({ from, to }): Edge => ({ from: to, to: from }))
  const said = [...reversed, ...waveEdges(candidates), ...kappOrder(objects).deletes]
  const refs = candidates.map(({ entry }) => entry.ref)
  // What waits for itself would never go: then less is heeded.
  const heeded = [said, reversed].find((edges) => inSets(refs, edges).kind === 'sets') ?? []
  const needs = new Map<string, string[]>()
  for (const { from, to } of heeded) {
    const list = needs.get(refKey(from))
    if (list === undefined) needs.set(refKey(from), [refKey(to)])
    else list.push(refKey(to))
  }
  return needs
}

function deletions(candidates: readonly Candidate[], input: PlanInput): readonly Step[] {
  const needs = deletionOrder(candidates)
  const present = new Set(input.workloads.flatMap(({ name, rules }) => [name, ...rules.formerNames]))
  return candidates.map(({ entry, actual, rules }) => ({
    kind: 'delete',
    ref: entry.ref,
    workload: entry.workload,
    apiVersion: entry.apiVersion,
    because: present.has(entry.workload) ? 'removed' : 'workload-removed',
    actual,
    needs: needs.get(refKey(entry.ref)) ?? [],
    when: rules.pruneFirst.some((match) => matches(match, actual)) ? 'first' : 'last',
  }))
}
