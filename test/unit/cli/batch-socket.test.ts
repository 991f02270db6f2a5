import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { serveBox, type BoxHandler } from '../../../src/adapters/http/box-server.ts'
import { type BatchAsk, readAsk } from '../../../src/core/batch/ask.ts'
import { openBatch } from '../../../src/process/batch.ts'
import { batchSite, queue } from '../agent/batch-site.ts'

const SCRIPT = '#!/bin/sh\n#SBATCH --container-image=task:1 --array=0-3%2\ntrue\n'

test('a job goes in by the agent`s socket, and outlives the process that took it', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'flotilla-box-'))
  try {
    const site = batchSite()
    await site.publish(queue('night'))
    await site.pass(1_000)
    const handler = { batch: (ask) => site.agent.askBatch(readAsk(ask)) } as BoxHandler
    await using _served = await serveBox(dir, handler)
    await using box = await openBatch(dir)
    const submit: BatchAsk = {
      op: 'submit',
      script: SCRIPT,
      name: 'sweep.sh',
      options: ['-p', 'night'],
      args: [],
      user: 'ida',
    }
    expect(await box.ask(submit)).toEqual({ job: 'sweep', notes: [] })
    // Killed before it did anything for it.
    site.restart(null)
    await site.pass(2_000)
    const view = await box.ask({ op: 'view' })
    expect(JSON.stringify(view['jobs'])).toContain('"user":"ida"')
    expect((await site.cluster.list({ apiVersion: 'v1', kind: 'Pod', namespace: 'default' }, new AbortController().signal)).items).toHaveLength(2) // prettier-ignore
    await expect(box.ask({ op: 'dance' } as unknown as BatchAsk)).rejects.toMatchObject({ reason: 'InvalidInput' })
    await expect(box.ask({ ...submit, script: 'x'.repeat(70_000) })).rejects.toMatchObject({ reason: 'InvalidInput' })
    await expect(box.ask({ op: 'queue', queue: 'noon', word: 'hold' })).rejects.toMatchObject({ reason: 'NotFound' })
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
})

test('of jobs that were submitted and are over the newest 200 are kept, and their pods', async () => {
  const site = batchSite({ sim: { controllers: { delays: { jobMs: 10 } } } })
  await site.publish(queue('night'))
  await site.pass(1_000)
  const script = '#!/bin/sh\n#SBATCH --container-image=task:1\ntrue\n'
  for (let i = 0; i < 210; i++) {
    await site.agent.askBatch({ op: 'submit', script, name: `job-${i}`, options: [], args: [], user: 'ida' })
    await site.agent.askBatch({
      op: 'cancel',
      jobs: [`job-${i}`],
      user: null,
      partition: null,
      state: null,
      name: null,
    })
    if (i % 10 === 9) await site.pass(200)
  }
  await site.pass(5_000)
  const names = [...site.agent.batch.state().journal.jobs().values()].map(({ record }) => record.name)
  expect(names).toHaveLength(200)
  expect(names).not.toContain('job-0')
  expect(names).toContain('job-209')
})

test('where no agent runs, it says so', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'flotilla-box-'))
  try {
    await using box = await openBatch(dir)
    await expect(box.ask({ op: 'view' })).rejects.toMatchObject({ reason: 'Unreachable' })
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
})
