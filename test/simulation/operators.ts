/** What people say while all this goes on: pause, abort, undo, promote, hold, freeze, and taking it back. */
import type { RolloutVerb } from '../../src/hub/api.ts'
import { ADMIN } from '../unit/hub/rig.ts'
import { CANARY, SITES } from './author.ts'
import { MINUTE, type SimWorld } from './world.ts'

const WORDS = ['pause', 'pause', 'resume', 'resume', 'abort', 'undo', 'promote', 'hold', 'release', 'freeze'] as const

/** One word; a hub that refuses it or dies of it has not been told. */
export async function saySomething(world: SimWorld): Promise<void> {
  const { random, granted, told, known, clock } = world
  const word = WORDS[Math.floor(random() * WORDS.length)]!
  const workload = random() < 0.7 ? 'web' : 'b'
  const site = SITES[Math.floor(random() * SITES.length)]!
  // By their own watch: a hub in another year refuses it.
  const untilMs = world.clock.nowMs() + Math.ceil(random() * 60) * MINUTE
  const targets = known.targets.get(workload)
  const api = world.hub.hub?.api
  if (api === undefined) return
  try {
    if (word === 'hold') await api.hold(ADMIN, site, 'a test', untilMs)
    else if (word === 'release') await api.release(ADMIN, site)
    else if (word === 'freeze') await api.freeze(ADMIN, { selector: null, reason: 'a test', untilMs })
    else await api.command(ADMIN, workload, word satisfies RolloutVerb, { why: 'a test' })
  } catch {
    // Refused, or written by a hub that died of it: nobody can say.
    granted.doubt(workload, site)
    return
  }
  world.say(`operator: ${word} ${workload} ${site}`)
  const nowMs = clock.monotonicMs()
  if (word === 'hold') granted.hold([site], untilMs, nowMs)
  if (word === 'freeze') granted.freeze(SITES, untilMs, nowMs)
  if (word === 'release') granted.release(site)
  if (word === 'pause' || word === 'abort' || word === 'undo') granted.stop(workload, nowMs)
  if (word === 'resume') granted.resume(workload)
  if (word === 'promote') granted.promote(workload)
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
