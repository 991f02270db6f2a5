import { describe, expect, test } from 'vitest'
import { locate, readYaml } from '../../../src/core/fleet/yaml.ts'
import { YAML_LIMITS } from '../../../src/core/fleet/yaml-text.ts'
import type { Reading } from '../../../src/core/fleet/scalars.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const values = (text: string, reading: Reading): unknown =>
  readYaml(bytes(text), reading).documents.map(({ value }) => value)
const codes = (text: string, reading: Reading = 'core'): readonly string[] =>
  readYaml(bytes(text), reading).problems.map(({ code, at }) => `${code} ${at.line}:${at.column}`)

describe('one plain scalar, read as YAML 1.2 core and as kubectl reads it', () => {
  const table: readonly (readonly [string, unknown, unknown])[] = [
    ['no', 'no', false],
    ['yes', 'yes', true],
    ['On', 'On', true],
    ['y', 'y', true],
    ['true', true, true],
    ['~', null, null],
    ['0755', 755, 493],
    ['0o17', 15, 15],
    ['0x1F', 31, 31],
    ['0b11', '0b11', 3],
    ['1_000', '1_000', 1000],
    ['08', 8, 8],
    ['-12', -12, -12],
    ['+1', 1, 1],
    ['1e3', 1000, 1000],
    ['.5', 0.5, 0.5],
    ['1.0', 1, 1],
    ['12:30', '12:30', '12:30'],
    ['2001-01-01', '2001-01-01', '2001-01-01'],
    ['1.2.3', '1.2.3', '1.2.3'],
    ['-', '-', '-'],
    ['"no"', 'no', 'no'],
    ["'0755'", '0755', '0755'],
    ['!!str 12', '12', '12'],
    ['!!int "12"', 12, 12],
  ]
  test.each(table)('%s', (text, core, kubectl) => {
    const document = text === '-' ? `a: '-'` : `a: ${text}`
    expect(values(document, 'core')).toEqual([{ a: core }])
    expect(values(document, 'kubectl')).toEqual([{ a: kubectl }])
  })
})

describe('what is refused, and where', () => {
  const table: readonly (readonly [string, string, Reading, readonly string[]])[] = [
    ['a key that stands twice', 'a: 1\nb: 2\na: 3\n', 'core', ['FLT1006 3:1']],
    ['keys that are equal once read', 'yes: 1\ntrue: 2\n', 'kubectl', ['FLT1006 2:1']],
    ['an integer above 2^53', 'a: 9007199254740993', 'core', ['FLT1008 1:4']],
    ['an integer above 2^53 in a source', 'a: 9007199254740993', 'kubectl', ['FLT1008 1:4']],
    ['a number that is none', 'a: .nan', 'core', ['FLT1008 1:4']],
    ['a number beyond all', 'a: 1e400', 'kubectl', ['FLT1008 1:4']],
    ['a list as a key', '? [a]\n: 1\n', 'core', ['FLT1018 1:3']],
    ['a tag of somebody', 'a: !ref x', 'core', ['FLT1018 1:9']],
    ['an alias inside its own anchor', 'a: &a [*a]', 'core', ['FLT1018 1:8']],
    ['an alias without an anchor', 'a: *b', 'core', ['FLT1002 1:4']],
    ['text that is no YAML', 'a: [1', 'core', ['FLT1002 1:6']],
    ['a scalar that two YAMLs read differently', 'a: no', 'core', ['FLT1009 1:4']],
    ['the same in quotes', 'a: "no"', 'core', []],
    ['the same in a source', 'a: no', 'kubectl', []],
  ]
  test.each(table)('%s', (_, text, reading, expected) => {
    expect(codes(text, reading)).toEqual(expected)
  })

  test('bytes that are not UTF-8', () => {
    expect(readYaml(new Uint8Array([0x61, 0x3a, 0xff]), 'core').problems[0]?.code).toBe('FLT1017')
  })
})

describe('hostile text ends at once, as a problem', () => {
  const many = (n: number, make: (i: number) => string, join = '\n'): string =>
    Array.from({ length: n }, (_, i) => make(i)).join(join)
  const bomb = Array.from('abcdefghijklm').map(
    (c, i, all) => `${c}: &${c} [${many(9, () => (i === 0 ? 'x' : `*${all[i - 1] ?? ''}`), ',')}]`,
  )
  const table: readonly (readonly [string, string])[] = [
    ['flow lists nested a million deep', '['.repeat(1_000_000)],
    ['flow maps nested deep', '{a: '.repeat(100_000)],
    ['block lists nested deep', '- '.repeat(100_000)],
    ['explicit keys nested deep', '? '.repeat(100_000)],
    ['one level more than allowed', '['.repeat(YAML_LIMITS.depth + 1) + ']'.repeat(YAML_LIMITS.depth + 1)],
    ['50,000 keys', many(50_000, (i) => `k${i}: 1`)],
    ['50,000 keys in braces', `{${many(50_000, (i) => `k${i}: 1`, ', ')}}`],
    ['a bomb of aliases', bomb.join('\n')],
    ['thousands of aliases', `a: &a 1\n${many(5_000, (i) => `k${i}: *a`)}`],
    ['thousands of documents', many(6_000, (i) => `---\na: ${i}`)],
    ['five megabytes', `a: ${'x'.repeat(5 * 1024 * 1024)}`],
  ]
  test.each(table)('%s', (_, text) => {
    const read = readYaml(bytes(text), 'core')
    expect(read.problems.map(({ code }) => code)).toContain('FLT1007')
    expect(read.documents.length).toBeLessThan(6_000)
  })

  test('50,000 equal keys are at most 50 problems', () => {
    const read = readYaml(bytes(many(19_000, () => 'k: 1')), 'core')
    expect(read.problems).toHaveLength(YAML_LIMITS.problems)
  })
})

test('maps have no prototype, so no key is special', () => {
  const [document] = values('__proto__: { polluted: true }\nconstructor: 1\n', 'core') as [Record<string, unknown>]
  expect(Object.getPrototypeOf(document)).toBeNull()
  expect(Object.keys(document)).toEqual(['__proto__', 'constructor'])
  expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
})

test('a %YAML 1.1 line changes nothing', () => {
  expect(values('%YAML 1.1\n---\na: yes\n', 'core')).toEqual([{ a: 'yes' }])
})

test('<< merges in sources as kubectl merges, what stands in the map wins', () => {
  expect(values('base: &b { a: 1, c: 2 }\nx:\n  <<: *b\n  a: 3\n', 'kubectl')).toEqual([
    { base: { a: 1, c: 2 }, x: { a: 3, c: 2 } },
  ])
})

test('each document of a file is its own slice of characters', () => {
  const text = '# first\n---\na: 1 # ø\n---\n# only a comment\n--- \nb: 2\n...\n'
  const { documents } = readYaml(bytes(text), 'core')
  expect(documents.map(({ from, to }) => text.slice(from, to))).toEqual(['a: 1 # ø\n', 'b: 2\n'])
})

test('a path is found again with its line and column, or its nearest parent', () => {
  const text = bytes('a:\n  - b: 1\n    c: [x, y]\n')
  expect(locate(text, 0, ['a', 0, 'c', 1])).toEqual({ line: 3, column: 12 })
  expect(locate(text, 0, ['a', 0, 'c'], 'key')).toEqual({ line: 3, column: 5 })
  expect(locate(text, 0, ['a', 0, 'nothing', 3])).toEqual({ line: 2, column: 5 })
})
