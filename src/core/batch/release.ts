/** How batch documents travel: each is one object of one release. Sites hand them to their batch room and never to the API server. */
import type { ObjectRef } from '../model/object.ts'

export const BATCH_GROUP = 'flotilla.dev'
const KINDS = ['BatchQueue', 'BatchJob', 'CronBatchJob'] as const
export type BatchKind = (typeof KINDS)[number]

/** The IANA name of the site's own zone: the renderer writes it into each document. */
export const TIME_ZONE_ANNOTATION = 'flotilla.dev/time-zone'

/** Every site has it, whether Git says anything of it or not. */
export const DEFAULT_QUEUE = 'default'

export function isBatchKind(kind: string): kind is BatchKind {
  return (KINDS as readonly string[]).includes(kind)
}

export function isBatchRef(ref: Pick<ObjectRef, 'group' | 'kind'>): boolean {
  return ref.group === BATCH_GROUP && isBatchKind(ref.kind)
}

/** `batchjob.nightly`: a dot, so that no Workload can have the name. */
export function batchWorkloadName(kind: BatchKind, name: string): string {
  return `${kind.toLowerCase()}.${name}`
}
