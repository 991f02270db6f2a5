/** Past use of queues, forgotten by half in a given time. */
import type { World } from './world.ts'

/** Adds what each queue held since the last time, and lets the older part fade. Units: amount x half-lives. */
export function rememberUse(world: World, halfLifeMs: number, nowMs: number): void {
  if (halfLifeMs <= 0) return
  const { queueHeld, dimensions } = world.state
  for (const queue of world.queues) {
    if (queue === null) continue
    if (queue.usage.length < dimensions.size) {
      const larger = new Float64Array(dimensions.size)
      larger.set(queue.usage)
      queue.usage = larger
    }
    const passed = queue.usageAtMs === 0 ? 0 : Math.max(0, nowMs - queue.usageAtMs)
    const kept = 2 ** (-passed / halfLifeMs)
    for (let dim = 0; dim < dimensions.size; dim++)
      queue.usage[dim] =
        (queue.usage[dim] as number) * kept + ((queueHeld[dim] as Float64Array)[queue.row] as number) * (1 - kept)
    queue.usageAtMs = nowMs
  }
}
