import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { judgeCommits } from '../../../src/adapters/git/judge-commits.ts'
import type { ObjectDb } from '../../../src/adapters/git/object-db.ts'
import { readSigners, type Signers } from '../../../src/adapters/git/signers.ts'
import { commit, LINE, signed } from './signed.ts'

const ann = await readSigners([`ann ${LINE}`])

/** `name: parents`, with ! before the name of a commit that nobody signed; names are their messages. */
function history(...lines: readonly string[]): { readonly db: ObjectDb; readonly oid: (name: string) => string } {
  const objects = new Map<string, Buffer>()
  const oids = new Map<string, string>()
  const oid = (name: string): string => oids.get(name) ?? ''
  for (const line of lines) {
    const [, bare, name = '', parents = ''] = /^(!?)(\w+):? ?(.*)$/.exec(line) ?? []
    const named = parents
      .split(' ')
      .filter(Boolean)
      .map((parent) => `parent ${oid(parent)}\n`)
    const text = commit(name).replace('author', `${named.join('')}author`)
    const raw = bare === '!' ? Buffer.from(text) : signed(text)
    const hash = createHash('sha1').update(raw).digest('hex')
    objects.set(hash, raw)
    oids.set(name, hash)
  }
  const read = (hash: string): Buffer => {
    const found = objects.get(hash)
    if (found === undefined) throw new Error(`not read at all: ${hash}`)
    return found
  }
  return { oid, db: { read, has: (hash) => objects.has(hash), packs: 0, [Symbol.dispose]() {} } }
}

const table: readonly (readonly [string, readonly string[], string | null, string | null])[] = [
  ['a signed tip on the last good revision', ['!a', 'b: a'], 'a', null],
  ['an unsigned tip', ['a', '!b: a'], 'a', 'b'],
  ['a signed tip over an unsigned commit: the oldest is named', ['a', '!b: a', '!c: b', 'd: c'], 'a', 'b'],
  ['without a last good revision the tip alone', ['!a', '!b: a', 'c: b'], null, null],
  ['without a last good revision an unsigned tip', ['a', '!b: a'], null, 'b'],
  ['a signed merge vouches for what it brought in', ['a', '!x: a', '!y: x', 'm: a y'], 'a', null],
  ['an unsigned merge of signed commits', ['a', 'x: a', '!m: a x'], 'a', 'm'],
  ['an unsigned commit before a signed merge, on the branch itself', ['a', '!b: a', 'x: a', 'm: b x'], 'a', 'b'],
  [
    'a merge whose first parent comes from beside: old commits are not judged again',
    ['!o', 'a: o', 'x: o', 'm: x a'],
    'a',
    null,
  ],
  ['and an unsigned one from beside is, as it is the line now', ['!o', 'a: o', '!x: o', 'm: x a'], 'a', 'x'],
]
test.each(table)('%s', async (_, lines, good, refused) => {
  const { db, oid } = history(...lines)
  const tip = /^!?(\w+)/.exec(lines.at(-1) ?? '')?.[1] ?? ''
  const verdict = await judgeCommits(
    db,
    { good: good === null ? null : oid(good), tip: oid(tip), signers: ann },
    new Set(),
  )
  expect(verdict?.commit ?? null).toBe(refused === null ? null : oid(refused))
  if (refused !== null)
    expect(verdict).toMatchObject({
      reason: 'CommitUnsigned',
      message: `commit ${oid(refused).slice(0, 12)} is not signed`,
    })
})

describe('a commit on the way changes who signs', async () => {
  const nobody = await readSigners([])
  test.each<[string, readonly string[], Record<string, Signers | 'as before' | null>, string | null]>([
    ['who is let go signs that commit, and none after it', ['a', 'r: a', 'b: r'], { r: nobody }, 'b'],
    ['nor the one that lets him in again', ['a', 'r: a', 'b: r', 'c: b'], { r: nobody, b: ann }, 'b'],
    ['as the tip it is judged by who signed before', ['a', 'r: a'], { r: nobody }, null],
    ['a revision that is none changes nobody', ['a', 'r: a', 'b: r'], { r: 'as before' }, null],
    ['once nobody is asked for, nothing is judged', ['a', 'r: a', '!b: r'], { r: null }, null],
    ['what a merge brings counts from the merge on', ['a', '!x: a', 'm: a x', 'b: m'], { x: nobody, m: nobody }, 'b'],
  ])('%s', async (_, lines, rules, refused) => {
    const { db, oid } = history(...lines)
    const byOid = new Map(Object.entries(rules).map(([name, signers]) => [oid(name), signers]))
    const tip = oid(/^!?(\w+)/.exec(lines.at(-1) ?? '')?.[1] ?? '')
    // Another file with each commit that changes it, and the same one after it.
    let at = 'as it was'
    const changing = {
      at: (commit: string): string => (byOid.has(commit) ? (at = commit) : at),
      after: async (commit: string) => byOid.get(commit) ?? null,
    }
    const verdict = await judgeCommits(db, { good: oid('a'), tip, signers: ann, changing }, new Set())
    expect(verdict?.commit ?? null).toBe(refused === null ? null : oid(refused))
    if (refused !== null) expect(verdict?.reason).toBe('SignerUnknown')
  })
})

test('a shallow boundary ends the line', async () => {
  const { db, oid } = history('!o', '!a: o', 'x: o', 'm: x a')
  const judged = { good: oid('a'), tip: oid('m'), signers: ann }
  expect(await judgeCommits(db, judged, new Set([oid('x'), oid('a')]))).toBeNull()
})
