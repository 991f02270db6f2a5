/** Jobs and queues as the batch room has them, told to the scheduler core where they changed. */
import type { Delta } from '../../core/scheduler/types.ts'
import type { BatchSource } from '../batch/ports.ts'

/** Each call gives what changed since the one before. */
export function batchDeltas(source: BatchSource): () => readonly Delta[] {
  const jobs = new Map<string, { readonly text: string; readonly namespace: string; readonly name: string }>()
  const queues = new Map<string, string>()
  return () => {
    const deltas: Delta[] = []
    const heardQueues = new Set<string>()
    for (const set of source.queues()) {
      heardQueues.add(set.name)
      const text = JSON.stringify(set)
      if (queues.get(set.name) !== text) deltas.push({ kind: 'Queue', set })
      queues.set(set.name, text)
    }
    const heardJobs = new Set<string>()
    for (const set of source.jobs()) {
      const key = `${set.namespace}/${set.name}`
      heardJobs.add(key)
      const text = JSON.stringify(set)
      if (jobs.get(key)?.text !== text) deltas.push({ kind: 'Job', set })
      jobs.set(key, { text, namespace: set.namespace, name: set.name })
    }
    for (const [key, { namespace, name }] of jobs)
      if (!heardJobs.has(key)) {
        jobs.delete(key)
        deltas.push({ kind: 'Job', gone: { namespace, name } })
      }
    for (const name of queues.keys())
      if (!heardQueues.has(name)) {
        queues.delete(name)
        deltas.push({ kind: 'Queue', gone: { name } })
      }
    return deltas
  }
}
