import { expect, test } from 'vitest'
import { explainJob } from '../../../src/core/batch/explain.ts'
import { beginJob } from '../../../src/core/batch/record.ts'
import { jobSpec, START_MS } from './site.ts'

const pending = beginJob(jobSpec(), { uid: 'u1', createdMs: START_MS, timeZone: 'UTC' })
const wait = { reason: 'Capacity', detail: '0 of 1 pods run; the others wait for a place' } as const

test.each([
  [
    'a job that waits says for what',
    explainJob(pending, wait),
    'Pending: Capacity(0 of 1 pods run; the others wait for a place)',
  ],
  [
    'the scheduler knows better which node has too little',
    explainJob(pending, wait, { reason: 'Fit', message: 'memory short by 1.2Gi on 3 nodes' } as never),
    'Pending: Capacity(memory short by 1.2Gi on 3 nodes)',
  ],
  ['one that runs says so', explainJob({ ...pending, phase: 'Running' }, null), 'Running'],
  [
    'one that is over says why',
    explainJob({ ...pending, phase: 'Failed', because: { says: 'its time limit of 1h is over' } } as never, null),
    'Failed: its time limit of 1h is over',
  ],
])('%s', (_name, said, expected) => {
  expect(said).toBe(expected)
})
