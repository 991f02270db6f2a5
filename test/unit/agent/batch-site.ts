/** A site with batch documents: the agent's own loops on a virtual clock, pods played by the simulated cluster's scheduler and kubelet. */
import type { JsonObject } from '../../../src/core/model/json.ts'
import type { Manifest } from '../../../src/core/model/object.ts'
import type { HubLink } from '../../../src/core/protocol/ports.ts'
import { createSite, SIGNAL, type Site, type SiteOptions, type Told } from './site.ts'

const ZONE = { 'flotilla.dev/time-zone': 'Europe/Copenhagen' }

export function task(name: string, replicas = 1, image = 'task:1', more: JsonObject = {}): JsonObject {
  // The simulated cluster's own scheduler places it.
  const spec = { schedulerName: 'default-scheduler', containers: [{ name: 'main', image }] }
  return { name, replicas, template: { spec }, ...more }
}

export function batchJob(name: string, spec: JsonObject = {}): Manifest {
  return {
    apiVersion: 'flotilla.dev/v1alpha1',
    kind: 'BatchJob',
    metadata: { name, namespace: 'shop', annotations: ZONE },
    spec: { namespace: 'shop', queue: 'default', tasks: [task('main')], ...spec },
  }
}

export function queue(name: string, spec: JsonObject = {}): Manifest {
  return { apiVersion: 'flotilla.dev/v1alpha1', kind: 'BatchQueue', metadata: { name, annotations: ZONE }, spec }
}

export function cron(name: string, schedule: string, spec: JsonObject = {}, job: JsonObject = {}): Manifest {
  return {
    apiVersion: 'flotilla.dev/v1alpha1',
    kind: 'CronBatchJob',
    metadata: { name, namespace: 'shop', annotations: ZONE },
    spec: { schedule, jobTemplate: { spec: { namespace: 'shop', queue: 'default', tasks: [task('main')], ...job } }, ...spec }, // prettier-ignore
  }
}

/** Each as the workload that a render makes of it. */
export function told(...objects: readonly Manifest[]): Readonly<Record<string, Told>> {
  return Object.fromEntries(
    objects.map((object) => [`${object.kind.toLowerCase()}.${object.metadata.name}`, { objects: [object] }]),
  )
}

export interface BatchSite extends Site {
  publish(...objects: readonly Manifest[]): Promise<void>
  /** Lets the agent's loops run for so long. */
  pass(ms: number): Promise<void>
  /** Every pod that was ever made, by name, oldest first. */
  readonly made: readonly string[]
  pods(): Promise<readonly string[]>
  health(workload: string): string
}

export function batchSite(options: SiteOptions = {}): BatchSite {
  const made: string[] = []
  const site = createSite({
    ...options,
    clusterOf: (cluster) => {
      const given = options.clusterOf?.(cluster) ?? cluster
      return new Proxy(given, {
        get(object, name) {
          const value: unknown = Reflect.get(object, name)
          if (typeof value !== 'function') return value
          return (...args: unknown[]) => {
            const [manifest] = args as [Manifest]
            const result: unknown = (value as (...all: unknown[]) => unknown).apply(object, args)
            if (name !== 'create' || manifest.kind !== 'Pod') return result
            return (result as Promise<Manifest>).then((pod) => {
              made.push(pod.metadata.name)
              return pod
            })
          }
        },
      })
    },
  })
  const restart = site.restart.bind(site)
  let stop: AbortController | undefined
  return Object.assign(site, {
    made,
    async publish(...objects: readonly Manifest[]) {
      site.hub.publish(told(...objects))
      await site.agent.exchange(SIGNAL)
    },
    async pass(ms: number) {
      if (stop === undefined) {
        stop = new AbortController()
        void site.agent.run(stop.signal).catch(() => undefined)
      }
      await site.clock.advance(ms)
    },
    restart(link?: HubLink | null) {
      stop?.abort()
      stop = undefined
      restart(link)
    },
    async pods() {
      const { items } = await site.cluster.list({ apiVersion: 'v1', kind: 'Pod', namespace: 'shop' }, SIGNAL)
      return items.map(({ metadata, status }) => `${metadata.name} ${(status as { readonly phase: string }).phase}`)
    },
    health(workload: string) {
      const seen = site.agent.status().workloads.find((it) => it.workload === workload)
      const waiting = seen?.waiting === undefined ? '' : ` ${seen.waiting.reason}(${seen.waiting.detail ?? ''})`
      return `${seen?.sync ?? 'none'} ${seen?.health ?? 'none'}${waiting}`
    },
  })
}
