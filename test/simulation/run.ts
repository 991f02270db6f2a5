/** One seed, one story: a fleet under the faults that the seed switches on, watched after every event, healed, and to converge. */
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ADMIN } from '../unit/hub/rig.ts'
import { Fault } from '../../src/core/model/fault.ts'
import { CHANGES, SITES } from './author.ts'
import { DEAD, Faults } from './faults.ts'
import { Violation } from './laws/violation.ts'
import { approveWhatWaits, recoverHub, saySomething } from './operators.ts'
import { unsettled } from './settled.ts'
import type { FaultName } from './weather.ts'
import { type Line, MINUTE, SimWorld } from './world.ts'

const STORY_MINUTES = 150
/** After the heal: two waves and their soaks, with room for what waits and backs off. */
const HEAL_MINUTES = 300
const COMMIT_RATE = 0.06
/** In a minute: a team that looks at what waits for its yes, and somebody who sees that a hub was restored. */
const APPROVAL_RATE = 0.15
const RECOVERY_RATE = 0.03
/** So long an old key counts beside the new one. */
const OLD_KEY_MINUTES = 30
/** People look at the hub so often. */
const LOOK_MINUTES = 10
const HOME = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

export interface Outcome {
  readonly seed: number
  readonly digest: string
  readonly events: number
  readonly faults: readonly string[]
  /** null: nothing was broken and all converged. */
  readonly broken: string | null
  readonly trace: readonly string[]
}

export async function simulate(
  seed: number,
  options: { readonly faults?: readonly FaultName[]; readonly until?: 'heal' | 'converged' } = {},
): Promise<Outcome> {
  const dir = mkdtempSync(join(HOME, 'flotilla-sim-'))
  const world = new SimWorld(seed, dir, options.faults ?? 'any')
  try {
    await story(world, options.until ?? 'converged')
    return outcome(world, null)
  } catch (error) {
    if (error instanceof Violation) return outcome(world, error.message)
    // Nobody stands in its way any more.
    if (world.healed && error instanceof Fault) return outcome(world, `converges: a hub that is well says ${error.reason}: ${error.message}`) // prettier-ignore
    return outcome(world, `error: ${(error as Error).stack}`)
  } finally {
    await world.end()
    rmSync(dir, { recursive: true, force: true })
  }
}

function outcome(world: SimWorld, broken: string | null): Outcome {
  const trace = [...world.trace, ...world.granted.lines]
  const hash = createHash('sha256')
  for (const line of trace) hash.update(`${line}\n`)
  const digest = hash.digest('hex').slice(0, 16)
  return { seed: world.seed, digest, events: world.events, faults: [...world.rates.keys()], broken, trace }
}

async function story(world: SimWorld, until: 'heal' | 'converged'): Promise<void> {
  const faults = new Faults(world)
  await world.begin()
  for (let minute = 0; minute < STORY_MINUTES; minute++) {
    if (world.random() < COMMIT_RATE) {
      const change = CHANGES[Math.floor(world.random() * CHANGES.length)]!
      world.author.make(change)
      world.say(`commit ${change}`)
    }
    await faults.minute()
    if (world.random() < (world.rates.get('operator') ?? 0)) await saySomething(world)
    await people(world, minute)
    await world.pass(MINUTE)
    if (minute % LOOK_MINUTES === 0) await world.look()
  }
  if (until === 'heal') return world.hub.look(world.checkStore)
  world.say('heals')
  await faults.heal()
  world.healed = true
  await recover(world)
  const dead = world.lines.filter(({ darkUntilMs }) => darkUntilMs === DEAD)
  if (dead.length > 0) {
    await converge(world, world.lines.filter((line) => !dead.includes(line))) // prettier-ignore
    world.say('the dead are back')
    faults.reviveDead()
  }
  await converge(world, world.lines)
  await world.hub.look(world.checkStore)
}

/** What people do whether the seed has operators or not. */
async function people(world: SimWorld, minute: number): Promise<void> {
  const { shape, lines } = world
  if (shape.isGated && world.random() < APPROVAL_RATE) await approveWhatWaits(world)
  if (world.forked && world.random() < RECOVERY_RATE) await recoverHub(world)
  if (minute === shape.rotatesAtMinute || minute === (shape.rotatesAtMinute ?? STORY_MINUTES) + OLD_KEY_MINUTES) {
    world.say('the hub has other keys')
    await world.hub.rotate(world.checkStore)
  }
  const late = lines.length < SITES.length && minute >= (shape.joinsAtMinute ?? 0)
  if (late && (await world.mayJoin(SITES.at(-1)!))) world.say('the last site joins')
}

/** What people do once all works again. */
async function recover(world: SimWorld): Promise<void> {
  const tip = world.author.make('settle')
  if (world.hub.life.dead) await world.pass(MINUTE)
  const { api } = world.hub.hub!
  await api.reconcile(ADMIN, tip)
  await people(world, STORY_MINUTES)
  if (!world.forked) return
  // It wants to have read the branch first.
  await world.pass(5 * MINUTE)
  await world.hub.hub!.api.recover(ADMIN)
}

async function converge(world: SimWorld, lines: readonly Line[]): Promise<void> {
  for (let minute = 0; minute < HEAL_MINUTES; minute += 5) {
    await world.pass(5 * MINUTE)
    if (world.shape.isGated) await approveWhatWaits(world)
    if (minute % LOOK_MINUTES === 0) await world.look()
    if ((await unsettled(world, lines)).length === 0) return world.say('converged')
  }
  throw new Violation('converges', (await unsettled(world, lines)).join('; '))
}
