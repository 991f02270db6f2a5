/** A planned pod as a manifest, and the objects that a job needs beside its pods. The same input gives the same manifest. */
import { isObject, type Json, type JsonObject } from '../model/json.ts'
import type { Manifest } from '../model/object.ts'
import { listOf, objectOf, textMapOf, textOf } from './fields.ts'
import { hostsOf } from './hosts.ts'
import { envNameOf, type Gift, giftsOf, hostfileOf, hostsMapName } from './plugins.ts'
import { readFlags } from './plugin-options.ts'
import { type BatchJobSpec, type JobRecord, POD_ANNOTATIONS, POD_LABELS, type PodPlan } from './types.ts'

/** Annotations and the scheduler's name by which the local scheduler knows its own. */
const SCHEDULER = 'flotilla'
const QUEUE = 'flotilla.dev/queue'
const PREEMPTIBLE = 'flotilla.dev/preemptible'

export function podManifest(spec: BatchJobSpec, record: JobRecord, plan: PodPlan): Manifest {
  const template = spec.tasks.find((task) => task.name === plan.task)?.template ?? {}
  const metadata = objectOf(template['metadata'])
  const marks = { [POD_LABELS.job]: spec.name, [POD_LABELS.task]: plan.task }
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: plan.name,
      namespace: spec.namespace,
      labels: { ...textMapOf(metadata['labels']), ...marks, [POD_LABELS.index]: String(plan.index) },
      annotations: {
        ...textMapOf(metadata['annotations']),
        ...marks,
        [QUEUE]: spec.queue,
        [PREEMPTIBLE]: String(spec.preemptible),
        [POD_ANNOTATIONS.uid]: record.uid,
        [POD_ANNOTATIONS.version]: String(plan.version),
      },
    },
    spec: podSpec(spec, objectOf(template['spec']), plan),
  }
}

function podSpec(spec: BatchJobSpec, written: JsonObject, plan: PodPlan): JsonObject {
  const gifts = giftsOf(spec, plan)
  const volumes = gifts.flatMap((gift) => gift.mounts.map(volumeOf))
  const names = spec.plugins.svc === undefined ? {} : { hostname: plan.name, subdomain: spec.name }
  return {
    restartPolicy: 'Never',
    schedulerName: SCHEDULER,
    ...(spec.priorityClassName === null ? {} : { priorityClassName: spec.priorityClassName }),
    ...names,
    ...(spec.plugins.tensorflow === undefined ? {} : { affinity: besideTheOthers(spec) }),
    ...written,
    containers: listOf(written['containers']).map((container) => withGifts(container, gifts, 'ports')),
    ...(written['initContainers'] === undefined
      ? {}
      : {
          initContainers: listOf(written['initContainers']).map((container) => withGifts(container, gifts, 'no ports')),
        }),
    ...(volumes.length === 0 ? {} : { volumes: [...listOf(written['volumes']), ...volumes] }),
  }
}

/** Parameter servers and workers talk without end: on one node where they fit. A template's own affinity stands. */
function besideTheOthers({ name }: BatchJobSpec): JsonObject {
  const podAffinityTerm = {
    topologyKey: 'kubernetes.io/hostname',
    labelSelector: { matchLabels: { [POD_LABELS.job]: name } },
  }
  return { podAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 100, podAffinityTerm }] } }
}

function volumeOf({ name, configMap, items }: Gift['mounts'][number]): JsonObject {
  return { name, configMap: { name: configMap, ...(items === undefined ? {} : { items }) } }
}

function withGifts(container: Json, gifts: readonly Gift[], mode: 'ports' | 'no ports'): Json {
  if (!isObject(container)) return container
  const own = listOf(container['env']).filter(isObject)
  const taken = new Set(own.map((one) => textOf(one['name'])))
  const env = gifts.flatMap((gift) => gift.env).filter((one) => !taken.has(one.name))
  const mounts = gifts.flatMap((gift) =>
    gift.mounts.map(({ name, path }) => ({ name, mountPath: path, readOnly: true })),
  )
  const open = listOf(container['ports']).filter(isObject)
  const ports = gifts
    .flatMap((gift) => gift.ports)
    .filter((port) => !open.some((one) => one['containerPort'] === port.containerPort))
  return {
    ...container,
    ...(env.length === 0 ? {} : { env: [...own, ...env] }),
    ...(mounts.length === 0 ? {} : { volumeMounts: [...listOf(container['volumeMounts']), ...mounts] }),
    ...(ports.length === 0 || mode === 'no ports' ? {} : { ports: [...open, ...ports.map((port) => ({ ...port }))] }),
  }
}

/** Made before the first pod, deleted with the record: the headless Service and the list of hosts. Empty without svc. */
export function jobObjects(spec: BatchJobSpec, record: JobRecord): readonly Manifest[] {
  const options = spec.plugins.svc
  if (options === undefined) return []
  const flags = readFlags(options)
  const about = (name: string) => ({
    name,
    namespace: spec.namespace,
    labels: { [POD_LABELS.job]: spec.name },
    annotations: { [POD_ANNOTATIONS.uid]: record.uid },
  })
  return [
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: about(hostsMapName(spec)), data: hostLists(spec) },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: about(spec.name),
      spec: {
        clusterIP: 'None',
        selector: { [POD_LABELS.job]: spec.name },
        // Pods of a gang look for each other while they start.
        publishNotReadyAddresses: flags.get('publish-not-ready-addresses') !== 'false',
      },
    },
  ]
}

function hostLists(spec: BatchJobSpec): Readonly<Record<string, string>> {
  const lists: Record<string, string> = {}
  for (const task of spec.tasks) {
    const hosts = hostsOf(spec, task)
    lists[`${task.name.replaceAll('-', '_')}.host`] = hosts.join('\n')
    lists[`VC_${envNameOf(task.name)}_HOSTS`] = hosts.join(',')
    lists[`VC_${envNameOf(task.name)}_NUM`] = String(hosts.length)
  }
  const hostfile = hostfileOf(spec)
  return hostfile === undefined ? lists : { ...lists, hostfile }
}
