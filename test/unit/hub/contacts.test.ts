/** Who is late is told by time that passed, and not by what the hub's clock was set to. */
import { expect, test } from 'vitest'
import { shops } from './files.ts'
import { Rig } from './rig.ts'

const HOUR_MS = 3_600_000

test('a clock that is set three hours ahead makes no site late; three hours of silence do', async () => {
  await using rig = await Rig.open()
  rig.git.commit(shops())
  await rig.settle()
  const site = await rig.join('s1')
  await rig.run([site], 30)
  const before = await rig.hub.api.site('s1')
  rig.clock.jump(3 * HOUR_MS)
  await rig.decide()
  const after = await rig.hub.api.site('s1')
  expect([before.link, after.link]).toEqual(['Online', 'Online'])
  expect(after.dueAtMs).toBe((before.dueAtMs ?? 0) + 3 * HOUR_MS)
  expect(after.lastContactMs).toBe(before.lastContactMs)
  await rig.clock.advance(3 * HOUR_MS)
  expect((await rig.hub.api.site('s1')).link).not.toBe('Online')
  await site.turn()
  expect((await rig.hub.api.site('s1')).link).toBe('Online')
})
