/** A Slurm batch script to a BatchJob document: what its #SBATCH lines ask for, or why that cannot be had here. */
import type { JsonObject } from '../model/json.ts'
import { formatDuration } from '../calendar/duration.ts'
import { parseArray } from './arrays.ts'
import { type Gathering, type Parsed, refuse } from './fields.ts'
import { parseBatchJob } from './parse.ts'
import { slurmEnv } from './sbatch-env.ts'
import { sortOut } from './sbatch-known.ts'
import { readOptions, readScript } from './sbatch-options.ts'
import { placesOf } from './sbatch-places.ts'
import { sizesOf } from './sbatch-sizes.ts'
import { readLimit, readMoment } from './slurm-time.ts'
import { BEGIN_ANNOTATION } from './types.ts'

export interface SbatchSite {
  readonly nowMs: number
  readonly timeZone: string
  /** For scripts that name none. */
  readonly queue: string
  /** Image for scripts that name none with --container-image; without it such a script is refused. */
  readonly image?: string
  readonly namespace?: string
  readonly targets: JsonObject['targets']
  /** Name for scripts that say none: Slurm takes the script's file name. */
  readonly name: string
  /** Words after `sbatch` and before the script: they win over its lines. */
  readonly options?: readonly string[]
  /** Words after the script: its own arguments. */
  readonly args?: readonly string[]
  /** The name that it gets in the end, where another job has the one it asks for. */
  readonly as?: string
  readonly gpuResource?: string
}

export interface Sbatch {
  readonly document: JsonObject
  /** Options that were taken and change nothing here, each with what to do instead. */
  readonly notes: readonly string[]
  /** `--hold`: it is not to start before somebody lets it go. */
  readonly held: boolean
  /** `--test-only`: say when it would start, and nothing else. */
  readonly testOnly: boolean
}

/** A script travels inside each pod. */
const MAX_SCRIPT = 65_536

export function parseSbatch(script: string, site: SbatchSite): Parsed<Sbatch> {
  const into: Gathering = { refused: [] }
  if (script.length > MAX_SCRIPT) refuse(into, 'script', `is longer than ${MAX_SCRIPT} characters`)
  const options = readScript(into, script)
  const line = readOptions(into, site.options ?? [], 'command line')
  for (const [name, value] of line.options) options.set(name, value)
  const notes = sortOut(into, options)
  const name = site.as ?? nameOf(into, options.get('job-name') ?? site.name)
  const spec: JsonObject = {
    targets: site.targets,
    queue: queueOf(into, options.get('partition'), site.queue),
    ...(site.namespace === undefined ? {} : { namespace: site.namespace }),
    ...times(into, options, site),
    ...arrayOf(into, options.get('array')),
    ...dependencyOf(into, options.get('dependency')),
    preemptible: options.has('requeue') && !options.has('no-requeue'),
    tasks: [taskOf(into, script, options, site, name, notes)],
  }
  const begin = options.get('begin')
  const beginMs = begin === undefined ? undefined : readMoment(begin, site.nowMs, site.timeZone)
  if (begin !== undefined && beginMs === undefined) refuse(into, '--begin', `"${begin}" is no time that is known`)
  const annotations = {
    ...(options.has('comment') ? { 'flotilla.dev/comment': options.get('comment') ?? '' } : {}),
    ...(beginMs === undefined ? {} : { [BEGIN_ANNOTATION]: new Date(beginMs).toISOString() }),
  }
  const metadata = { name, ...(Object.keys(annotations).length === 0 ? {} : { annotations }) }
  const document = { apiVersion: 'flotilla.dev/v1alpha1', kind: 'BatchJob', metadata, spec }
  // What a BatchJob may not say, a script may not either.
  const job = into.refused.length === 0 ? parseBatchJob(document) : undefined
  if (job?.ok === false) into.refused.push(...job.refused)
  if (into.refused.length > 0) return { ok: false, refused: into.refused }
  return { ok: true, value: { document, notes, held: options.has('hold'), testOnly: options.has('test-only') } }
}

/** Slurm takes any name; ours are names of pods as well. */
function nameOf(into: Gathering, text: string): string {
  const name = text
    .toLowerCase()
    .replace(/\.(?:sh|bash|sbatch|slurm|batch)$/, '')
    .replaceAll(/[^a-z0-9-]+/g, '-')
    .replaceAll(/^-+|-+$/g, '')
  if (name === '') refuse(into, '--job-name', `"${text}" has no letter or digit`)
  return name
}

function queueOf(into: Gathering, partition: string | undefined, queue: string): string {
  if (partition?.includes(',') === true) refuse(into, '--partition', 'names several; a job goes to one queue')
  return partition ?? queue
}

function times(into: Gathering, options: ReadonlyMap<string, string>, site: SbatchSite): JsonObject {
  const limit = options.get('time')
  const ms = limit === undefined ? null : readLimit(limit)
  if (ms === undefined) refuse(into, '--time', `"${limit}" is none of minutes, M:S, H:M:S, D-H, D-H:M, D-H:M:S`)
  const deadline = options.get('deadline')
  const atMs = deadline === undefined ? undefined : readMoment(deadline, site.nowMs, site.timeZone)
  if (deadline !== undefined && atMs === undefined) refuse(into, '--deadline', `"${deadline}" is no time that is known`)
  return {
    ...(ms === null || ms === undefined ? {} : { timeLimit: formatDuration(ms) }),
    ...(atMs === undefined ? {} : { deadline: new Date(atMs).toISOString() }),
  }
}

function arrayOf(into: Gathering, text: string | undefined): JsonObject {
  if (text === undefined) return {}
  const parsed = parseArray(text)
  if (!parsed.ok) refuse(into, '--array', parsed.because)
  const [range = ''] = text.split('%')
  const maxParallel = parsed.ok ? parsed.array.maxParallel : null
  return { array: { range, ...(maxParallel === null ? {} : { maxParallel }) } }
}

/** `afterok:a:b,singleton`; our ids are names. */
function dependencyOf(into: Gathering, text: string | undefined): JsonObject {
  if (text === undefined) return {}
  const path = '--dependency'
  if (text.includes('?')) refuse(into, path, 'with ? any of them would do; here all must hold')
  const dependency = text.split(',').flatMap((part): readonly JsonObject[] => {
    const [kind = '', ...jobs] = part.trim().split(':')
    if (kind === 'singleton') return [{ singleton: true }]
    if (kind !== 'afterok' && kind !== 'afterany' && kind !== 'afternotok') {
      if (!text.includes('?'))
        refuse(into, path, `"${kind}" is not taken; there are afterok, afterany, afternotok and singleton`)
      return []
    }
    if (jobs.length === 0 || jobs.some((job) => !/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(job)))
      refuse(into, path, `"${part}" must name jobs, as ${kind}:first:second`)
    return [{ [kind]: jobs }]
  })
  return { dependency }
}

function taskOf(
  into: Gathering,
  script: string,
  options: ReadonlyMap<string, string>,
  site: SbatchSite,
  job: string,
  notes: string[],
): JsonObject {
  const image = options.get('container-image') ?? site.image
  if (image === undefined || image === '') refuse(into, '--container-image', 'is needed: a script runs in an image')
  const sizes = sizesOf(into, options, site.gpuResource ?? 'nvidia.com/gpu')
  const chdir = options.get('chdir')
  const env = exportOf(into, options.get('export'))
  const graceSeconds = /@(\d{1,5})$/.exec(options.get('signal') ?? '')?.[1]
  const container: JsonObject = {
    name: 'main',
    image: image ?? '',
    command: commandOf(into, script),
    args: ['-c', escaped(script), job, ...(site.args ?? []).map(escaped)],
    ...(chdir === undefined ? {} : { workingDir: chdir }),
    env: slurmEnv(options, sizes, { job, queue: options.get('partition') ?? site.queue }, env),
    resources: sizes.resources,
  }
  const podSpec = {
    restartPolicy: 'Never',
    ...placesOf(into, options, sizes, job, notes),
    ...(graceSeconds === undefined ? {} : { terminationGracePeriodSeconds: Number(graceSeconds) }),
    containers: [container],
  }
  return { name: 'main', replicas: sizes.tasks, template: { spec: podSpec } }
}

/** Kubernetes replaces $(NAME) in commands and takes $$ for $: every $ is doubled, and the shell sees the script as written. */
function escaped(text: string): string {
  return text.replaceAll('$', '$$$$')
}

const SHELLS = new Set(['sh', 'bash', 'dash', 'ksh', 'zsh', 'ash', 'python', 'python3'])

/** The script's own interpreter, which must take it after -c. */
function commandOf(into: Gathering, script: string): readonly string[] {
  const words = /^#!\s*(\S.*)$/m
    .exec(script.split('\n', 1)[0] ?? '')?.[1]
    ?.trim()
    .split(/\s+/)
  if (words === undefined) {
    refuse(into, 'line 1', 'must say what runs the script, as #!/bin/sh')
    return []
  }
  const program =
    (words[0]?.endsWith('/env') === true ? words.slice(1).find((word) => !word.startsWith('-')) : words[0]) ?? ''
  if (!SHELLS.has(program.slice(program.lastIndexOf('/') + 1)))
    refuse(into, 'line 1', `${program} is not taken; there are ${[...SHELLS].join(', ')}`)
  return words
}

/** Values are carried; names alone would need the submitter's environment. */
function exportOf(into: Gathering, text: string | undefined): readonly JsonObject[] {
  if (text === undefined || /^(?:ALL|NONE|NIL)$/i.test(text)) return []
  return text.split(',').flatMap((part) => {
    if (/^(?:ALL|NONE|NIL)$/i.test(part)) return []
    const match = /^([A-Za-z_]\w*)=(.*)$/s.exec(part)
    if (match === null) refuse(into, '--export', `${part} has no value; write ${part}=value`)
    return match === null ? [] : [{ name: match[1] ?? '', value: match[2] ?? '' }]
  })
}
