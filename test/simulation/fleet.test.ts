import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { SimCluster } from '../../src/sim/cluster.ts'
import { VirtualClock } from '../../src/sim/clock.ts'
import { watchCluster } from './laws/cluster.ts'
import type { Violation } from './laws/violation.ts'
import { simulate } from './run.ts'
import { FAULTS } from './weather.ts'

const kept = JSON.parse(readFileSync(join(import.meta.dirname, 'kept-seeds.json'), 'utf8')) as readonly number[]
const never = new AbortController().signal

describe('the real hub and agents on virtual time', () => {
  test('one seed gives one trace, twice in one process and in another one', async () => {
    const [first, second] = [await simulate(26), await simulate(26)]
    expect(second.trace).toEqual(first.trace)
    expect(second.digest).toBe(first.digest)
    const { stdout } = await promisify(execFile)(process.execPath, [join(import.meta.dirname, 'seeds.ts'), '26', '1'])
    expect(stdout.split(' ')[1]).toBe(first.digest)
  }, 120_000)

  test.each([1, 3])(
    'seed %i: no law is broken, and after the heal all converge',
    async (seed) => {
      expect((await simulate(seed)).broken).toBeNull()
    },
    120_000,
  )

  test.each(kept)(
    'seed %i, that failed once',
    async (seed) => {
      expect((await simulate(seed)).broken).toBeNull()
    },
    120_000,
  )

  test('the law over other people’s objects sees one that is touched', async () => {
    const cluster = new SimCluster({ clock: new VirtualClock(), controllers: 'off' })
    const found: Violation[] = []
    await watchCluster('s1', cluster, new Set(), (violation) => found.push(violation))
    const ref = { group: '', kind: 'ConfigMap', namespace: 'default', name: 'web' }
    await cluster.patch({ apiVersion: 'v1', kind: 'ConfigMap' }, ref, { data: { whose: 'ours' } }, {}, never)
    expect(found.map(({ law }) => law)).toEqual(['foreign'])
  })

  test('every fault has its line in the docs', () => {
    const page = readFileSync(join(import.meta.dirname, '../../docs/simulation.md'), 'utf8')
    expect(FAULTS.filter((name) => !page.includes(`| \`${name}\` |`))).toEqual([])
  })
})
