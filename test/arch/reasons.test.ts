import fs from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { REASONS } from '../../src/core/model/fault.ts'
import { WAITING } from '../../src/core/model/state.ts'

const page = fs.readFileSync(path.resolve(import.meta.dirname, '../../docs/reasons.md'), 'utf8')
/** Words of our own that a site says of an object, read where they are said. */
const said = fs.readFileSync(path.resolve(import.meta.dirname, '../../src/agent/findings.ts'), 'utf8')
const ofObjects = [...said.matchAll(/reason: '(\w+)'/g)].map((match) => match[1] as string)
const headings = new Set([...page.matchAll(/^### (\w+)/gm)].map((match) => match[1] as string))

test('every fault, every waiting reason and every word said of an object has its entry in docs/reasons.md', () => {
  expect(ofObjects).toContain('Drift')
  expect([...Object.keys(REASONS), ...WAITING, ...ofObjects].filter((reason) => !headings.has(reason))).toEqual([])
})

test('docs/reasons.md describes nothing that does not exist', () => {
  const known = new Set<string>([...Object.keys(REASONS), ...WAITING, ...ofObjects])
  expect([...headings].filter((heading) => !known.has(heading))).toEqual([])
})
