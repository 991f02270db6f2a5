import { expect, test } from 'vitest'
import type { JsonObject } from '../../../src/core/model/json.ts'
import { newSite, status, workload } from './site.ts'

const MINUTE = 60_000

const job = (container: JsonObject) =>
  workload('Job', 'batch:1', { backoffLimit: 0 }, { restartPolicy: 'Never', containers: [{ name: 'web', image: 'batch:1', ...container }] }) // prettier-ignore

test.each<[string, JsonObject, number, number]>([
  ['sleep 90', { command: ['sleep', '90'] }, 90_000, 0],
  ['sleep 1.5m in a shell', { command: ['/bin/sh', '-c'], args: ['echo a; sleep 1.5m; echo b'] }, 90_000, 0],
  ['sleep 1m 30s', { args: ['sleep 1m 30s'] }, 90_000, 0],
  ['two sleeps, one after the other', { command: ['sh', '-c', 'sleep 60 && sleep 30'] }, 90_000, 0],
  [
    'a script with comments',
    { command: ['bash', '-c', '#!/bin/bash\n#SBATCH -t 5\n# sleep 5h\nsleep 90\n'] },
    90_000,
    0,
  ],
  ['an exit code as its last word', { command: ['sh', '-c', 'sleep 90; exit 3'] }, 90_000, 3],
  ['an exit that depends on what comes before', { command: ['sh', '-c', 'test -f x || exit 3; sleep 90'] }, 90_000, 0],
])('a program runs as long as it says: %s', async (_says, container, runMs, exitCode) => {
  const site = newSite()
  await site.apply(job(container))
  await site.clock.advance(runMs - 1_000)
  expect((await site.all('Pod')).map((pod) => status(pod)['phase'])).toEqual(['Running'])
  await site.clock.advance(3_000)
  const [pod] = await site.all('Pod')
  expect(status(pod)['phase']).toBe(exitCode === 0 ? 'Succeeded' : 'Failed')
  expect(status(pod)['containerStatuses']).toMatchObject([{ state: { terminated: { exitCode } } }])
})

test('one that sleeps for ever ends when it is told to, and is ready until then', async () => {
  const site = newSite()
  const endless = job({ command: ['sleep', 'infinity'] })
  await site.apply(endless)
  await site.clock.advance(600 * MINUTE)
  const [pod] = await site.all('Pod')
  expect(status(pod)).toMatchObject({ phase: 'Running' })
  expect(status(pod)['conditions']).toContainEqual(expect.objectContaining({ type: 'Ready', status: 'True' }))
  await site.remove(endless)
  await site.clock.advance(60_000)
  expect(await site.all('Pod')).toEqual([])
})

test('where a program says nothing, whoever runs the cluster may', async () => {
  const site = newSite({ controllers: { runMs: ({ metadata }) => (metadata.labels?.['app'] === 'web' ? 30 * MINUTE : undefined) } }) // prettier-ignore
  await site.apply(job({}))
  await site.clock.advance(29 * MINUTE)
  expect((await site.all('Pod')).map((pod) => status(pod)['phase'])).toEqual(['Running'])
  await site.clock.advance(2 * MINUTE)
  expect((await site.all('Pod')).map((pod) => status(pod)['phase'])).toEqual(['Succeeded'])
})
