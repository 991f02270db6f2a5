/** The minute tick of a process, in UTC. When something is due is decided elsewhere (core/calendar): node-cron loses an hour at clock changes. */
import { schedule } from 'node-cron'

/** Calls `tick` at the start of each UTC minute until disposed; a tick that still runs is not started again. */
export function everyMinute(tick: () => Promise<void>): AsyncDisposable {
  const task = schedule('* * * * *', tick, { timezone: 'UTC', noOverlap: true })
  return {
    async [Symbol.asyncDispose]() {
      await task.destroy()
    },
  }
}
