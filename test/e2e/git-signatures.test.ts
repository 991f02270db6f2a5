import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openObjectDb } from '../../src/adapters/git/object-db.ts'
import { verifyCommit } from '../../src/adapters/git/signature.ts'
import { gitProgram } from '../git/http-server.ts'

let dir: string
beforeAll(() => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'flotilla-signed-'))
  gitProgram(dir, 'init', '-q', '-b', 'main')
})
afterAll(() => fs.rmSync(dir, { recursive: true, force: true }))

test.each(['ed25519', 'rsa', 'ecdsa'])('a commit that git and ssh-keygen signed with %s is judged', (type) => {
  const key = path.join(dir, `.key-${type}`)
  const made = spawnSync(
    'ssh-keygen',
    ['-q', '-t', type, ...(type === 'rsa' ? ['-b', '3072'] : []), '-N', '', '-f', key],
    { encoding: 'utf8' },
  )
  expect(made).toMatchObject({ status: 0, stderr: '' })
  fs.writeFileSync(path.join(dir, 'a.txt'), type)
  gitProgram(dir, 'add', 'a.txt')
  gitProgram(
    dir,
    '-c',
    'gpg.format=ssh',
    '-c',
    `user.signingkey=${key}`,
    'commit',
    '-q',
    '-S',
    '-m',
    `by ${type}\n\nmore`,
  )
  using db = openObjectDb(path.join(dir, '.git'), 1 << 20)
  const raw = db.read(gitProgram(dir, 'rev-parse', 'HEAD'), 'commit')
  const signer = { name: type, key: fs.readFileSync(`${key}.pub`, 'utf8') }
  expect(verifyCommit(raw, [signer])).toEqual({ kind: 'signed', by: type })
  expect(verifyCommit(raw, [])).toMatchObject({ kind: 'unknown' })
})
