import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createGitSource } from '../../src/adapters/git/source.ts'
import type { GitSource } from '../../src/hub/ports.ts'
import { gitProgram, type GitServer, startGitServer } from '../git/http-server.ts'

const signal = new AbortController().signal
let dir: string
let work: string
let server: GitServer
let source: GitSource

const push = (file: string, text: string, ...how: string[]): string => {
  fs.writeFileSync(path.join(work, file), text)
  gitProgram(work, 'add', '-A')
  gitProgram(work, 'commit', '-qm', `${file} ${text}`, ...how)
  gitProgram(work, 'push', '-qf', 'origin', 'HEAD:main')
  return gitProgram(work, 'rev-parse', 'HEAD')
}
const make = (credentials: Parameters<typeof createGitSource>[0]['credentials'] = null): GitSource =>
  createGitSource({
    url: `${server.url}/fleet.git`,
    branch: 'main',
    root: '',
    dir: path.join(dir, 'clone'),
    credentials,
  })
const from = (good: string | null) => ({ good, seen: good, accept: null })

beforeEach(async () => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'flotilla-git-http-'))
  work = path.join(dir, 'work')
  fs.mkdirSync(work)
  gitProgram(dir, 'init', '-q', '--bare', '-b', 'main', 'fleet.git')
  gitProgram(work, 'init', '-q', '-b', 'main')
  gitProgram(work, 'remote', 'add', 'origin', path.join(dir, 'fleet.git'))
  server = await startGitServer(dir)
  source = make()
})
afterEach(async () => {
  await server[Symbol.asyncDispose]()
  fs.rmSync(dir, { recursive: true, force: true })
})

describe('a branch of a real Git server', () => {
  test('first clone, then only what is new, and one ls-refs where nothing changed', async () => {
    push('a.yaml', 'one')
    const second = push('b.yaml', 'two')
    const first = await source.poll(from(null), signal)
    expect(first).toMatchObject({ kind: 'changed', revision: second, message: 'b.yaml two' })
    server.requests.length = 0
    expect(await source.poll(from(second), signal)).toEqual({ kind: 'unchanged', revision: second })
    expect(server.requests.filter((line) => line.startsWith('POST'))).toEqual(['POST /fleet.git/git-upload-pack'])
    expect(server.requests.length).toBeLessThanOrEqual(2)
    const third = push('b.yaml', 'three')
    const next = await source.poll(from(second), signal)
    expect(next.kind === 'changed' && Buffer.from(next.tree.get('b.yaml')!.bytes).toString()).toBe('three')
    expect(next.revision).toBe(third)
  })

  test('a force-push is refused, and the last good revision can still be opened', async () => {
    push('a.yaml', 'one')
    const good = push('a.yaml', 'two')
    await source.poll(from(null), signal)
    gitProgram(work, 'reset', '-q', '--hard', 'HEAD~1')
    push('a.yaml', 'other')
    await expect(source.poll(from(good), signal)).rejects.toMatchObject({ reason: 'HistoryRewritten' })
    expect(Buffer.from((await source.open(good, signal)).get('a.yaml')!.bytes).toString()).toBe('two')
  })

  test('a clone that was lost is made again, and history is still judged', async () => {
    push('a.yaml', 'one')
    const good = push('a.yaml', 'two')
    await source.poll(from(null), signal)
    fs.rmSync(path.join(dir, 'clone'), { recursive: true })
    const next = push('a.yaml', 'three')
    expect(await source.poll(from(good), signal)).toMatchObject({ kind: 'changed', revision: next })
    fs.rmSync(path.join(dir, 'clone'), { recursive: true })
    push('a.yaml', 'amended', '--amend')
    await expect(source.poll(from(next), signal)).rejects.toMatchObject({ reason: 'HistoryRewritten' })
  })

  test('a deleted branch, a dead host, a wrong answer: each its own reason', async () => {
    push('a.yaml', 'one')
    gitProgram(path.join(dir, 'fleet.git'), 'config', 'receive.denyDeleteCurrent', 'ignore')
    gitProgram(work, 'push', '-q', 'origin', 'HEAD:other', ':main')
    await expect(source.poll(from(null), signal)).rejects.toMatchObject({ reason: 'BranchGone' })
    server.broken = 502
    await expect(source.poll(from(null), signal)).rejects.toMatchObject({ reason: 'GitUnreachable' })
    const nobody = createGitSource({
      url: 'http://127.0.0.1:1/x.git',
      branch: 'main',
      root: '',
      dir: path.join(dir, 'c2'),
      credentials: null,
    })
    await expect(nobody.poll(from(null), signal)).rejects.toMatchObject({ reason: 'GitUnreachable' })
  })

  test('basic and bearer credentials are sent, and their refusal is said', async () => {
    const tip = push('a.yaml', 'one')
    server.authorization = `Basic ${Buffer.from('bot:secret').toString('base64')}`
    await expect(source.poll(from(null), signal)).rejects.toMatchObject({ reason: 'GitUnauthorized' })
    expect(await make({ username: 'bot', password: 'secret' }).poll(from(null), signal)).toMatchObject({
      revision: tip,
    })
    server.authorization = 'Bearer t0ken'
    expect(await make({ bearer: 't0ken' }).poll(from(null), signal)).toMatchObject({ revision: tip })
  })
})
