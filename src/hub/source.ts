/** Follows the branch: a tip becomes the last good revision whole, or nothing moves anywhere and status says why. */
import { asFault, Fault } from '../core/model/fault.ts'
import type { Digest } from '../core/model/digest.ts'
import { jsonEqual, type Json } from '../core/model/json.ts'
import type { Problem } from '../core/model/problem.ts'
import type { Release } from '../core/model/release.ts'
import type { Fleet, FleetCache, RenderedFleet, SourceTree } from '../core/fleet/types.ts'
import type { Logger } from '../runtime/logger.ts'
import { ROOT_FILE } from '../core/fleet/documents.ts'
import { carryHeld } from '../core/fleet/carry.ts'
import { changeTargets } from './adopt.ts'
import { inputDigest, pinTargets, type Compiler, type SiteTargets } from './compile.ts'
import type { GitSource, SignerRules } from './ports.ts'
import type { Releases } from './releases.ts'
import { renamedTargets, renamesOf } from './rename.ts'
import { sourceState, type SourceState } from './source-state.ts'
import type { World } from './world.ts'

/** A status page shows the first; `flotilla lint` shows all. */
const KEPT_PROBLEMS = 200

export interface SourceParts {
  readonly world: World
  readonly git: GitSource
  readonly compiler: Compiler
  readonly releases: Releases
  readonly cache: FleetCache
  /** Folder of the fleet's root file. */
  readonly root: string
  readonly nowMs: () => number
  readonly log: Logger
}

export interface Source {
  /** One look at the branch. `moved`: another revision is good now. Throws only what the store throws. */
  turn(signal: AbortSignal): Promise<{ readonly moved: boolean; readonly fault: Fault | null }>
  /** When the branch was last looked at; null: not since the start. */
  readonly checkedAtMs: number | null
}

interface Tip {
  readonly revision: string
  readonly message: string
  readonly tree: SourceTree
}

export function createSource(parts: SourceParts): Source {
  let checkedAtMs: number | null = null
  let good: Fleet | null = null
  return {
    get checkedAtMs() {
      return checkedAtMs
    },
    async turn(signal) {
      try {
        const tip = await look(parts, signal)
        checkedAtMs = parts.nowMs()
        if (tip === null) {
          await remember(parts, { fault: null })
          return { moved: false, fault: null }
        }
        good ??= await fleetOf(parts, sourceState(parts.world).revision, signal)
        const adopted = await adopt(parts, tip, good, signal)
        if (adopted !== null) good = adopted
        return { moved: adopted !== null, fault: null }
      } catch (error) {
        const fault = asFault(error)
        if (signal.aborted) throw fault
        if (fault.reason.startsWith('Store')) throw fault
        checkedAtMs = parts.nowMs()
        await notice(parts, fault)
        return { moved: false, fault }
      }
    },
  }
}

/** A tip to judge: a new one, or one that an older build of the hub refused. */
async function look({ world, git, compiler }: SourceParts, signal: AbortSignal): Promise<Tip | null> {
  const { revision, seen, accept, judgedBy, problems } = sourceState(world)
  const polled = await git.poll({ good: revision, seen, accept }, signal)
  if (polled.kind === 'changed') return polled
  if (seen === null || seen === revision || judgedBy === compiler.version || problems.length === 0) return null
  return { revision: seen, message: '', tree: await git.open(seen, signal) }
}

/** The last good Fleet again, after a restart: its Teams judge the next revision. */
async function fleetOf(parts: SourceParts, revision: string | null, signal: AbortSignal): Promise<Fleet | null> {
  const tree = revision === null ? null : await treeBefore(parts, revision, signal)
  if (tree === null || revision === null) return null
  return (await parts.compiler.parse(tree, { root: parts.root, revision, cache: parts.cache })).fleet
}

/** The last good tree; null where an operator accepted that its history was replaced and it is gone with it. */
async function treeBefore(parts: SourceParts, revision: string, signal: AbortSignal): Promise<SourceTree | null> {
  try {
    return await parts.git.open(revision, signal)
  } catch (error) {
    if (sourceState(parts.world).accept === null) throw error
    return null
  }
}

async function adopt(parts: SourceParts, tip: Tip, good: Fleet | null, signal: AbortSignal): Promise<Fleet | null> {
  const { world, compiler, cache, nowMs } = parts
  const log = parts.log.child({ revision: tip.revision })
  // The signers of the revision before judge this one, so that a commit cannot grant itself the right to be taken.
  const unsigned = await judge(parts, tip, good?.verify ?? null, sinceOf(parts, tip), signal)
  const parsed = await compiler.parse(tip.tree, {
    root: parts.root,
    revision: tip.revision,
    cache,
    ...(good === null ? {} : { previous: good }),
  })
  const { fleet } = parsed
  if (fleet === null) {
    log.warn({ problems: parsed.problems.length }, 'revision refused')
    await refuse(parts, tip, parsed.problems, null)
    return null
  }
  const { renames, problems: taken } = renamesOf(fleet, world.sites)
  if (taken.length > 0) {
    log.warn({ problems: taken.length }, 'revision refused')
    await refuse(parts, tip, [...taken, ...parsed.problems], null)
    return null
  }
  // Where nobody asked before, the commit that asks is held to it: signers that would lock everybody out show now.
  if (good?.verify == null) unsigned.push(...(await judge(parts, tip, fleet.verify, null, signal)))
  const rendered = await compiler.render(fleet, tip.tree, cache)
  const problems = [...unsigned, ...parsed.problems, ...rendered.problems]
  const input = inputDigest(tip.tree)
  const before = renamedTargets(targetsNow(world), renames)
  const beforeIt = await renderedBefore(parts, signal)
  const pinned = pinTargets({
    rendered: rendered.sites,
    before,
    renderedBefore: beforeIt === null ? null : renamedTargets(beforeIt, renames),
  })
  const sites = carryHeld(before, fleet, { sites: pinned, held: rendered.held })
  const { spent } = sourceState(world)
  const verdict = compiler.judgeDeletions({
    previous: { sites: before, releases: await releasesOf(parts.releases, before, rendered) },
    next: { ...rendered, sites: pinned, releases: await releasesOf(parts.releases, sites, rendered) },
    fleet,
    spent: new Set(spent),
  })
  if (verdict.kind === 'stopped') {
    log.warn({ deletions: verdict.digest }, 'revision stopped by the deletion brake')
    await refuse(parts, tip, problems, { digest: verdict.digest, message: verdict.message })
    return null
  }
  const known = await world.store.hasBlobs([...rendered.blobs.keys()])
  const blobs = [...rendered.blobs].filter(([digest]) => !known.has(digest))
  await world.turn(async (commit) => {
    // A box that joined meanwhile may stand where another was to go on: the same tip is looked at again.
    if (!jsonEqual(renamesOf(fleet, world.sites).renames as unknown as Json, renames as unknown as Json))
      throw new Fault('Conflict', 'a site that this revision renames changed while it was read')
    const change = await changeTargets(world, fleet, sites, {
      revision: tip.revision,
      nowMs: nowMs(),
      confirmed: verdict.confirmed === null ? null : { digest: verdict.confirmed, list: verdict.list },
      held: rendered.held,
      renames,
      spent: new Set(spent),
      releases: parts.releases,
    })
    const state: SourceState = {
      revision: tip.revision,
      message: tip.message === '' ? sourceState(world).message : tip.message,
      input,
      seen: tip.revision,
      judgedBy: compiler.version,
      accept: null,
      fault: null,
      problems: kept(problems),
      brake: null,
      // A yes counts once; taken out of Git and put there again it is another.
      spent: [...spent, verdict.confirmed, ...change.spent].filter(
        (digest): digest is Digest => digest !== null && fleet.deletionBrake.confirmed.includes(digest),
      ),
    }
    await commit({
      ...change.draft,
      meta: { source: JSON.stringify(state), fleet: JSON.stringify(change.fleet) },
      blobs: [
        ...blobs.map(([digest, { domain, bytes }]) => ({ digest, domain, bytes })),
        ...(change.draft.blobs ?? []),
      ],
      render: { input, renderer: compiler.version, sites: rendered.sites },
      events: [
        ...(change.draft.events ?? []),
        { atMs: nowMs(), kind: 'Revision', subject: tip.revision, message: tip.message },
      ],
    })
  })
  log.info({ sites: sites.size, releases: rendered.releases.size }, 'revision accepted')
  return fleet
}

/** From which revision on the way to the tip is judged; a history that an admin accepts is taken as it is, a tip is not. */
function sinceOf({ world }: SourceParts, tip: Tip): string | null {
  const { revision, accept } = sourceState(world)
  return accept === tip.revision ? null : revision
}

/** Throws the reason for which a commit moves nothing; where the fleet only warns, that is a problem to show. */
async function judge(
  { git, root, compiler, cache }: SourceParts,
  { revision }: Tip,
  verify: Fleet['verify'],
  since: string | null,
  signal: AbortSignal,
): Promise<Problem[]> {
  if (verify === null) return []
  const file = root === '' ? ROOT_FILE : `${root}/${ROOT_FILE}`
  const rules: SignerRules = {
    file,
    async after(commit) {
      const { fleet } = await compiler.parse(await git.open(commit, signal), { root, revision: commit, cache })
      return fleet === null ? 'as before' : (fleet.verify?.signers ?? null)
    },
  }
  const refused = await git.judge({ good: since, tip: revision, signers: verify.signers, rules }, signal)
  if (refused === null) return []
  const { reason, message, commit } = refused
  if (verify.mode === 'enforce') throw new Fault(reason, message, { facts: { commit } })
  const place = { file, line: 1, column: 1 }
  return [{ code: 'FLT1024', severity: 'warning', place, path: 'spec.source.verify', message }]
}

/** The revision before as this renderer makes it: kept, or made again where another version made it. */
async function renderedBefore(parts: SourceParts, signal: AbortSignal): Promise<SiteTargets | null> {
  const { world, compiler, cache } = parts
  const { revision, input } = sourceState(world)
  if (revision === null || input === null) return null
  const keptRender = await world.store.render(input, compiler.version)
  if (keptRender !== undefined) return keptRender.sites
  const tree = await treeBefore(parts, revision, signal)
  if (tree === null) return null
  const { fleet } = await compiler.parse(tree, { root: parts.root, revision, cache })
  return fleet === null ? null : (await compiler.render(fleet, tree, cache)).sites
}

/** Site → workload → release as it is meant now, sites of Git with nothing included. */
function targetsNow(world: World): SiteTargets {
  const sites = new Map<string, Map<string, Digest>>()
  for (const { name, inGit } of world.sites.values()) if (inGit) sites.set(name, new Map())
  for (const { spec, next } of world.rollouts.values())
    for (const [site, digest] of (next ?? spec).targets) sites.get(site)?.set(spec.workload, digest)
  return sites
}

async function releasesOf(
  releases: Releases,
  sites: SiteTargets,
  rendered: RenderedFleet,
): Promise<ReadonlyMap<Digest, Release>> {
  const out = new Map<Digest, Release>()
  for (const workloads of sites.values())
    for (const digest of workloads.values()) {
      if (out.has(digest)) continue
      const release = rendered.releases.get(digest) ?? (await releases.load(digest))
      if (release !== undefined) out.set(digest, release)
    }
  return out
}

async function refuse(
  parts: SourceParts,
  tip: Tip,
  problems: readonly Problem[],
  brake: SourceState['brake'],
): Promise<void> {
  const { world, compiler, nowMs } = parts
  const message = brake?.message ?? `${problems.filter(({ severity }) => severity === 'error').length} errors`
  await world.turn((commit) =>
    commit({
      meta: {
        source: JSON.stringify({
          ...sourceState(world),
          seen: tip.revision,
          judgedBy: compiler.version,
          fault: null,
          problems: kept(problems),
          brake,
        } satisfies SourceState),
      },
      events: [
        {
          atMs: nowMs(),
          kind: brake === null ? 'RevisionRefused' : 'DeletionBrake',
          subject: tip.revision,
          message,
        },
      ],
    }),
  )
}

/** Written when it is another fault than before: a host that is away for a day is one row. */
async function notice(parts: SourceParts, fault: Fault): Promise<void> {
  const known = sourceState(parts.world).fault
  if (known?.reason === fault.reason && known.message === fault.message) return
  parts.log.warn({ reason: fault.reason, error: fault.message }, 'source')
  const sinceMs = known?.reason === fault.reason ? known.sinceMs : parts.nowMs()
  await remember(parts, { fault: { reason: fault.reason, message: fault.message, sinceMs } })
}

async function remember({ world, nowMs }: SourceParts, part: Partial<SourceState>): Promise<void> {
  const before = sourceState(world)
  if ('fault' in part && part.fault === null && before.fault === null) return
  await world.turn((commit) =>
    commit({
      meta: { source: JSON.stringify({ ...before, ...part }) },
      events: [
        {
          atMs: nowMs(),
          kind: 'Source',
          subject: part.fault?.reason ?? 'ok',
          message: part.fault?.message ?? 'the branch can be read again',
        },
      ],
    }),
  )
}

function kept(problems: readonly Problem[]): readonly Problem[] {
  const worst = { error: 0, warning: 1, notice: 2 }
  return problems.toSorted((a, b) => worst[a.severity] - worst[b.severity]).slice(0, KEPT_PROBLEMS)
}
