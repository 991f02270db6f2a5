/** BatchJob documents to specs, with defaults, or with all that is wrong said at once. */
import { refuseDnsLabel } from '../kube/names.ts'
import { isObject, type Json, type JsonObject } from '../model/json.ts'
import { parseArray } from './arrays.ts'
import { parseDuration } from '../calendar/duration.ts'
import {
  countOf, durationOf, type Gathering, listOf, objectOf, type Parsed, refuse, textMapOf, textOf, textsOf,
} from './fields.ts' // prettier-ignore
import { parsePolicies } from './parse-policies.ts'
import { parseTasks } from './parse-tasks.ts'
import { parsePlugins } from './plugin-options.ts'
import {
  type ArraySpec, BATCH_LIMITS, BEGIN_ANNOTATION, type BatchJobSpec, type Deadline, DEFAULT_GANG_TIMEOUT_MS, DEFAULT_MAX_RETRY,
  type DependencyKind, type JobDependencies, type TaskSpec,
} from './types.ts' // prettier-ignore

/** A pod's name is its host name as well. */
const MAX_HOST_NAME = 63

export interface JobIdentity {
  readonly name: string
  readonly group: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
}

export function parseBatchJob(document: JsonObject): Parsed<BatchJobSpec> {
  const metadata = objectOf(document['metadata'])
  const name = textOf(metadata['name']) ?? ''
  return parseJobSpec(objectOf(document['spec']), {
    name,
    group: name,
    labels: textMapOf(metadata['labels']),
    annotations: textMapOf(metadata['annotations']),
  })
}

/** The part that BatchJob and a CronBatchJob's jobTemplate share. */
export function parseJobSpec(spec: JsonObject, who: JobIdentity, at = 'spec'): Parsed<BatchJobSpec> {
  const into: Gathering = { refused: [] }
  const badName = refuseDnsLabel(who.name)
  if (badName !== undefined) refuse(into, 'metadata.name', `"${who.name}" ${badName}`)
  const array = arrayOf(into, spec['array'], `${at}.array`)
  const tasks = arrayTasks(into, parseTasks(into, spec['tasks'], `${at}.tasks`), array, `${at}.tasks`)
  const total = totalReplicas(tasks)
  const minAvailable = minAvailableOf(into, spec, tasks, array, at)
  const minSuccess = countOf(into, spec['minSuccess'], `${at}.minSuccess`, 1) ?? null
  if (minSuccess !== null && minSuccess > total)
    refuse(into, `${at}.minSuccess`, `${minSuccess} is above the number of pods, ${total}: it would never be reached`)
  const plugins = parsePlugins(into, spec['plugins'], tasks, `${at}.plugins`)
  refuseLongNames(into, who.name, tasks, array)
  if (plugins.svc !== undefined && !/^[a-z]/.test(who.name))
    refuse(into, 'metadata.name', `"${who.name}" must begin with a letter: with svc it names a Service`)
  const queue = textOf(spec['queue'])
  if (queue === undefined) refuse(into, `${at}.queue`, 'is missing')
  const value: BatchJobSpec = {
    namespace: textOf(spec['namespace']) ?? 'default',
    ...who,
    queue: queue ?? '',
    priorityClassName: textOf(spec['priorityClassName']) ?? null,
    minAvailable,
    minSuccess,
    tasks,
    array,
    dependency: parseDependency(into, spec['dependency'], `${at}.dependency`, who.name),
    policies: parsePolicies(into, spec['policies'], `${at}.policies`),
    timeLimitMs: durationOf(into, spec['timeLimit'], `${at}.timeLimit`) ?? null,
    deadline: deadlineOf(into, spec['deadline'], `${at}.deadline`),
    beginMs: beginOf(into, who.annotations),
    maxRetry: countOf(into, spec['maxRetry'], `${at}.maxRetry`, 0) ?? DEFAULT_MAX_RETRY,
    ttlMs: ttlOf(into, spec['ttlSecondsAfterFinished'], `${at}.ttlSecondsAfterFinished`),
    preemptible: spec['preemptible'] === true,
    gangTimeoutMs: durationOf(into, spec['gangTimeout'], `${at}.gangTimeout`) ?? DEFAULT_GANG_TIMEOUT_MS,
    plugins,
  }
  return into.refused.length > 0 ? { ok: false, refused: into.refused } : { ok: true, value }
}

export function totalReplicas(tasks: readonly TaskSpec[]): number {
  return tasks.reduce((sum, task) => sum + task.replicas, 0)
}

function arrayOf(into: Gathering, value: Json | undefined, path: string): ArraySpec | null {
  if (!isObject(value)) return null
  const maxParallel = countOf(into, value['maxParallel'], `${path}.maxParallel`, 1)
  const parsed = parseArray(textOf(value['range']) ?? '', maxParallel)
  if (parsed.ok) return parsed.array
  refuse(into, `${path}.range`, parsed.because)
  return null
}

/** An array multiplies one task of one pod. Its replicas become the number of elements, each free to start alone. */
function arrayTasks(
  into: Gathering,
  tasks: readonly TaskSpec[],
  array: ArraySpec | null,
  path: string,
): readonly TaskSpec[] {
  if (array === null) return tasks
  if (tasks.length > 1) refuse(into, path, 'an array has one task; tasks that belong together are jobs of their own')
  return tasks.map((task) => {
    if (task.replicas !== 1)
      refuse(into, path, `task ${task.name} has ${task.replicas} replicas; an array element is one pod`)
    return { ...task, replicas: array.indexes.length, minAvailable: Math.min(task.minAvailable, 1) }
  })
}

function minAvailableOf(
  into: Gathering,
  spec: JsonObject,
  tasks: readonly TaskSpec[],
  array: ArraySpec | null,
  at: string,
): number {
  const total = totalReplicas(tasks)
  const written = countOf(into, spec['minAvailable'], `${at}.minAvailable`, 1)
  if (array !== null) {
    if (written !== undefined && written > 1)
      refuse(into, `${at}.minAvailable`, 'an array is no gang: its elements start each for itself')
    return 1
  }
  if (written !== undefined && written > total)
    refuse(into, `${at}.minAvailable`, `${written} is above the number of pods, ${total}: it would never start`)
  return written ?? tasks.reduce((sum, task) => sum + task.minAvailable, 0)
}

function refuseLongNames(into: Gathering, job: string, tasks: readonly TaskSpec[], array: ArraySpec | null): void {
  for (const task of tasks) {
    const longest = `${job}-${task.name}-${array?.indexes.at(-1) ?? task.replicas - 1}`
    if (longest.length > MAX_HOST_NAME)
      refuse(
        into,
        'metadata.name',
        `its pods would be called ${longest}: ${longest.length} characters, ${MAX_HOST_NAME} is the limit`,
      )
  }
}

const KINDS: readonly DependencyKind[] = ['afterok', 'afterany', 'afternotok']

function parseDependency(into: Gathering, value: Json | undefined, path: string, self: string): JobDependencies {
  const after: { kind: DependencyKind; job: string }[] = []
  let singleton = false
  for (const [i, item] of listOf(value).entries()) {
    const written = objectOf(item)
    singleton ||= written['singleton'] === true
    for (const kind of KINDS)
      for (const job of textsOf(written[kind])) {
        if (job === self) refuse(into, `${path}[${i}].${kind}`, `${job} is this job itself: it would wait for ever`)
        after.push({ kind, job })
      }
  }
  if (after.length > BATCH_LIMITS.dependencies)
    refuse(into, path, `names ${after.length} jobs; ${BATCH_LIMITS.dependencies} is the limit`)
  return { after, singleton }
}

function beginOf(into: Gathering, annotations: JobIdentity['annotations']): number | null {
  const text = annotations[BEGIN_ANNOTATION]
  if (text === undefined) return null
  const atMs = MOMENT.test(text) ? Date.parse(text) : NaN
  if (!Number.isNaN(atMs)) return atMs
  refuse(into, `metadata.annotations.${BEGIN_ANNOTATION}`, `"${text}" is no moment`)
  return null
}

/** 0 is allowed: gone as soon as it is over. */
function ttlOf(into: Gathering, value: Json | undefined, path: string): number | null {
  const seconds = countOf(into, value, path, 0)
  return seconds === undefined ? null : seconds * 1_000
}

const WALL = /^([01]?\d|2[0-3]):([0-5]\d)$/
const MOMENT = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?(Z|[+-]\d{2}:\d{2}))?$/

function deadlineOf(into: Gathering, value: Json | undefined, path: string): Deadline | null {
  const text = textOf(value)
  if (text === undefined) return null
  const wall = WALL.exec(text)
  if (wall !== null) return { is: 'wall', hour: Number(wall[1]), minute: Number(wall[2]) }
  const atMs = MOMENT.test(text) ? Date.parse(text) : NaN
  if (!Number.isNaN(atMs)) return { is: 'moment', atMs }
  const ms = parseDuration(text)
  if (ms !== undefined) return { is: 'after', ms }
  refuse(into, path, `"${text}" is no time of day (05:00), no moment (2026-12-24T06:00:00Z) and no duration (6h)`)
  return null
}
