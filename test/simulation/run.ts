/** One seed, one story: a fleet under the faults that the seed switches on, watched after every event, healed, and to converge. */
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ADMIN } from '../unit/hub/rig.ts'
import { CHANGES } from './author.ts'
import { DEAD, Faults } from './faults.ts'
import { Violation } from './laws/violation.ts'
import { saySomething } from './operators.ts'
import { unsettled } from './settled.ts'
import type { FaultName } from './weather.ts'
import { type Line, MINUTE, SimWorld } from './world.ts'

const STORY_MINUTES = 150
/** After the heal: two waves and their soaks, with room for what waits and backs off. */
const HEAL_MINUTES = 300
const COMMIT_RATE = 0.05
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
  options: { readonly faults?: readonly FaultName[] } = {},
): Promise<Outcome> {
  const dir = mkdtempSync(join(HOME, 'flotilla-sim-'))
  const world = new SimWorld(seed, dir, options.faults ?? 'any')
  try {
    await story(world)
    return outcome(world, null)
  } catch (error) {
    return outcome(world, error instanceof Violation ? error.message : `error: ${(error as Error).stack}`)
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

async function story(world: SimWorld): Promise<void> {
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
    await world.pass(MINUTE)
    if (minute % LOOK_MINUTES === 0) await world.look()
  }
  world.say('heals')
  await faults.heal()
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

/** What people do once all works again. */
async function recover(world: SimWorld): Promise<void> {
  const tip = world.author.make('good')
  if (world.hub.life.dead) await world.pass(MINUTE)
  const { api } = world.hub.hub!
  await api.reconcile(ADMIN, tip)
  if (!world.forked) return
  // It wants to have read the branch first.
  await world.pass(5 * MINUTE)
  await world.hub.hub!.api.recover(ADMIN)
}

async function converge(world: SimWorld, lines: readonly Line[]): Promise<void> {
  for (let minute = 0; minute < HEAL_MINUTES; minute += 5) {
    await world.pass(5 * MINUTE)
    if (minute % LOOK_MINUTES === 0) await world.look()
    if ((await unsettled(world, lines)).length === 0) return world.say('converged')
  }
  throw new Violation('converges', (await unsettled(world, lines)).join('; '))
}
