/** Why one object is not as Git says, over all sites that should have it: from its workload's releases and what sites said of it. */
import type { Cause, WhyView, WorkloadAtSite } from '../core/api/types.ts'
import { Fault } from '../core/model/fault.ts'
import { formatRef, type ObjectRef, parseRefKey } from '../core/model/object.ts'
import { Releases } from './releases.ts'
import { linkOf, workloadAt, type StandingParts } from './standing.ts'
import { answer, cause, groupBy, named } from './why-answer.ts'
import { workloadCauses } from './why.ts'

/** Releases looked into for each workload: its classes of sites differ in content and hardly ever in names. */
const MOST_RELEASES = 200

interface Asked {
  readonly kind: string
  /** null: of any namespace. */
  readonly namespace: string | null
  readonly name: string
}

/** `Deployment/vision/camera`, `deployment/camera`. Faults: InvalidInput, NotFound. */
export async function whyObject(parts: StandingParts, text: string): Promise<WhyView> {
  const asked = askedOf(text)
  const owners = await ownersOf(parts, asked)
  const [first] = owners
  if (first === undefined) throw new Fault('NotFound', `no workload of the fleet has ${text}`)
  const found = owners.flatMap(({ workload, ref }) => causesOf(parts, workload, ref))
  const causes: Cause[] = []
  for (const [, group] of groupBy(found, ({ cause }) => `${cause.reason}\n${cause.message}`)) {
    const [one] = group
    if (one !== undefined) causes.push({ ...one.cause, subject: named(group.map(({ site }) => site)) })
  }
  const sites = new Set(owners.flatMap(({ workload }) => [...targetsOf(parts, workload)]))
  const fine = sites.size - new Set(found.map(({ site }) => site)).size
  const of = [...new Set(owners.map(({ workload }) => `workload/${workload}`))].join(', ')
  return answer(parts, `${formatRef(first.ref)} (${of})`, causes, {
    fine: `is as desired at ${sites.size === 1 ? '1 site' : `${sites.size} sites`}`,
    not: `is as desired at ${fine} of ${sites.size} sites`,
  })
}

function askedOf(text: string): Asked {
  const [kind = '', second = '', third] = text.split('/')
  const name = third ?? second
  if (kind === '' || name === '' || text.split('/').length > 3)
    throw new Fault('InvalidInput', `found ${text}, expected KIND/NAME or KIND/NAMESPACE/NAME`)
  return { kind: kind.toLowerCase(), namespace: third === undefined ? null : second, name }
}

function isAsked({ kind, namespace, name }: ObjectRef, asked: Asked): boolean {
  const isKind = [kind.toLowerCase(), `${kind.toLowerCase()}s`].includes(asked.kind)
  return isKind && name === asked.name && (asked.namespace === null || namespace === asked.namespace)
}

async function ownersOf(
  { world }: StandingParts,
  asked: Asked,
): Promise<readonly { readonly workload: string; readonly ref: ObjectRef }[]> {
  const releases = new Releases(world.store)
  const owners = new Map<string, { workload: string; ref: ObjectRef }>()
  for (const { spec, next } of world.rollouts.values())
    for (const digest of [...new Set((next ?? spec).targets.values())].slice(0, MOST_RELEASES))
      for (const { ref: key } of (await releases.known(digest)).blobs.values()) {
        const ref = parseRefKey(key)
        if (isAsked(ref, asked)) owners.set(`${spec.workload} ${key}`, { workload: spec.workload, ref })
      }
  return [...owners.values()]
}

function targetsOf({ world }: StandingParts, workload: string): Iterable<string> {
  const record = world.rollouts.get(workload)
  return (record?.next ?? record?.spec)?.targets.keys() ?? []
}

/** What the site says of the object, or what keeps its whole workload; other objects' troubles are none of its. */
function causesOf(
  parts: StandingParts,
  workload: string,
  ref: ObjectRef,
): readonly { readonly site: string; readonly cause: Cause }[] {
  const { world } = parts
  const book = world.books.get(workload)
  return [...targetsOf(parts, workload)].flatMap((name) => {
    const site = world.sites.get(name)
    if (site === undefined) return []
    const at = workloadAt(parts, site, workload, book?.get(name), linkOf(parts, name))
    return objectCauses(at, ref, name).map((found) => ({ site: name, cause: found }))
  })
}

function objectCauses(at: WorkloadAtSite, { kind, namespace, name }: ObjectRef, site: string): readonly Cause[] {
  const own = at.objects.filter(({ ref }) => ref.kind === kind && ref.namespace === namespace && ref.name === name)
  if (own.length > 0) return own.map(({ reason, message }) => cause(reason, site, message, at.atMs, null))
  // The workload is where it should be, and others of its objects are ill: this one is fine.
  const isThere = at.applied !== null && at.applied === at.target && at.objects.length > 0
  return isThere ? [] : workloadCauses(at, site)
}
