/** What a revision says, and what of it may be taken: the fleet room's functions as one value, so that a renderer has a version. */
import { digestBytes, type Digest } from '../core/model/digest.ts'
import { byUtf16 } from '../core/model/json.ts'
import { judgeDeletions, type BrakeInput } from '../core/fleet/deletions.ts'
import { parseFleet } from '../core/fleet/parse.ts'
import { RENDERER_VERSION, renderFleet } from '../core/fleet/render.ts'
import type {
  BrakeVerdict,
  Fleet,
  FleetCache,
  ParsedFleet,
  ParseOptions,
  RenderedFleet,
  SourceTree,
} from '../core/fleet/types.ts'

export interface Compiler {
  /** Renders of one input by one version are equal; a new version moves no site by itself. */
  readonly version: string
  /** In this thread, or beside it: a hub that serves thousands of sites does not stop to read a revision. */
  parse(tree: SourceTree, options: ParseOptions): ParsedFleet | Promise<ParsedFleet>
  render(fleet: Fleet, tree: SourceTree, cache: FleetCache): RenderedFleet | Promise<RenderedFleet>
  judgeDeletions(input: BrakeInput): BrakeVerdict
}

export const compiler: Compiler = {
  version: RENDERER_VERSION,
  parse: parseFleet,
  render: renderFleet,
  judgeDeletions,
}

export type SiteTargets = ReadonlyMap<string, ReadonlyMap<string, Digest>>

/** Everything that a render of this tree can read. */
export function inputDigest(tree: SourceTree): Digest {
  const lines = [...tree.values()].map(({ path, oid }) => `${oid} ${path}`).sort(byUtf16)
  return digestBytes('class', lines.join('\n'))
}

/**
 * What each site should have, where nothing is held. Where this renderer makes of the revision before what it makes of this one,
 * Git did not ask for a change, and what was meant before stays, whichever renderer made it.
 */
export function pinTargets(input: {
  readonly rendered: SiteTargets
  /** Meant before. */
  readonly before: SiteTargets
  /** The revision before, as this renderer makes it; null: there was none, or it cannot be read. */
  readonly renderedBefore: SiteTargets | null
}): SiteTargets {
  const { rendered, before, renderedBefore } = input
  if (renderedBefore === null) return rendered
  const out = new Map<string, ReadonlyMap<string, Digest>>()
  for (const [site, workloads] of rendered) {
    const targets = new Map<string, Digest>()
    for (const [workload, digest] of workloads) {
      const unasked = renderedBefore.get(site)?.get(workload) === digest
      targets.set(workload, (unasked ? before.get(site)?.get(workload) : undefined) ?? digest)
    }
    out.set(site, targets)
  }
  return out
}
