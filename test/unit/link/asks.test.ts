/** Asks over the real link: a hub on its store, TLS on both sides, the agent unmodified. */
import { expect, test } from 'vitest'
import type { JsonObject } from '../../../src/core/model/json.ts'
import type { SyncReply } from '../../../src/core/protocol/ports.ts'
import { ADMIN } from '../hub/rig.ts'
import { type Box, OneSite, soon } from './one-site.ts'

const DIFF = { verb: 'diff', args: {}, sites: ['s1'], selector: null } as const

/** As the loop does it: the answer goes with the message after the one that brought the question. */
async function exchanged(box: Box, times = 2): Promise<void> {
  for (let i = 0; i < times; i++) {
    await box.agent.exchange(soon())
    await box.agent.asked()
  }
}

async function joined(): Promise<{ readonly world: OneSite; readonly box: Box } & AsyncDisposable> {
  const world = await OneSite.open()
  const box = await world.join()
  await box.agent.exchange(soon())
  await world.rig.decide()
  await box.agent.exchange(soon())
  await box.agent.turn(soon())
  await box.agent.exchange(soon())
  return { world, box, [Symbol.asyncDispose]: () => world[Symbol.asyncDispose]() }
}

test('a question goes down with one answer, and its answer up with the next message', async () => {
  await using at = await joined()
  const { hub } = at.world.rig
  const { id } = await hub.api.ask(ADMIN, DIFF)
  await exchanged(at.box)
  const { counts, groups } = await hub.api.asked(ADMIN, id, 'answers')
  expect(counts.answered).toBe(1)
  expect(groups).toMatchObject([{ sites: ['s1'], answer: { ok: true, said: { compared: 1, objects: [] } } }])
})

test('a site that is asked nothing pays nothing: its messages weigh the same before and long after', async () => {
  await using at = await joined()
  const idle = async (): Promise<readonly [number, number]> => {
    const { bytesUp, bytesDown } = at.box.agent.status().counts
    await at.box.agent.exchange(soon())
    const after = at.box.agent.status().counts
    return [after.bytesUp - bytesUp, after.bytesDown - bytesDown]
  }
  for (let i = 0; i < 3; i++) await idle()
  const [up, down] = await idle()
  await at.world.rig.hub.api.ask(ADMIN, DIFF)
  await exchanged(at.box, 5)
  const [upAfter, downAfter] = await idle()
  // A sequence of one more digit, and signatures, which do not deflate, differ by a few bytes from one to the next.
  expect(Math.abs(upAfter - up)).toBeLessThanOrEqual(8)
  expect(Math.abs(downAfter - down)).toBeLessThanOrEqual(8)
})

test('who has the hub’s machine and says it again, to the next process too, has it done once', async () => {
  await using at = await joined()
  const { world } = at
  const args: JsonObject = {
    script: '#!/bin/sh\n#SBATCH --container-image=x\ntrue\n',
    name: 'a',
    options: [],
    args: [],
  }
  await world.rig.hub.api.ask(ADMIN, { ...DIFF, verb: 'sbatch', args })
  let kept: SyncReply['head']['asks']
  world.bend = (reply) => {
    kept ??= reply.head.asks
    return { ...reply, head: { ...reply.head, ...(kept === undefined ? {} : { asks: kept }) } }
  }
  await exchanged(at.box, 4)
  await at.box.close()
  const next = world.start(at.box.dir, { cluster: at.box.cluster })
  await exchanged(next, 4)
  expect(kept).toHaveLength(1)
  expect(next.agent.batch.state().journal.jobs().size).toBe(1)
})

test('a kind that an agent does not know is passed over, and harms nothing: so do older agents with asks', async () => {
  await using at = await joined()
  const { world, box } = at
  const { id } = await world.rig.hub.api.ask(ADMIN, DIFF)
  world.bend = (reply) => ({
    ...reply,
    head: { ...reply.head, ...(reply.head.asks === undefined ? {} : { asks: reply.head.asks.map((ask) => ({ ...ask, kind: 'newer' })) }) }, // prettier-ignore
  })
  await exchanged(box, 3)
  expect(box.agent.status().conditions).toEqual([])
  expect((await world.rig.hub.api.asked(ADMIN, id, 'counts')).counts.told).toBe(1)
})

test('an answer that the link lost comes again, and counts once', async () => {
  await using at = await joined()
  const { world, box } = at
  const { id } = await world.rig.hub.api.ask(ADMIN, DIFF)
  await exchanged(box, 1)
  // The hub has it, and its acknowledgement does not arrive.
  world.bend = () => {
    throw new Error('the machine died')
  }
  await expect(box.agent.exchange(soon())).rejects.toThrow()
  world.bend = (reply) => reply
  await exchanged(box)
  const { counts, groups } = await world.rig.hub.api.asked(ADMIN, id, 'answers')
  expect([counts.answered, groups.length]).toEqual([1, 1])
})
