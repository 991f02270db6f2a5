/** Planted mistakes quote the sources: a line that was moved or rewritten takes its mistake with it, or shows here. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { MISTAKES } from '../e2e/killpoints/mistakes.ts'
import { PLANTED } from './planted-bugs.ts'

const ROOT = join(import.meta.dirname, '../..')
const quotes = [
  ...PLANTED.map(({ bug, file, from }) => ({ bug, file, from })),
  ...MISTAKES.flatMap(({ mistake, file, swaps }) => swaps.map(({ old }) => ({ bug: mistake, file, from: old }))),
]

test.each(quotes)('$bug: $file says so once', ({ file, from }) => {
  expect(readFileSync(join(ROOT, file), 'utf8').split(from)).toHaveLength(2)
})
