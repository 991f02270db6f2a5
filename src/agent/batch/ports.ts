/** What the batch room of a site tells its scheduler, and what it hears from it. Either side may be absent. */
import type { Placed } from '../../core/batch/slurm-reason.ts'
import type { JobInput, QueueInput } from '../../core/scheduler/types.ts'

/** Jobs that may have pods now, and the site's queues, as the scheduler core takes them. */
export interface BatchSource {
  jobs(): readonly JobInput[]
  queues(): readonly QueueInput[]
  /** Called after either changed; returns how to stop that. */
  onChange(changed: () => void): () => void
}

/** What the scheduler knows of a job that waits, by `namespace/name`. */
export interface PlacementSource {
  waiting(job: string): (Placed & { readonly message: string }) | undefined
  /** When it is expected to start, ms of the site's clock. */
  expectedMs(job: string): number | undefined
}
