/** A simulated cluster on a virtual clock, with the few words that its tests need. */
import type { JsonObject } from '../../../src/core/model/json.ts'
import { refOf, type Manifest } from '../../../src/core/model/object.ts'
import { VirtualClock } from '../../../src/sim/clock.ts'
import { SimCluster, type SimOptions } from '../../../src/sim/cluster.ts'

export const signal = new AbortController().signal
const APPS: Readonly<Record<string, string>> = {
  Deployment: 'apps/v1',
  StatefulSet: 'apps/v1',
  DaemonSet: 'apps/v1',
  ReplicaSet: 'apps/v1',
  Job: 'batch/v1',
}

export interface Site {
  readonly clock: VirtualClock
  readonly cluster: SimCluster
  apply(manifest: Manifest): Promise<Manifest>
  get(manifest: Manifest): Promise<Manifest | undefined>
  all(kind: string): Promise<readonly Manifest[]>
  remove(manifest: Manifest): Promise<string>
}

export function newSite(options: Partial<SimOptions> = {}): Site {
  const clock = new VirtualClock()
  const cluster = new SimCluster({ clock, seed: 7, ...options })
  return {
    clock,
    cluster,
    apply: (manifest) => cluster.apply(manifest, { fieldManager: 'flotilla', force: true }, signal),
    get: (manifest) => cluster.get(manifest, refOf(manifest), signal),
    all: async (kind) => (await cluster.list({ apiVersion: APPS[kind] ?? 'v1', kind }, signal)).items,
    remove: (manifest) => cluster.delete(manifest, refOf(manifest), {}, signal),
  }
}

export function workload(kind: string, image: string, spec: JsonObject = {}, podSpec: JsonObject = {}): Manifest {
  const template = { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'web', image }], ...podSpec } }
  const selector = kind === 'Job' ? {} : { selector: { matchLabels: { app: 'web' } } }
  return {
    apiVersion: APPS[kind] ?? 'v1',
    kind,
    metadata: { name: 'web', namespace: 'default' },
    spec: { ...selector, template, ...spec },
  }
}

export function status(manifest: Manifest | undefined): JsonObject {
  return (manifest?.['status'] ?? {}) as JsonObject
}

/** `type` to `status reason`. */
export function conditions(manifest: Manifest | undefined): Readonly<Record<string, string>> {
  const list = (status(manifest)['conditions'] ?? []) as readonly JsonObject[]
  return Object.fromEntries(
    list.map((one) => [
      one['type'] as string,
      `${one['status'] as string} ${(one['reason'] as string | undefined) ?? ''}`.trim(),
    ]),
  )
}

/** Why the pod's first container waits, or its state. */
export function containerState(pod: Manifest | undefined): string {
  const first = ((status(pod)['containerStatuses'] ?? []) as readonly JsonObject[])[0]
  const state = (first?.['state'] ?? {}) as Record<string, JsonObject>
  return (state['waiting']?.['reason'] as string | undefined) ?? Object.keys(state)[0] ?? 'none'
}
