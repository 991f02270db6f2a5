/** A site's process, to be killed: `node child.js DIR LOG STEP before|after` under a parent that holds cluster and hub. */
import type { AgentStore } from '../../../src/agent/ports.ts'
import { VirtualClock } from '../../../src/sim/clock.ts'
import { NOW_MS } from '../../unit/protocol/fixed.ts'
import { IDENTITY } from '../../unit/agent/site.ts'
import { live } from './lives.ts'
import { Steps, type KillAt } from './steps.ts'
import { connect } from './wire.ts'

const [dir = '', log = '', step = '0', when = 'before', sinceMs = '0'] = process.argv.slice(2)
const steps = new Steps(log, { step: Number(step), when: when as KillAt['when'] })
steps.watchDisk()
const clock = new VirtualClock(NOW_MS)
await clock.advance(Number(sinceMs))
const { cluster, link, ...served } = connect(steps)
const signal = new AbortController().signal
const passBoth = async (ms: number): Promise<void> => {
  await served.pass(ms)
  await clock.advance(ms)
}
const world = { dir, cluster, link, clock, signal, pass: passBoth }
const watched = (store: AgentStore): AgentStore => {
  steps.arm()
  return {
    ...store,
    write: (write, outlives) => {
      steps.keeps([...(write.inventory?.keys() ?? []), ...(write.notes?.keys() ?? [])])
      store.write(write, outlives)
    },
  }
}
const lived = await live(world, IDENTITY, { result: 'second', storeOf: watched })
lived.end()
process.disconnect?.()
