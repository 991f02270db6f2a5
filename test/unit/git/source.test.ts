import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import * as git from 'isomorphic-git'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createGitSource } from '../../../src/adapters/git/source.ts'
import type { GitSource } from '../../../src/hub/ports.ts'
import { commitAll, initRepository } from '../../../src/adapters/git/write.ts'

const author = { name: 'Test', email: 'test@example.com' }
const signal = new AbortController().signal
let dir: string
let source: GitSource

const write = (file: string, text: string): void => {
  fs.mkdirSync(path.dirname(path.join(dir, file)), { recursive: true })
  fs.writeFileSync(path.join(dir, file), text)
}
const commit = (message: string): Promise<string> => commitAll(dir, message, author)
const open = (root = ''): GitSource => createGitSource({ url: dir, branch: 'main', root, dir: '', credentials: null })
const poll = (last: string | null, accept: string | null = null) =>
  source.poll({ good: last, seen: last, accept }, signal)
const changed = async (last: string | null, accept: string | null = null) => {
  const polled = await poll(last, accept)
  if (polled.kind !== 'changed') throw new Error('unchanged')
  return polled
}

beforeEach(() => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'flotilla-git-'))
})
afterEach(() => {
  fs.rmSync(dir, { recursive: true, force: true })
})

describe('a local repository', () => {
  test('gives the files of a new tip, and nothing where the tip is the last good revision', async () => {
    write('flotilla.yaml', 'kind: Fleet\n')
    write('sites/a.yaml', 'kind: Site\n')
    const first = await initRepository(dir, 'main', 'first', author)
    source = open()
    const polled = await changed(null)
    expect(polled.revision).toBe(first)
    expect([...polled.tree.keys()].toSorted()).toEqual(['flotilla.yaml', 'sites/a.yaml'])
    expect(Buffer.from(polled.tree.get('sites/a.yaml')!.bytes).toString()).toBe('kind: Site\n')
    expect(await poll(first)).toEqual({ kind: 'unchanged', revision: first })
  })

  test('a file that did not change is the same object in the next revision, so that parses are kept', async () => {
    write('a.yaml', 'one')
    write('b.yaml', 'two')
    const first = await initRepository(dir, 'main', 'first', author)
    source = open()
    const before = await changed(null)
    write('b.yaml', 'three')
    await commit('second')
    const after = await changed(first)
    expect(after.tree.get('a.yaml')).toBe(before.tree.get('a.yaml'))
    expect(Buffer.from(after.tree.get('b.yaml')!.bytes).toString()).toBe('three')
  })

  test('a removed file is gone, and only files below the root are read', async () => {
    write('prod/a.yaml', 'one')
    write('prod/b.yaml', 'two')
    write('docs/x.md', 'x')
    const first = await initRepository(dir, 'main', 'first', author)
    source = open('prod')
    expect([...(await changed(null)).tree.keys()].toSorted()).toEqual(['prod/a.yaml', 'prod/b.yaml'])
    fs.rmSync(path.join(dir, 'prod/b.yaml'))
    await commit('second')
    expect([...(await changed(first)).tree.keys()]).toEqual(['prod/a.yaml'])
  })

  test('a rewritten history is refused with its own reason, and taken when that tip is accepted', async () => {
    write('a.yaml', 'one')
    const first = await initRepository(dir, 'main', 'first', author)
    write('a.yaml', 'two')
    const second = await commit('second')
    await git.writeRef({ fs, dir, ref: 'refs/heads/main', value: first, force: true })
    write('a.yaml', 'three')
    const rewritten = await commit('instead')
    source = open()
    await expect(poll(second)).rejects.toMatchObject({ reason: 'HistoryRewritten' })
    expect((await changed(second, rewritten)).revision).toBe(rewritten)
  })

  test('a branch that goes back in time is a rewritten history', async () => {
    write('a.yaml', 'one')
    const first = await initRepository(dir, 'main', 'first', author)
    write('a.yaml', 'two')
    const second = await commit('second')
    await git.writeRef({ fs, dir, ref: 'refs/heads/main', value: first, force: true })
    source = open()
    await expect(poll(second)).rejects.toMatchObject({ reason: 'HistoryRewritten' })
  })

  test('a branch that is gone says BranchGone', async () => {
    write('a.yaml', 'one')
    const first = await initRepository(dir, 'main', 'first', author)
    source = createGitSource({ url: dir, branch: 'release', root: '', dir: '', credentials: null })
    await expect(poll(first)).rejects.toMatchObject({ reason: 'BranchGone' })
  })

  test('an object that was damaged on disk is named', async () => {
    write('a.yaml', 'one')
    await initRepository(dir, 'main', 'first', author)
    const oid = (await git.hashBlob({ object: Buffer.from('one') })).oid
    const file = path.join(dir, '.git/objects', oid.slice(0, 2), oid.slice(2))
    fs.chmodSync(file, 0o644)
    fs.writeFileSync(file, 'rubbish')
    source = open()
    await expect(poll(null)).rejects.toMatchObject({
      reason: 'ObjectUnreadable',
      message: expect.stringContaining(oid) as string,
    })
  })

  test('a revision is opened again after a restart, from packs as well', async () => {
    write('a.yaml', 'one\n'.repeat(50))
    const first = await initRepository(dir, 'main', 'first', author)
    write('a.yaml', 'two\n'.repeat(50))
    await commit('second')
    const oids: string[] = []
    for (const { oid } of await git.log({ fs, dir })) {
      oids.push(oid)
      const { tree } = await git.readTree({ fs, dir, oid })
      const root = (await git.readCommit({ fs, dir, oid })).commit.tree
      oids.push(root, ...tree.map((entry) => entry.oid))
    }
    const { filename } = await git.packObjects({ fs, dir, oids, write: true })
    await git.indexPack({ fs, dir, filepath: `.git/objects/pack/${filename}` })
    for (const folder of fs.readdirSync(path.join(dir, '.git/objects'))) {
      if (/^[0-9a-f]{2}$/.test(folder)) fs.rmSync(path.join(dir, '.git/objects', folder), { recursive: true })
    }
    source = open()
    expect(Buffer.from((await source.open(first, signal)).get('a.yaml')!.bytes).toString()).toBe('one\n'.repeat(50))
  })
})

describe('what a tree may not hold', () => {
  const tree = async (mode: string, name: string, type: 'blob' | 'commit' = 'blob'): Promise<void> => {
    await git.init({ fs, dir, defaultBranch: 'main' })
    const blob = await git.writeBlob({ fs, dir, blob: Buffer.from('x') })
    const oid = await git.writeTree({ fs, dir, tree: [{ mode, path: name, oid: blob, type }] })
    const now = { ...author, timestamp: 1, timezoneOffset: 0 }
    const head = await git.writeCommit({
      fs,
      dir,
      commit: { message: 'm', tree: oid, parent: [], author: now, committer: now },
    })
    await git.writeRef({ fs, dir, ref: 'refs/heads/main', value: head, force: true })
    source = open()
  }

  test.each([
    ['a symlink', '120000', 'link', 'blob'],
    ['a submodule', '160000', 'sub', 'commit'],
    ['a name with a leading dash', '100644', '-rf', 'blob'],
    ['a name with a line break', '100644', 'a\nb', 'blob'],
    ['a name with a colon', '100644', 'c:x', 'blob'],
    ['the short name of .git', '100644', 'GIT~1', 'blob'],
  ] as const)('%s', async (_name, mode, name, type) => {
    await tree(mode, name, type)
    await expect(poll(null)).rejects.toMatchObject({ reason: 'UnsafeTree' })
  })
})
