/**
 * One workload over its sites: sites that a render cannot tell apart are one class, and a class is rendered once. What a render
 * reads is known before it runs: the objects, the overlays that apply, and the values of the names in their expressions.
 */
import { digestBytes, digestJson, type Digest } from '../model/digest.ts'
import { canonicalJson, type Json } from '../model/json.ts'
import type { Problem } from '../model/problem.ts'
import type { BlobDomain, Release } from '../model/release.ts'
import { evaluate, parseTemplate, readsOf, type Lookup } from './expressions.ts'
import type { Prepared, PreparedWorkload } from './objects.ts'
import { applyOverlays, overlaysAt, type Applied, type ResolvedOverlay } from './overlays.ts'
import { scopeOf, varLayers } from './scope.ts'
import type { Fleet, FleetCache, Patch, Site, SiteGroup, Workload } from './types.ts'

/**
 * Part of every class digest. A change of what a render makes of the same input needs a new number: then each class is rendered
 * anew, and what differs goes through plan and waves. The golden digests of fleet-example fail where it was forgotten.
 */
export const RENDERER_VERSION = '1'

/** Everything that one class of sites has of one workload. */
export interface RenderedClass {
  readonly digest: Digest
  readonly release: Release
  readonly bytes: Uint8Array
  /** What its blobs are; no more is kept, for there are thousands of classes. */
  readonly objects: readonly Pick<Prepared, 'entry' | 'bytes'>[]
}

export type ClassResult =
  | { readonly ok: true; readonly rendered: RenderedClass }
  | { readonly ok: false; readonly problems: readonly Problem[] }

export interface ClassInput {
  readonly fleet: Fleet
  readonly workload: Workload
  readonly prepared: PreparedWorkload
  readonly sites: readonly Site[]
  readonly groups: ReadonlyMap<string, readonly SiteGroup[]>
  readonly cache: FleetCache
  /** Keys of `cache.renders` that this render used: the others go when it is done. */
  readonly used: Set<string>
}

/** Each class of these sites, with its sites. */
export function renderClasses(
  input: ClassInput,
): readonly { readonly sites: readonly string[]; readonly result: ClassResult }[] {
  const { fleet, workload, groups } = input
  const overlaid = new Set(
    [...groups.values()].flat().filter(({ overlays }) => overlays.some((o) => o.workload === workload.name)),
  )
  const classes = new Map<string, { readonly sites: string[]; readonly result: ClassResult }>()
  const reads = new Map<string, readonly (readonly string[])[]>()
  for (const site of input.sites) {
    const around = groups.get(site.name) ?? []
    const quiet =
      workload.overlays.length === 0 && site.overlays.length === 0 && !around.some((group) => overlaid.has(group))
    const overlays = quiet ? [] : overlaysAt(workload, around, site)
    const set = overlays.map(({ id }) => id).join('|')
    const names = reads.get(set) ?? namesIn(overlays)
    reads.set(set, names)
    const lookup = scopeOf(fleet, site, names.length === 0 ? [] : varLayers(fleet, workload, around, site))
    const key = names.length === 0 ? set : `${set}\n${valuesOf(names, lookup)}`
    const known = classes.get(key)
    if (known !== undefined) known.sites.push(site.name)
    else classes.set(key, { sites: [site.name], result: renderClass(input, overlays, lookup) })
  }
  return [...classes.values()]
}

function namesIn(overlays: readonly Applied[]): readonly (readonly string[])[] {
  const names = new Map<string, readonly string[]>()
  for (const { overlay } of overlays) for (const { target, patch } of overlay.patches) readsOf([target, patch], names)
  return [...names.values()]
}

/** The values as text; a name without one stands with its reason, so that sites that lack it are one class too. */
function valuesOf(names: readonly (readonly string[])[], lookup: Lookup): string {
  return names.map((name) => {
    const looked = lookup(name)
    return 'missing' in looked ? `!${looked.missing}` : canonicalJson(looked.value)
  }).join('\n') // prettier-ignore
}

function renderClass(input: ClassInput, overlays: readonly Applied[], lookup: Lookup): ClassResult {
  const { workload, prepared, cache, used } = input
  const resolved: ResolvedOverlay[] = []
  const problems: Problem[] = []
  for (const applied of overlays) {
    const patches: Patch[] = []
    for (const patch of applied.overlay.patches) {
      const text: Json = [patch.target, patch.patch]
      const bad = badTemplate(text)
      const looked = bad === undefined ? evaluate(text, lookup) : { missing: bad }
      if ('missing' in looked) problems.push(noValue(patch, looked.missing))
      else {
        const [target, value] = looked.value as unknown as [Patch['target'], Patch['patch']]
        patches.push({ ...patch, target, patch: value })
      }
    }
    resolved.push({ applied, patches })
  }
  if (problems.length > 0) return { ok: false, problems }

  const head = headOf(workload)
  const key = digestJson('class', [
    RENDERER_VERSION,
    prepared.digest,
    head.digest,
    ...resolved.map(({ applied, patches }): Json => [
      applied.layer,
      applied.overlay.allowEmpty,
      ...patches.map(({ target, patch }): Json => ({ target, patch: patch as Json })),
    ]),
  ])
  used.add(key)
  const known = cache.renders.get(key) as RenderedClass | undefined
  if (known !== undefined) return { ok: true, rendered: known }
  const overlaid = applyOverlays(prepared.objects, resolved)
  if (!overlaid.ok) return overlaid
  const rendered = release(head, overlaid.objects)
  cache.renders.set(key, rendered)
  return { ok: true, rendered }
}

function badTemplate(value: Json): string | undefined {
  if (typeof value === 'string') {
    const template = parseTemplate(value)
    return template.ok ? undefined : template.because
  }
  if (typeof value !== 'object' || value === null) return undefined
  for (const item of Object.values(value)) {
    const bad = item === undefined ? undefined : badTemplate(item)
    if (bad !== undefined) return bad
  }
  return undefined
}

function noValue(patch: Patch, because: string): Problem {
  return {
    code: 'FLT2008',
    severity: 'error',
    place: patch.place,
    path: '',
    message: because,
    expected: 'a value at every site that gets the workload',
    next: 'Set it in Fleet.vars, in the Workload, in a SiteGroup or in the Site.',
  }
}

type Head = Omit<Release, 'objects'> & { readonly before: string; readonly after: string; readonly digest: Digest }

const heads = new WeakMap<Workload, Head>()

/** What all classes of a workload share; its text is made once, for a release is written thousands of times. */
function headOf(workload: Workload): Head {
  const known = heads.get(workload)
  if (known !== undefined) return known
  const dependsOn = workload.dependsOn
    .map(({ name, optional }) => (optional ? { name, optional } : { name }))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
  const { namespace, rules, name } = workload
  const json = (value: unknown): string => canonicalJson(value as Json)
  const before = `{"dependsOn":${json(dependsOn)},"format":1,"namespace":${json(namespace)},"objects":[`
  const after = `],"rules":${json(rules)},"workload":${json(name)}}`
  const digest = digestBytes('class', before + after)
  const head: Head = { format: 1, workload: name, namespace, dependsOn, rules, before, after, digest }
  heads.set(workload, head)
  return head
}

const utf8 = new TextEncoder()

/** Canonical JSON by construction: the keys stand in their order, and each part is canonical. */
function release(head: Head, objects: readonly Prepared[]): RenderedClass {
  const text = head.before + objects.map((object) => object.text).join(',') + head.after
  const { format, workload, namespace, dependsOn, rules } = head
  return {
    digest: digestBytes('release', text),
    release: { format, workload, namespace, objects: objects.map(({ entry }) => entry), dependsOn, rules },
    bytes: utf8.encode(text),
    objects: objects.map(({ entry, bytes }) => ({ entry, bytes })),
  }
}

/** Adds the blobs of a class: its release and each object. */
export function collectBlobs(
  { digest, bytes, objects }: RenderedClass,
  blobs: Map<Digest, { readonly domain: BlobDomain; readonly bytes: Uint8Array }>,
): void {
  blobs.set(digest, { domain: 'release', bytes })
  for (const object of objects) {
    const domain = object.entry.sealed === true ? 'sealed' : 'object'
    if (!blobs.has(object.entry.blob)) blobs.set(object.entry.blob, { domain, bytes: object.bytes })
  }
}
