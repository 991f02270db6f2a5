/** Small rules about jobs and queues as records. */
import { ROOT_QUEUE, type Queue } from './ledger.ts'

export function jobKey(namespace: string, name: string): string {
  return `${namespace}/${name}`
}

/** Sets parents, ancestors and children. A queue whose parents run in a circle, or whose parent is not there, says so and takes no jobs. */
export function queueShape(queues: readonly (Queue | null)[], rows: ReadonlyMap<string, number>): void {
  const root = rows.get(ROOT_QUEUE) ?? -1
  for (const queue of queues) {
    if (queue === null) continue
    queue.children = []
    queue.problem = queue.unreadable
    const { parent } = queue.input
    if (queue.row === root) queue.parent = -1
    else if (parent === undefined || parent === '') queue.parent = root
    else {
      queue.parent = rows.get(parent) ?? -1
      if (queue.parent < 0) queue.problem = `its parent ${parent} does not exist`
    }
  }
  for (const queue of queues) {
    if (queue === null) continue
    queue.ancestors = []
    const seen = new Set([queue.row])
    for (let row = queue.parent; row >= 0; row = (queues[row] as Queue).parent) {
      if (seen.has(row)) {
        queue.problem = 'its parents run in a circle'
        break
      }
      seen.add(row)
      queue.ancestors.push(row)
    }
    if (queue.parent >= 0) (queues[queue.parent] as Queue).children.push(queue.row)
  }
}
