/**
 * Fields that the language has and this build does not act on. Each use says so: nothing is ignored in silence. A field without
 * which the workload would be something else than what was written holds that workload instead.
 */
import { isObject, type Json } from '../model/json.ts'
import type { Problem } from '../model/problem.ts'
import type { OurDocument } from './documents.ts'
import { KINDS } from './kinds.ts'
import { formatPath, type Path } from './yaml-text.ts'

interface Field {
  readonly kind: string
  /** `*` stands for every item of a list. */
  readonly path: readonly string[]
  readonly effect: 'notice' | 'warning' | 'hold' | 'stop'
  readonly says: string
  readonly when?: (value: Json) => boolean
}

const field = (kind: string, path: string, effect: Field['effect'], says: string, when?: Field['when']): Field => ({
  kind,
  path: path.split('.'),
  effect,
  says,
  ...(when === undefined ? {} : { when }),
})

const FIELDS: readonly Field[] = [
  field('Fleet', 'spec.varSchema', 'warning', 'vars are not checked against it'),
  field('Fleet', 'spec.renderer', 'notice', 'the renderer of this hub is used, and it changes only with the hub'),
  field('Team', 'spec.may.targets', 'stop', 'the team could reach every site'),
  field('Site', 'spec.link.mbps', 'notice', 'only the class of the link is used'),
  field('Site', 'spec.link.meteredGBPerMonth', 'notice', 'only the class of the link is used'),
  field('Site', 'spec.nodes', 'notice', 'capacity is not planned from it'),
  field('Site', 'spec.kubernetes', 'notice', 'objects are not checked against this version'),
  field('Site', 'spec.overlays.*.values', 'hold', 'Helm values would change nothing'),
  field('Site', 'spec.overlays.*.expires', 'notice', 'the overlay stays until it is removed from Git'),
  field('SiteGroup', 'spec.overlays.*.values', 'hold', 'Helm values would change nothing'),
  field('Workload', 'spec.source.helm', 'hold', 'Helm charts are not rendered'),
  field('Workload', 'spec.source.git', 'hold', 'other repositories are not read'),
  field('Workload', 'spec.overlays.*.values', 'hold', 'Helm values would change nothing'),
  field('Workload', 'spec.overlays.*.path', 'hold', 'folders of patches are not read'),
  field('Workload', 'spec.images.stage', 'notice', 'images are pulled when pods start', (v) => v !== 'off'),
  field('Workload', 'spec.images.requireDigest', 'hold', 'tags would be accepted', (v) => v === 'error'),
  field('Workload', 'spec.images.requireDigest', 'notice', 'tags are accepted without a word', (v) => v !== 'error'),
  field('Workload', 'spec.scheduling', 'notice', 'there is no batch scheduler whose pods could take its room'),
]

const BY_KIND = Map.groupBy(FIELDS, ({ kind }) => kind)

export interface NotYet {
  readonly problems: readonly Problem[]
  /** Names of the workloads to hold, with why. */
  readonly holds: readonly { readonly workload: string; readonly problem: Problem }[]
}

/** Every known field of this document that is not acted on. */
export function notYet(document: OurDocument): NotYet {
  const problems: Problem[] = []
  const holds: { workload: string; problem: Problem }[] = []
  const rule = KINDS.get(document.kind)
  if (rule?.acted === 'later') {
    problems.push({
      code: 'FLT1015',
      severity: 'notice',
      place: document.place,
      path: 'kind',
      message: `not yet: ${document.kind} ${document.name} is checked and not acted on; no site gets it`,
    })
    return { problems, holds }
  }
  for (const rule of BY_KIND.get(document.kind) ?? []) {
    for (const { path, value } of at(document.value, rule.path)) {
      if (rule.when?.(value) === false) continue
      const severity = rule.effect === 'hold' || rule.effect === 'stop' ? 'error' : rule.effect
      const problem: Problem = {
        code: rule.effect === 'hold' ? 'FLT2012' : 'FLT1016',
        severity,
        place: document.at(path, 'key'),
        path: formatPath(path),
        message: `not yet: ${rule.path.filter((part) => part !== '*').at(-1)} is known and not acted on: ${rule.says}`,
        ...(severity === 'error' ? { next: 'Remove the field, or wait for the release that acts on it.' } : {}),
      }
      problems.push(problem)
      if (rule.effect === 'hold') holds.push({ workload: heldBy(document, path), problem })
    }
  }
  return { problems, holds }
}

/** An overlay of a Site or SiteGroup names the workload that it changes. */
function heldBy(document: OurDocument, path: Path): string {
  if (document.kind === 'Workload') return document.name
  const named = at(document.value, [...path.slice(0, 3).map(String), 'workload'])[0]?.value
  return typeof named === 'string' ? named : ''
}

function at(value: Json, path: readonly string[]): readonly { readonly path: Path; readonly value: Json }[] {
  let here: { readonly path: Path; readonly value: Json }[] = [{ path: [], value }]
  for (const part of path) {
    here = here.flatMap(({ path: before, value: node }) => {
      if (Array.isArray(node)) {
        const list = node as readonly Json[]
        if (part === '*') return list.map((item, i) => ({ path: [...before, i], value: item }))
        const item = list[Number(part)]
        return item === undefined ? [] : [{ path: [...before, Number(part)], value: item }]
      }
      const next = isObject(node) ? node[part] : undefined
      return next === undefined ? [] : [{ path: [...before, part], value: next }]
    })
  }
  return here
}
