/** What `kubectl get events` and `kubectl describe pod` say of a step of a job: about the job, and about pods that it ends. */
import type { Because, JobPhase, JobRecord, PodDelete, PodPlan } from './types.ts'

export interface JobSaid {
  readonly type: 'Normal' | 'Warning'
  /** One word, as Kubernetes' own controllers have them. */
  readonly reason: string
  readonly message: string
  /** The pod that it is about; absent: the job. */
  readonly pod?: Pick<PodDelete, 'name' | 'uid'>
}

export interface SaidStep {
  readonly before: JobRecord
  readonly after: JobRecord
  readonly create: readonly PodPlan[]
  readonly delete: readonly PodDelete[]
  readonly notes: readonly string[]
}

/** So many pods are named in one event, and told of in one step. */
const MOST_NAMES = 10
const MOST_PODS = 50

const PHASE: Readonly<Partial<Record<JobPhase, Pick<JobSaid, 'type' | 'reason'>>>> = {
  Running: { type: 'Normal', reason: 'Started' },
  Aborted: { type: 'Normal', reason: 'Suspended' },
  Completed: { type: 'Normal', reason: 'Completed' },
  Failed: { type: 'Warning', reason: 'Failed' },
}

export function saidOf({ before, after, create, delete: gone, notes }: SaidStep): readonly JobSaid[] {
  const said: JobSaid[] = []
  // What was taken away, as sentences; the way through the phases is told by where it led.
  for (const note of notes.filter((text) => !text.includes(' -> ')).slice(0, MOST_PODS))
    said.push({ type: 'Warning', reason: 'Requeued', message: note })
  if (after.version > before.version)
    said.push({ type: 'Warning', reason: 'Restarted', message: saysOf(after.because, 'all of it is made anew') })
  if (after.phase !== before.phase) {
    const ended = endedText(after)
    if (ended !== undefined) said.push(ended)
  }
  if (create.length > 0) said.push({ type: 'Normal', reason: 'SuccessfulCreate', message: createdText(create) })
  for (const { name, uid, because } of gone.slice(0, MOST_PODS))
    said.push({ type: 'Normal', reason: 'Stopped', message: because, pod: { name, uid } })
  return said
}

function endedText({ phase, because }: JobRecord): JobSaid | undefined {
  if (phase === 'Terminated') {
    const isAsked = because?.cause === 'Cancelled'
    return { type: isAsked ? 'Normal' : 'Warning', reason: isAsked ? 'Cancelled' : (because?.cause ?? 'Terminated'), message: saysOf(because, 'it was ended') } // prettier-ignore
  }
  const known = PHASE[phase]
  return known === undefined
    ? undefined
    : { ...known, message: saysOf(because, phase === 'Running' ? 'its pods run' : `it is ${phase}`) }
}

function saysOf(because: Because | null, otherwise: string): string {
  return because === null ? otherwise : because.says
}

function createdText(create: readonly PodPlan[]): string {
  const names = create.slice(0, MOST_NAMES).map(({ name }) => name)
  const more = create.length - names.length
  const list = `${names.join(', ')}${more > 0 ? ` and ${more} more` : ''}`
  return create.length === 1 ? `Created pod: ${list}` : `Created ${create.length} pods: ${list}`
}
