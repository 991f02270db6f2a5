/** What a revision says, and what of it may be taken: the fleet room's functions as one value, so that a renderer has a version. */
import { digestBytes, type Digest } from '../core/model/digest.ts'
import { byUtf16 } from '../core/model/json.ts'
import type {
  BrakeVerdict,
  Fleet,
  FleetCache,
  HeldWorkload,
  ParsedFleet,
  ParseOptions,
  RenderedFleet,
  SourceTree,
  Targets,
} from '../core/fleet/types.ts'

export interface Compiler {
  /** Renders of one input by one version are equal; a new version moves no site by itself. */
  readonly version: string
  parse(tree: SourceTree, options: ParseOptions): ParsedFleet
  render(fleet: Fleet, tree: SourceTree, cache: FleetCache): RenderedFleet
  brake(before: Targets, after: Targets, fleet: Fleet): BrakeVerdict
}

export type SiteTargets = ReadonlyMap<string, ReadonlyMap<string, Digest>>

/** Everything that a render of this tree can read. */
export function inputDigest(tree: SourceTree): Digest {
  const lines = [...tree.values()].map(({ path, oid }) => `${oid} ${path}`).sort(byUtf16)
  return digestBytes('class', lines.join('\n'))
}

/**
 * What each site should have. Where this renderer makes of the revision before what it makes of this one, Git did not ask for a
 * change, and what was meant before stays, whichever renderer made it. Where an error holds a workload, what was meant stays too.
 */
export function settleTargets(input: {
  readonly rendered: SiteTargets
  readonly held: readonly HeldWorkload[]
  /** Meant before. */
  readonly before: SiteTargets
  /** The revision before, as this renderer makes it; null: there was none, or it cannot be read. */
  readonly renderedBefore: SiteTargets | null
}): SiteTargets {
  const { rendered, held, before, renderedBefore } = input
  const holds = new Map<string, ReadonlySet<string> | 'everywhere'>()
  for (const { workload, sites } of held) {
    const known = holds.get(workload)
    if (known === 'everywhere') continue
    holds.set(workload, sites === null ? 'everywhere' : new Set([...(known ?? []), ...sites]))
  }
  const isHeld = (workload: string, site: string): boolean => {
    const at = holds.get(workload)
    return at === 'everywhere' || at?.has(site) === true
  }
  const out = new Map<string, ReadonlyMap<string, Digest>>()
  for (const [site, workloads] of rendered) {
    const targets = new Map<string, Digest>()
    for (const [workload, digest] of workloads) {
      if (isHeld(workload, site)) continue
      const meant = before.get(site)?.get(workload)
      const unasked = meant !== undefined && renderedBefore?.get(site)?.get(workload) === digest
      targets.set(workload, unasked ? meant : digest)
    }
    for (const [workload, digest] of before.get(site) ?? []) if (isHeld(workload, site)) targets.set(workload, digest)
    out.set(site, targets)
  }
  return out
}
