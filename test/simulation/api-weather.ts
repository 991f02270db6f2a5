/** A cluster whose API server is slow, overloaded, forgetful, and at times says that there is nothing. */
import type { Cluster } from '../../src/core/kube/cluster.ts'
import { Fault } from '../../src/core/model/fault.ts'
import type { Interference, SimRequest } from '../../src/sim/cluster.ts'

/** One request's fate; `share` of them meet a fault. */
export function mistreat({ verb }: SimRequest, share: number, random: () => number): Interference {
  const draw = share === 0 ? 1 : random()
  if (draw >= share) return undefined
  const which = Math.floor(random() * 5)
  if (which === 0) return { refuse: new Fault('ServerError', 'not now') }
  if (which === 1) return { refuse: new Fault('Throttled', 'slow down', { retryAfterMs: 2_000 }) }
  if (which === 2) return { refuse: new Fault('Unreachable', 'connection refused') }
  if (which === 3 && verb === 'watch') return { refuse: new Fault('WatchExpired', 'too old resource version') }
  return { loseAnswer: new Fault('Timeout', 'no answer') }
}

/** Lists are empty now and then: a cache behind the API server that has not caught up. */
export function forgetful(cluster: Cluster, share: () => number, random: () => number): Cluster {
  const list: Cluster['list'] = async (query, signal) => {
    const found = await cluster.list(query, signal)
    return random() < share() ? { ...found, items: [] } : found
  }
  return new Proxy(cluster, {
    get: (target, name) => {
      if (name === 'list') return list
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
}
