/** What somebody says about a rollout, as the engine takes it: checked against who says it. */
import { type Digest, isDigest } from '../core/model/digest.ts'
import { Fault } from '../core/model/fault.ts'
import type { RolloutCommand, RolloutState } from '../core/rollout/types.ts'
import type { Actor, RolloutVerb, RolloutWord } from './api.ts'
import { allow, checkReason, MOST_REASON, speakFor } from './rights.ts'
import type { KeptSpec } from './store.ts'
import { glassKeepers } from './windows.ts'
import type { World } from './world.ts'

/** As many as screens show. */
const LEAST_HEX = 12
/** A broken glass is for an emergency: long enough that each site had its turn of the day, and no second policy. */
const GLASS_MS = 86_400_000
const MOST_GLASS_MS = 7 * 86_400_000

interface WordParts {
  readonly world: World
  readonly nowMs: () => number
}

/** Faults: Forbidden, InvalidInput, Conflict. */
export function wordOf(
  parts: WordParts,
  actor: Actor,
  spec: KeptSpec,
  state: RolloutState,
  verb: RolloutVerb,
  word: RolloutWord,
): RolloutCommand {
  return verb === 'break-glass' ? glassOf(parts, actor, spec, word) : commandOf(actor, spec, state, verb, word)
}

function commandOf(
  actor: Actor,
  spec: KeptSpec,
  state: RolloutState,
  verb: Exclude<RolloutVerb, 'break-glass'>,
  word: RolloutWord,
): RolloutCommand {
  const by = actor.name
  if (verb === 'approve') {
    allow(actor, 'approve')
    const wave = word.wave ?? waveToApprove(spec, state)
    const id = idOf(spec, word)
    const place = state.waves.find(({ name }) => name === wave)
    const team = place === undefined ? null : (spec.policy.waves[place.policyWave]?.approval ?? null)
    speakFor(actor, team)
    return { kind: 'approve', by, wave, id }
  }
  allow(actor, 'operate')
  const why = word.why ?? 'no reason given'
  if (why.length > MOST_REASON) throw new Fault('InvalidInput', `a reason of at most ${MOST_REASON} characters`)
  switch (verb) {
    case 'pause':
    case 'abort':
    case 'undo':
      return { kind: verb, by, why }
    case 'promote':
      return word.wave === undefined ? { kind: verb, by } : { kind: verb, by, wave: word.wave }
    case 'readmit':
      return word.id === undefined
        ? { kind: verb, by }
        : { kind: verb, by, digest: oneOf(state.withdrew ?? [], word.id, 'a release that it withdrew') }
    case 'resume':
      return { kind: verb, by }
  }
}

/** A window yields to the team that it names, and to no other; what is said stands in the audit log. */
function glassOf({ world, nowMs }: WordParts, actor: Actor, spec: KeptSpec, word: RolloutWord): RolloutCommand {
  allow(actor, 'approve')
  const why = word.why ?? ''
  checkReason(why)
  const id = idOf(spec, word)
  const teams = glassKeepers(world, spec.workload, spec.targets.keys())
  if (teams.length === 0) throw new Fault('Conflict', `no window of ${spec.workload} has a glass to break`)
  const team = word.team ?? (teams.length === 1 ? teams[0] : undefined)
  if (team === undefined || !teams.includes(team))
    throw new Fault('InvalidInput', `team is one whose yes a window takes: ${teams.join(', ')}`)
  speakFor(actor, team)
  const { forMs = GLASS_MS } = word
  if (!(forMs > 0 && forMs <= MOST_GLASS_MS))
    throw new Fault(
      'InvalidInput',
      'a broken glass lasts for 7 days at most: a longer time is a change of the window in Git',
    )
  return { kind: 'breakGlass', by: actor.name, team, why, id, untilMs: nowMs() + forMs }
}

/** Of these the one that is meant, by its digest or by the beginning that screens show. Fault InvalidInput. */
function oneOf(known: readonly Digest[], text: string, what: string): Digest {
  const hex = text.replace(/^sha256:/, '')
  const meant = known.filter((digest) => digest === text || digest.startsWith(`sha256:${hex}`))
  const [one] = meant
  if (one !== undefined && meant.length === 1 && hex.length >= LEAST_HEX) return one
  // A whole digest of something else is refused by the engine, which says of what.
  if (isDigest(text)) return text
  throw new Fault(
    'InvalidInput',
    `id found ${text}, expected the digest of ${what}, or its first ${LEAST_HEX} characters`,
  )
}

function idOf(spec: KeptSpec, { id = spec.id }: RolloutWord): Digest {
  return oneOf([spec.id], id, 'the rollout, as status shows it')
}

/** The running wave where it waits for a yes or for evidence, else the next that asks for one. */
function waveToApprove(spec: KeptSpec, state: RolloutState): string {
  const open = state.waves.filter(({ state: of }) => of === 'active' || of === 'pending')
  const gated = open.find(
    ({ name, policyWave }) => spec.policy.waves[policyWave]?.approval != null && state.approvals[name] === undefined,
  )
  const wave = gated ?? open[0]
  if (wave === undefined) throw new Fault('Conflict', 'all waves are through')
  return wave.name
}
