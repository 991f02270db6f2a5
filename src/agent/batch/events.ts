/** Events of jobs and of the pods that they end: said once, off the way of what is done, and lost without harm. */
import { BATCH_GROUP } from '../../core/batch/release.ts'
import type { JobSaid } from '../../core/batch/said.ts'
import type { JobRecord } from '../../core/batch/types.ts'
import type { Cluster } from '../../core/kube/cluster.ts'
import { asFault } from '../../core/model/fault.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Logger } from '../../runtime/logger.ts'
import { eventOf } from '../scheduling/events.ts'
import { createLane } from '../scheduling/lane.ts'

const COMPONENT = 'flotilla-batch'
const PARALLEL = 4
/** Whoever makes more than that waits for nobody to read them. */
const MOST_WAITING = 500
const JOB = { apiVersion: `${BATCH_GROUP}/v1alpha1`, kind: 'BatchJob' }

export interface Sayer {
  say(job: JobRecord, said: readonly JobSaid[]): void
  stop(): void
}

export function createSayer(ports: {
  readonly cluster: Cluster
  readonly clock: Clock
  readonly log: Logger
  site(): string
}): Sayer {
  const { cluster, clock, log } = ports
  const stop = new AbortController()
  const lane = createLane<Parameters<typeof eventOf>>(
    () => PARALLEL,
    async (args) => {
      try {
        await cluster.create(eventOf(...args), {}, stop.signal)
      } catch (error) {
        if (!stop.signal.aborted) log.debug({ reason: asFault(error).reason }, 'an event of a job was not written')
      }
    },
  )
  return {
    say(job, said) {
      const { namespace, name, uid } = job
      const by = { component: COMPONENT, instance: `${COMPONENT}-${ports.site()}` }
      for (const { pod, ...one } of said) {
        if (lane.size >= MOST_WAITING) return
        const about = pod === undefined ? { namespace, name, uid, object: JOB } : { namespace, ...pod }
        lane.add([about, { ...one, action: one.reason }, by, clock.nowMs()])
      }
    },
    stop: () => {
      stop.abort()
      lane.clear()
    },
  }
}
