import { expect, test } from 'vitest'
import { saidOf } from '../../../src/core/batch/said.ts'
import type { JsonObject } from '../../../src/core/model/json.ts'
import { jobSpec, Site, task } from './site.ts'

/** What was said of the last step, a line each. */
function said(site: Site, act: (site: Site) => Site): readonly string[] {
  const before = site.record
  act(site)
  const step = site.last
  if (step === undefined) throw new Error('no step was made')
  return saidOf({ before, after: step.record, create: step.create, delete: step.delete, notes: step.notes }).map(
    ({ type, reason, message, pod }) => `${type} ${reason} ${pod?.name ?? 'job'}: ${message}`,
  )
}

const of = (spec: JsonObject = {}): Site => new Site(jobSpec(spec))
const RESTART = { policies: [{ event: 'PodFailed', action: 'RestartJob' }] }

test.each<[string, Site, (site: Site) => Site, readonly string[]]>([
  ['its pods are made', of({ tasks: [task('a', 2), task('b', 1)] }), (site) => site.step(), [
    'Normal SuccessfulCreate job: Created 3 pods: train-a-0, train-a-1, train-b-0',
  ]],
  ['it runs', of().step().run(), (site) => site.step(), ['Normal Started job: its pods run']],
  ['it completed', of().started().succeed(), (site) => site.step(), ['Normal Completed job: 1 of 1 succeeded']],
  ['it failed', of().started().fail('train-main-0', 3), (site) => site.step(), [
    'Warning Failed job: 0 of task main succeeded, 1 are needed; train-main-0 failed with exit code 3',
  ]],
  ['it is made anew because a pod failed', of({ tasks: [task('main', 2)], ...RESTART }).started().fail('train-main-0'), (site) => site.step(), [
    'Warning Restarted job: train-main-0 failed with exit code 1',
    'Normal Stopped train-main-0: it is of an earlier try',
    'Normal Stopped train-main-1: it is of an earlier try',
  ]],
  ['its time is up', of({ timeLimit: '1m' }).started().later(60_000), (site) => site.step(), [
    'Normal Stopped train-main-0: its time limit is reached',
  ]],
  ['its time was up', of({ timeLimit: '1m' }).started().later(60_000).step().settle(), (site) => site.step(), [
    'Warning TimeLimit job: its time limit is reached',
  ]],
  ['a person ended it', of().started().step([{ id: '1', action: 'TerminateJob' }]).settle(), (site) => site.step(), [
    'Normal Cancelled job: TerminateJob was asked for',
  ]],
  ['a pod was evicted', of({ tasks: [task('main', 2)], minAvailable: 1 }).started().evict('train-main-1'), (site) => site.step(), [
    'Warning Requeued job: train-main-1 was evicted from n1; it is made anew',
    'Normal Stopped train-main-1: it is of an earlier try',
  ]],
  ['nothing happened', of().started(), (site) => site.step(), []],
])('%s', (_says, site, act, expected) => expect(said(site, act)).toEqual(expected)) // prettier-ignore
