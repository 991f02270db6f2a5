/** What people say while all this goes on: pause, abort, undo, promote, approve, hold, freeze, recover, and taking it back. */
import { Fault, type FaultReason } from '../../src/core/model/fault.ts'
import { ADMIN } from '../unit/hub/rig.ts'
import { CANARY, SITES } from './author.ts'
import { MINUTE, type SimWorld } from './world.ts'

const WORDS = [
  'pause', 'pause', 'resume', 'resume', 'abort', 'undo', 'readmit', 'promote', 'approve', 'hold', 'hold', 'release', 'freeze', 'recover',
] as const // prettier-ignore
type Word = (typeof WORDS)[number]

/** Who speaks once often goes on. */
const GOES_ON = 0.5
/** Said before anything was written: it was not done. */
const REFUSALS: ReadonlySet<FaultReason> = new Set(['Conflict', 'NotFound', 'InvalidInput', 'Forbidden'])

export async function saySomething(world: SimWorld): Promise<void> {
  const { random } = world
  do {
    const word = WORDS[Math.floor(random() * WORDS.length)]!
    const workload = random() < 0.7 ? 'web' : 'b'
    const site = SITES[Math.floor(random() * SITES.length)]!
    // By their own watch: a hub in another year refuses it.
    const untilMs = world.clock.nowMs() + Math.ceil(random() * 60) * MINUTE
    await say(world, word, { workload, site, untilMs })
  } while (random() < GOES_ON)
}

interface About {
  readonly workload: string
  readonly site: string
  readonly untilMs: number
}

/** A hub that dies of it, or cannot write, may have been told or not. */
async function say(world: SimWorld, word: Word, { workload, site, untilMs }: About): Promise<void> {
  const { granted, told, known, clock } = world
  const targets = known.targets.get(workload)
  const api = world.hub.hub?.api
  if (api === undefined) return
  const name = granted.facts.names.get(site) ?? site
  try {
    if (word === 'hold') await api.hold(ADMIN, name, 'a test', untilMs)
    else if (word === 'release') await api.release(ADMIN, name)
    else if (word === 'freeze') await api.freeze(ADMIN, { selector: null, reason: 'a test', untilMs })
    else if (word === 'recover') await api.recover(ADMIN)
    else await api.command(ADMIN, workload, word, { why: 'a test' })
  } catch (error) {
    if (error instanceof Fault && REFUSALS.has(error.reason)) return
    granted.doubt(workload, site)
    told.readmit(workload)
    return
  }
  world.say(`operator: ${word} ${workload} ${name}`)
  const nowMs = clock.monotonicMs()
  if (word === 'hold') granted.hold([site], untilMs, nowMs)
  if (word === 'freeze') granted.freeze(SITES, untilMs, nowMs)
  if (word === 'release') granted.release(site)
  if (word === 'pause' || word === 'abort' || word === 'undo') granted.stop(workload, nowMs)
  if (word === 'resume') granted.resume(workload)
  if (word === 'promote') granted.promote(workload)
  if (word === 'approve') granted.approve(workload, world.moment())
  if (word === 'readmit') {
    granted.readmit(workload)
    told.readmit(workload)
  }
  const release = targets?.get(CANARY)
  if (word === 'undo') granted.undone.add(workload)
  if (word === 'undo' && release !== undefined && wasGiven(world, workload, release)) told.withdraw([release])
}

/** Some site was told it by this rollout, and did not have it before. */
function wasGiven({ known }: SimWorld, workload: string, release: string): boolean {
  return SITES.some((site) => {
    const entry = known.site(site).entries.get(workload)
    return entry?.release === release && !entry.first
  })
}

/** A team looks at what waits for its yes. */
export async function approveWhatWaits(world: SimWorld): Promise<void> {
  const api = world.hub.hub?.api
  if (api === undefined) return
  for (const workload of ['web', 'b']) {
    try {
      const { waiting } = await api.rollout(workload)
      if (waiting?.reason === 'ApprovalNeeded') await say(world, 'approve', { workload, site: CANARY, untilMs: 0 })
    } catch {
      // There is none, or the hub died of the question.
    }
  }
}

/** After a restore: somebody sees what the hub says of its sites. */
export async function recoverHub(world: SimWorld): Promise<void> {
  await say(world, 'recover', { workload: 'web', site: CANARY, untilMs: 0 })
}
