import type { Digest } from '../model/digest.ts'
import { byUtf16 } from '../model/json.ts'
import { answerOf, hasBegun } from './observe.ts'
import type { RolloutSpec, RolloutState, RolloutWorld, SiteProgress } from './types.ts'
import { assignWaves, type Labels } from './waves.ts'

export interface Previous {
  readonly spec: RolloutSpec
  readonly state: RolloutState
}

/**
 * A new map begins. Sites that had not begun the previous one skip it; sites that had come first in their waves; soaks,
 * failures and approvals start anew. `isFresh`: nothing of any workload was ever published to the site.
 */
export function begin(
  spec: RolloutSpec,
  previous: Previous | null,
  world: RolloutWorld,
  isFresh: (site: string) => boolean = () => false,
): RolloutState {
  const plan = assignWaves(spec.policy, labelsOf(spec, world))
  const places: [string, SiteProgress][] = []
  let installed = false
  for (const [wave, { sites }] of plan.waves.entries())
    for (const site of sites) {
      const target = spec.targets.get(site)
      if (target === undefined) continue
      const place = placeOf(site, target, { spec, previous, world, wave })
      installed ||= place.from !== null
      places.push([site, place])
    }
  const before = previous?.state
  const established = before === undefined ? installed : before.established || before.phase === 'Completed'
  // A fleet's very first rollout has nothing to provision with: there its sites go in waves like any other.
  if (established) for (const entry of places) entry[1] = asFresh(entry[1], () => isFresh(entry[0]))
  return {
    id: spec.id,
    phase: 'Progressing',
    waves: plan.waves.map(({ name, policyWave }) => ({ name, policyWave, state: 'pending' })),
    sites: inOrder(places),
    approvals: {},
    established,
  }
}

/** Must the new map wait for the running wave (`onSupersede: finishWave`)? Never where it takes a begun site back. */
export function mustWait(spec: RolloutSpec, running: Previous): boolean {
  if (running.spec.policy.onSupersede !== 'finishWave' || running.state.phase !== 'Progressing') return false
  let moving = false
  for (const [site, progress] of running.state.sites) {
    if (progress.phase === 'waiting' || progress.phase === 'unchanged') continue
    const target = spec.targets.get(site)
    if (target !== undefined && target === progress.from && target !== running.spec.targets.get(site)) return false
    moving ||= progress.phase === 'granted' || progress.phase === 'changing'
  }
  return moving
}

/** Sites that came, went or were relabelled since; the same object where nothing did. */
export function reconcileSites(
  spec: RolloutSpec,
  state: RolloutState,
  world: RolloutWorld,
  isFresh: (site: string) => boolean,
): RolloutState {
  const plan = assignWaves(spec.policy, labelsOf(spec, world))
  const byName = new Map(state.waves.map((wave) => [wave.name, wave]))
  const sameWaves =
    plan.waves.length === state.waves.length && plan.waves.every((wave, i) => wave.name === state.waves[i]?.name)
  let changed = !sameWaves || state.sites.size !== spec.targets.size
  const places: [string, SiteProgress][] = []
  for (const [site, target] of spec.targets) {
    const wave = plan.waveOf.get(site) ?? 0
    const known = state.sites.get(site)
    if (known === undefined) {
      changed = true
      const place = placeOf(site, target, { spec, previous: null, world, wave })
      places.push([site, state.established ? asFresh(place, () => isFresh(site)) : place])
    } else if (known.wave === wave) places.push([site, known])
    else {
      changed = true
      places.push([site, { ...known, wave }])
    }
  }
  if (!changed) return state
  const waves = plan.waves.map(
    ({ name, policyWave }) => byName.get(name) ?? { name, policyWave, state: 'pending' as const },
  )
  return { ...state, waves, sites: inOrder(places) }
}

function asFresh(place: SiteProgress, isFresh: () => boolean): SiteProgress {
  return place.from === null && place.phase === 'waiting' && isFresh() ? { ...place, fresh: true } : place
}

interface Setting {
  readonly spec: RolloutSpec
  readonly previous: Previous | null
  readonly world: RolloutWorld
  readonly wave: number
}

function placeOf(site: string, target: Digest, { spec, previous, world, wave }: Setting): SiteProgress {
  const at = world.at(site, spec.workload)
  const published = at?.published ?? null
  const past = previous?.state.sites.get(site)
  const pastTarget = previous?.spec.targets.get(site)
  if (past === undefined || pastTarget === undefined || published === null)
    return { wave, phase: published === target ? 'unchanged' : 'waiting', from: published }

  // Told to move and not begun: it still has what it had, and the permit in its hand must go.
  const wasTold = past.phase === 'granted' || (past.phase === 'waiting' && past.grantedAtMs !== undefined)
  const told = published === pastTarget && past.from !== pastTarget && (wasTold || past.revoke !== undefined)
  const begun = told && hasBegun(answerOf(at, pastTarget), pastTarget)
  if (told && !begun) {
    // The same content: what it holds is what it should have, and a permit that ended needs a new word only.
    if (target === pastTarget && past.revoke === undefined) return carried(past, wave)
    if (past.from === target) return { wave, phase: 'unchanged', from: past.from, revoke: 'back' }
    const revoke = world.withdrawn.has(pastTarget) ? 'back' : 'close'
    return { wave, phase: 'waiting', from: past.from, revoke, ...(past.onOld === undefined ? {} : { onOld: true }) }
  }
  const backUnheard = past.phase === 'rolledBack' && past.back !== undefined && published === pastTarget
  const moving = begun || backUnheard || past.phase === 'changing' || past.phase === 'failed'
  if (moving && target === pastTarget && published === target) return carried({ ...past, phase: 'changing' }, wave)
  // Taken back and not heard since: it may yet be on its way there.
  const unheard = past.revoke !== undefined && published === past.from && answerOf(at, published) === null
  const revoke = unheard ? { revoke: 'back' as const } : {}
  if (published === target) return { wave, phase: 'unchanged', from: published, ...revoke }
  const onOld = previous?.state.phase !== 'Completed' && (moving || past.phase === 'done')
  const first = onOld || past.onOld === true ? { onOld: true as const } : {}
  return { wave, phase: 'waiting', from: published, ...revoke, ...first }
}

/** The same content, still on its way: it goes on, and its clock starts anew. */
function carried(past: SiteProgress, wave: number): SiteProgress {
  const { grantedAtMs, begunAtMs } = past
  return {
    wave,
    phase: past.phase,
    from: past.from,
    ...(grantedAtMs === undefined ? {} : { grantedAtMs }),
    ...(begunAtMs === undefined ? {} : { begunAtMs }),
    ...(past.provisioned === undefined ? {} : { provisioned: true }),
  }
}

/** By wave; in a wave, sites that run a superseded release first; then by name. */
export function inOrder(places: (readonly [string, SiteProgress])[]): ReadonlyMap<string, SiteProgress> {
  const isSorted = places.every((place, i) => i === 0 || compare(places[i - 1] as typeof place, place) <= 0)
  return new Map(isSorted ? places : places.sort(compare))
}

function compare([a, left]: readonly [string, SiteProgress], [b, right]: readonly [string, SiteProgress]): number {
  return left.wave - right.wave || Number(right.onOld === true) - Number(left.onOld === true) || byUtf16(a, b)
}

function labelsOf(spec: RolloutSpec, world: RolloutWorld): ReadonlyMap<string, Labels> {
  const labels = new Map<string, Labels>()
  for (const site of spec.targets.keys()) labels.set(site, world.site(site)?.labels ?? {})
  return labels
}
