/**
 * BatchQueue, BatchJob and CronBatchJob as workloads of one object each, so that they have targets, rollouts, holds, rights and
 * releases as everything that a site gets (ADR 0010). What the batch room would refuse at a site is said here, with its place.
 */
import { dependencyCircles } from '../batch/dependencies.ts'
import { parseCronBatchJob } from '../batch/cron.ts'
import type { Parsed, Refusal } from '../batch/fields.ts'
import { parseBatchJob } from '../batch/parse.ts'
import { parseBatchQueue } from '../batch/queue.ts'
import {
  batchWorkloadName,
  DEFAULT_QUEUE,
  isBatchKind,
  TIME_ZONE_ANNOTATION,
  type BatchKind,
} from '../batch/release.ts'
import type { BatchJobSpec } from '../batch/types.ts'
import { isObject, type JsonObject } from '../model/json.ts'
import type { Problem } from '../model/problem.ts'
import type { ReleaseRules } from '../model/release.ts'
import type { LabelSelector } from '../model/selector.ts'
import type { OurDocument } from './documents.ts'
import type { Fleet, Overlay, Team, Workload } from './types.ts'
import type { Path } from './yaml-text.ts'

interface Held {
  readonly workload: string
  readonly problem: Problem
}

interface BatchSpec extends JsonObject {
  readonly targets?: readonly { readonly selector: JsonObject; readonly allowEmpty?: boolean }[]
  readonly rollout?: string
  readonly queue?: string
  readonly parent?: string
  readonly namespace?: string
  readonly jobTemplate?: { readonly spec?: { readonly queue?: string; readonly namespace?: string } }
}

const RULES: Omit<ReleaseRules, 'drift'> = {
  prune: 'on',
  pruneFirst: [],
  pruneConfirm: [],
  adopt: 'never',
  replace: 'never',
  healthChecks: [],
  suspend: false,
  formerNames: [],
}

/** What the batch room refuses of each document, and jobs that wait for each other in a circle. */
export function batchHolds(documents: readonly OurDocument[]): readonly Held[] {
  const held: Held[] = []
  const jobs = new Map<string, { readonly document: OurDocument; readonly spec: BatchJobSpec }>()
  for (const document of documents) {
    if (!isBatchKind(document.kind)) continue
    const read = parsedAs(document.kind, document.value)
    if (!read.ok) held.push(...read.refused.map((refusal) => refused(document, refusal)))
    else if (document.kind === 'BatchJob') {
      const spec = read.value as BatchJobSpec
      jobs.set(`${spec.namespace}/${spec.name}`, { document, spec })
    }
  }
  for (const [key, circle] of dependencyCircles([...jobs.values()].map(({ spec }) => spec))) {
    const document = jobs.get(key)?.document
    if (document === undefined) continue
    const problem: Problem = {
      code: 'FLT2104',
      severity: 'error',
      place: document.at(['spec', 'dependency'], 'key'),
      path: 'spec.dependency',
      message: `${document.name}: ${circle}`,
      next: 'Remove one of the dependencies.',
    }
    held.push({ workload: batchWorkloadName('BatchJob', document.name), problem })
  }
  return held
}

function parsedAs(kind: BatchKind, value: JsonObject): Parsed<unknown> {
  if (kind === 'BatchQueue') return parseBatchQueue(value)
  return kind === 'BatchJob' ? parseBatchJob(value) : parseCronBatchJob(value)
}

function refused(document: OurDocument, { path, because }: Refusal): Held {
  const { kind, name } = document
  const problem: Problem = {
    code: 'FLT2013',
    severity: 'error',
    place: document.at(pathOf(path)),
    path,
    message: `${kind} ${name}: ${path} ${because}`,
    next: 'Correct it: no site could run it as it is.',
  }
  return { workload: batchWorkloadName(kind as BatchKind, name), problem }
}

/** `spec.tasks[0].replicas` as the parts that a document is read by. */
function pathOf(text: string): Path {
  return [...text.matchAll(/[^.[\]]+/g)].map(([part]) => (/^\d+$/.test(part) ? Number(part) : part))
}

export function readBatch(
  document: OurDocument,
  defaults: Fleet['defaults'],
  team: Team | null,
  holds: readonly Held[],
): Workload {
  const kind = document.kind as BatchKind
  const name = batchWorkloadName(kind, document.name)
  const { targets = [], rollout, ...spec } = (document.value['spec'] ?? {}) as BatchSpec
  const namespace = spec.namespace ?? spec.jobTemplate?.spec?.namespace ?? 'default'
  const metadata = isObject(document.value['metadata']) ? document.value['metadata'] : {}
  return {
    name,
    labels: (metadata['labels'] ?? {}) as Workload['labels'],
    source: { path: '' },
    // Who gets it and how it spreads is no part of what it is: a change of either runs nothing again.
    document: {
      apiVersion: document.apiVersion,
      kind,
      metadata: kind === 'BatchQueue' ? metadata : { ...metadata, namespace },
      spec,
    },
    namespace,
    namespaces: [],
    targets: targets.map(({ selector, allowEmpty }, i) => ({
      selector: selector as unknown as LabelSelector,
      allowEmpty: allowEmpty ?? false,
      place: document.at(['spec', 'targets', i]),
    })),
    overlays: [zoned(document)],
    vars: {},
    dependsOn: needs(document, spec),
    rollout: rollout ?? defaults.rollout,
    rules: {
      ...RULES,
      drift: { mode: defaults.drift, ignore: [] },
      ...(team?.serviceAccount == null ? {} : { serviceAccount: team.serviceAccount }),
    },
    confirm: null,
    team: team?.name ?? null,
    formerNames: [],
    holds: holds.filter(({ workload }) => workload === name).map(({ problem }) => problem),
    place: document.place,
  }
}

/** A queue needs its parent, a job its queue: at each site, and there first. */
function needs(document: OurDocument, spec: BatchSpec): Workload['dependsOn'] {
  const [path, queue] =
    document.kind === 'BatchQueue'
      ? [['spec', 'parent'], spec.parent]
      : document.kind === 'BatchJob'
        ? [['spec', 'queue'], spec.queue]
        : [['spec', 'jobTemplate', 'spec', 'queue'], spec.jobTemplate?.spec?.queue]
  if (queue === undefined) return []
  const optional = queue === DEFAULT_QUEUE && document.kind !== 'BatchQueue'
  return [{ name: batchWorkloadName('BatchQueue', queue), optional, place: document.at(path) }]
}

/** Wall times are the site's own, and a site is told its zone by nothing else. */
function zoned(document: OurDocument): Overlay {
  const annotations = { [TIME_ZONE_ANNOTATION]: '${{ site.location.timeZone }}' }
  const place = document.place
  return {
    name: 'time-zone',
    when: null,
    patches: [{ target: { kind: document.kind }, patch: { metadata: { annotations } }, place }],
    allowEmpty: false,
    place,
  }
}
