/** Where a pod is in its life, as the scheduler counts it. */
export const PENDING = 0
export const ALLOCATED = 1
export const PIPELINED = 2
export const BINDING = 3
export const BOUND = 4
export const RUNNING = 5
export const RELEASING = 6
export const SUCCEEDED = 7
export const FAILED = 8
/** Cannot be scheduled as it is written. */
export const INVALID = 9
export const STATUSES = 10

/** Holds a place and what it asked for, and will keep it. */
export function isAllocated(status: number): boolean {
  return status === ALLOCATED || (status >= BINDING && status <= RUNNING)
}

/** Counts for its job and its queue: it has its place, or was promised one. */
export function isHeld(status: number): boolean {
  return isAllocated(status) || status === PIPELINED
}

/** Takes room on its node now. */
export function isOnNode(status: number): boolean {
  return status === ALLOCATED || (status >= BINDING && status <= RELEASING)
}
