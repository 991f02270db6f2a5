/** Batch at a simulated site as the demo has it: the agent's own scheduler binds, pods run for as long as they run, and end. */
import { expect, test } from 'vitest'
import type { JsonObject } from '../../../src/core/model/json.ts'
import { batchSite, cron, queue } from './batch-site.ts'

const HOUR = 3_600_000

function work(cpu: string): JsonObject {
  return { spec: { containers: [{ name: 'main', image: 'work:1', resources: { requests: { cpu } } }] } }
}

test('a day: jobs run, wait for each other with the reason, end, and the site stays healthy', async () => {
  const site = batchSite({
    agent: { scheduler: 'on' },
    sim: { controllers: { runMs: ({ metadata }) => (metadata.labels?.['flotilla.dev/job'] === undefined ? undefined : 0.4 * HOUR) } }, // prettier-ignore
  })
  site.clock.jump(Date.parse('2026-01-05T12:00:00Z') - site.clock.nowMs())
  await site.publish(
    queue('night', { limits: { maxTime: '3h' } }),
    cron('nightly', '30 1 * * *', {}, { queue: 'night', deadline: '05:00', tasks: [{ name: 'main', template: work('1') }] }), // prettier-ignore
    cron('labels', '0 */4 * * *', {}, { queue: 'night', array: { range: '0-3%2' }, tasks: [{ name: 'main', template: work('1') }] }), // prettier-ignore
    cron(
      'model',
      '1 */4 * * *',
      {},
      { queue: 'night', tasks: [{ name: 'main', replicas: 4, template: work('3800m') }] },
    ),
  )
  const rows = async (): Promise<readonly string[]> => {
    const { jobs } = (await site.agent.askBatch({ op: 'view' })) as unknown as { readonly jobs: readonly any[] }
    return jobs.map(({ name, arrayTask, code, reason }) => `${name}${arrayTask === null ? '' : `_${arrayTask}`} ${code} ${reason}`) // prettier-ignore
  }
  // 16:02 in Copenhagen is 15:02: two labels run, and the gang of 15.2 CPUs does not fit beside them on a node of 16.
  await site.pass(3 * HOUR + 2 * 60_000)
  expect((await rows()).filter((row) => !row.includes('CD'))).toEqual([
    'labels_2-3%2 PD JobArrayTaskLimit',
    'labels_0 R None',
    'labels_1 R None',
    'model PD Resources',
  ])
  for (let hour = 0; hour < 20; hour++) {
    await site.pass(HOUR)
    for (const name of ['nightly', 'labels', 'model'])
      expect(site.health(`cronbatchjob.${name}`)).toBe('Synced Healthy')
  }
  expect((await rows()).filter((row) => row.endsWith('CD None')).length).toBeGreaterThan(6)
  expect((await rows()).filter((row) => !/ (?:CD|R|PD) /.test(row))).toEqual([])
}, 120_000)
