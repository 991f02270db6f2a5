import fs from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { REASONS } from '../../src/core/model/fault.ts'
import { WAITING } from '../../src/core/model/state.ts'

const page = fs.readFileSync(path.resolve(import.meta.dirname, '../../docs/reasons.md'), 'utf8')
const headings = new Set([...page.matchAll(/^### (\w+)/gm)].map((match) => match[1] as string))

test('every fault reason and every waiting reason has its entry in docs/reasons.md', () => {
  expect([...Object.keys(REASONS), ...WAITING].filter((reason) => !headings.has(reason))).toEqual([])
})

test('docs/reasons.md describes nothing that does not exist', () => {
  const known = new Set<string>([...Object.keys(REASONS), ...WAITING])
  expect([...headings].filter((heading) => !known.has(heading))).toEqual([])
})
