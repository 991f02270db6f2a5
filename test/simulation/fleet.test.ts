import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { simulate } from './run.ts'

const kept = JSON.parse(readFileSync(join(import.meta.dirname, 'kept-seeds.json'), 'utf8')) as readonly number[]

describe('the real hub and agents on virtual time', () => {
  test('one seed gives one trace', async () => {
    const [first, second] = [await simulate(26), await simulate(26)]
    expect(second.digest).toBe(first.digest)
    expect(second.trace).toEqual(first.trace)
  })

  test.each([1, 3, 4])('seed %i: no law is broken, and after the heal all converge', async (seed) => {
    expect((await simulate(seed)).broken).toBeNull()
  })

  test.each(kept)('seed %i, that failed once', async (seed) => {
    expect((await simulate(seed)).broken).toBeNull()
  })
})
