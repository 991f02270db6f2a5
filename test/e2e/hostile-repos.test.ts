/**
 * Repositories that somebody made to do harm, or made by accident: over a real Git server, through the real fetch, the thread that
 * reads and a real hub. Each ends with a place and a code, moves nothing, and the next good commit is taken. What does not need Git
 * to exist is refused by `lint` for the same reason.
 */
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { readFolder } from '../../src/adapters/git/folder.ts'
import { createGitSource } from '../../src/adapters/git/source.ts'
import { createFleetCache, parseFleet } from '../../src/core/fleet/parse.ts'
import { renderFleet } from '../../src/core/fleet/render.ts'
import { Fault } from '../../src/core/model/fault.ts'
import { createWorkerCompiler, type WorkerCompiler } from '../../src/renderer/worker-compiler.ts'
import { gitProgram, type GitServer, startGitServer } from '../git/http-server.ts'
import { shops } from '../unit/hub/files.ts'
import { Rig } from '../unit/hub/rig.ts'

const OURS = 'apiVersion: flotilla.dev/v1alpha1\n'
const CONFIG = 'apiVersion: v1\nkind: ConfigMap\nmetadata: { name: more }\n'
const SITE = `${OURS}kind: Site\nmetadata: { name: s9 }\n`

let dir: string
let work: string
let server: GitServer
let compiler: WorkerCompiler
let rig: Rig

const git = (...args: string[]): string => gitProgram(work, '-c', 'core.protectNTFS=false', ...args)
/** All of the work tree, as a commit on the branch that the hub follows. */
const push = (): string => {
  git('add', '-A')
  git('commit', '-qm', 'as it is', '--allow-empty')
  return pushed()
}
const pushed = (): string => {
  git('push', '-q', 'origin', 'HEAD:main')
  return git('rev-parse', 'HEAD')
}
const write = (file: string | Buffer, content: string | Uint8Array): void => {
  const whole = Buffer.concat([Buffer.from(`${work}/`), Buffer.from(file)])
  fs.mkdirSync(path.dirname(whole.toString('latin1')), { recursive: true })
  fs.writeFileSync(whole, content)
}
const good = (): void => {
  for (const entry of fs.readdirSync(work)) if (entry !== '.git') fs.rmSync(path.join(work, entry), { recursive: true })
  for (const [file, text] of Object.entries(shops({ sites: ['s1', 's2'] }))) write(file, text)
}
/** What people see: a fault of the source, or the first error, as `code place`. */
async function seen(): Promise<{ readonly revision: string | null; readonly said: string }> {
  await rig.settle()
  const { revision, fault, problems } = (await rig.hub.api.status()).source
  const [first] = problems.filter(({ severity }) => severity === 'error')
  const problem = first === undefined ? 'nothing' : `${first.code} ${first.place.file}:${first.place.line}`
  return { revision, said: fault === null ? problem : `${fault.reason} ${fault.message}` }
}
/** What `flotilla lint` finds in the same folder. */
function linted(): string {
  try {
    const tree = readFolder(work)
    const cache = createFleetCache()
    const { fleet, problems } = parseFleet(tree, { root: '', revision: 'x', cache })
    const all = [...problems, ...(fleet === null ? [] : renderFleet(fleet, tree, cache).problems)]
    const [first] = all.filter(({ severity }) => severity === 'error')
    return first === undefined ? 'nothing' : `${first.code} ${first.place.file}:${first.place.line}`
  } catch (error) {
    if (error instanceof Fault) return `${error.reason} ${error.message}`
    throw error
  }
}

beforeAll(async () => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'flotilla-hostile-'))
  work = path.join(dir, 'work')
  fs.mkdirSync(work)
  gitProgram(dir, 'init', '-q', '--bare', '-b', 'main', 'fleet.git')
  git('init', '-q', '-b', 'main')
  git('remote', 'add', 'origin', path.join(dir, 'fleet.git'))
  server = await startGitServer(dir)
  compiler = createWorkerCompiler()
  const source = createGitSource({
    url: `${server.url}/fleet.git`,
    branch: 'main',
    root: '',
    dir: path.join(dir, 'hub'),
    credentials: null,
  })
  rig = await Rig.open({ git: source, compiler })
})
afterAll(async () => {
  await rig?.[Symbol.asyncDispose]()
  await compiler?.[Symbol.asyncDispose]()
  await server?.[Symbol.asyncDispose]()
  fs.rmSync(dir, { recursive: true, force: true })
})

let before: string
beforeEach(async () => {
  good()
  before = push()
  const { revision, said } = await seen()
  if (revision !== before || said !== 'nothing') throw new Error(`the good commit is not taken: ${said}`)
})

const bomb = (first: string): string =>
  `${first}\na: &a [l, l, l, l, l, l, l, l, l]\n${Array.from({ length: 9 }, (_, i) => {
    const [of, name] = [String.fromCharCode(97 + i), String.fromCharCode(98 + i)]
    return `${name}: &${name} [${Array.from({ length: 9 }, () => `*${of}`).join(', ')}]\n`
  }).join('')}`

describe('a file that is ours stops the revision, and says where', () => {
  test.each<readonly [string, string | RegExp, () => void]>([
    ['nested a hundred thousand deep', /^FLT1007 sites\/x.yaml:2$/, () => write('sites/x.yaml', `${OURS}kind: ${'['.repeat(1e5)}`)],
    ['an alias bomb', /^FLT1007 sites\/x.yaml:/, () => write('sites/x.yaml', bomb(SITE))],
    ['the same key twice', 'FLT1006 sites/x.yaml:4', () => write('sites/x.yaml', `${SITE}metadata: { name: s8 }\nspec: {}\n`)],
    ['two documents of one name', /^FLT1012 sites\/x.yaml:/, () => write('sites/x.yaml', SITE.replace('s9', 's1') + 'spec: {}\n')],
    ['a NUL byte', 'FLT1002 sites/x.yaml:4', () => write('sites/x.yaml', `${SITE}spec: { displayName: "a\0b" }\n`)],
    ['a text that draws on terminals', 'FLT1002 sites/x.yaml:4', () => write('sites/x.yaml', `${SITE}spec: { displayName: "\u001b[2J" }\n`)],
    ['Latin-1', 'FLT1017 sites/x.yaml:1', () => write('sites/x.yaml', Buffer.from(`${SITE}spec: { displayName: "caf\xe9" }\n`, 'latin1'))],
    ['UTF-16', 'FLT1017 sites/x.yaml:1', () => write('sites/x.yaml', Buffer.from(`\ufeff${SITE}spec: {}\n`, 'utf16le'))],
    ['a pointer of Git LFS in the place of a site', 'FLT1025 sites/s2.yaml:1', () =>
      write('sites/s2.yaml', `version https://git-lfs.github.com/spec/v1\noid sha256:${'4d'.repeat(32)}\nsize 12345\n`)],
    ['a tag that makes code', 'FLT1018 sites/x.yaml:2', () => write('sites/x.yaml', `${OURS}kind: !!js/function "function(){}"\nmetadata: { name: s9 }\n`)],
    ['five megabytes of one name', 'FLT1007 sites/x.yaml:1', () => write('sites/x.yaml', `${SITE}spec: { displayName: "${'x'.repeat(5e6)}" }\n`)],
    ['a second root file by another case', 'FLT1013 Flotilla.yaml:1', () => write('Flotilla.yaml', `${OURS}kind: Fleet\nmetadata: { name: two }\nspec: {}\n`)],
    ['a root file that is empty', 'FLT1013 flotilla.yaml:1', () => write('flotilla.yaml', '')],
    ['no root file', 'FLT1001 flotilla.yaml:1', () => fs.rmSync(path.join(work, 'flotilla.yaml'))],
    ['a source outside the repository', 'FLT1020 apps/web/workload.yaml:5', () =>
      write('apps/web/workload.yaml', fs.readFileSync(path.join(work, 'apps/web/workload.yaml'), 'utf8').replace('./base', '../../../../etc'))],
  ])('%s', async (_name, expected, make) => {
    make()
    expect(linted()).toMatch(expected)
    push()
    const { revision, said } = await seen()
    expect(said).toMatch(expected)
    expect(revision).toBe(before)
  }) // prettier-ignore
})

describe('a source holds its workload at what it was, and the rest of the revision goes on', () => {
  test.each<readonly [string, string | RegExp, () => void]>([
    ['nested a hundred thousand deep', 'FLT2002 apps/web/base/x.yaml:1', () => write('apps/web/base/x.yaml', `a: ${'['.repeat(1e5)}`)],
    ['an alias bomb', /^FLT2002 apps\/web\/base\/x.yaml:/, () => write('apps/web/base/x.yaml', bomb(CONFIG))],
    ['an alias to itself', 'FLT2002 apps/web/base/x.yaml:3', () => write('apps/web/base/x.yaml', 'apiVersion: v1\nkind: ConfigMap\nmetadata: &m { name: x, labels: *m }\n')],
    ['merge keys upon merge keys', /^FLT2002 apps\/web\/base\/x.yaml:/, () =>
      write('apps/web/base/x.yaml', `a: &m0 { x: 1 }\n${Array.from({ length: 1e3 }, (_, i) => `b${i}: &m${i + 1} { <<: [*m${i}, *m${i}] }\n`).join('')}`)],
    ['thirty thousand keys', 'FLT2002 apps/web/base/x.yaml:5', () =>
      write('apps/web/base/x.yaml', `${CONFIG}data:\n${Array.from({ length: 3e4 }, (_, i) => `  k${i}: "1"\n`).join('')}`)],
    ['the same key twice', 'FLT2002 apps/web/base/x.yaml:5', () => write('apps/web/base/x.yaml', `${CONFIG}data: { a: "1" }\ndata: { a: "2" }\n`)],
    ['a NUL byte', 'FLT2002 apps/web/base/x.yaml:4', () => write('apps/web/base/x.yaml', `${CONFIG}data: { a: "\0" }\n`)],
    ['Latin-1', 'FLT2002 apps/web/base/x.yaml:1', () => write('apps/web/base/x.yaml', Buffer.from(`${CONFIG}data: { a: "caf\xe9" }\n`, 'latin1'))],
    ['a pointer of Git LFS', 'FLT2003 apps/web/base/x.yaml:1', () => write('apps/web/base/x.yaml', `version https://git-lfs.github.com/spec/v1\noid sha256:${'4d'.repeat(32)}\nsize 1\n`)],
    ['twenty thousand documents', 'FLT2002 apps/web/base/x.yaml:1', () => write('apps/web/base/x.yaml', '---\n'.repeat(2e4))],
    ['a number that JSON cannot carry', 'FLT2002 apps/web/base/x.yaml:4', () => write('apps/web/base/x.yaml', `${CONFIG}data: { a: 99999999999999999999 }\n`)],
    ['a kustomization that fetches', /^FLT2010 apps\/web\/base\/kustomization.yaml:/, () =>
      write('apps/web/base/kustomization.yaml', 'resources: [config.yaml, "https://evil.example/x.yaml", ../../../etc/passwd]\n')],
  ])('%s', async (_name, expected, make) => {
    make()
    expect(linted()).toMatch(expected)
    const tip = push()
    const { revision, said } = await seen()
    expect(said).toMatch(expected)
    expect(revision).toBe(tip)
    expect((await rig.hub.api.workload('web')).heldBy).toHaveLength(1)
  }) // prettier-ignore
})

/** A tree entry as no `git add` writes it. */
const raw = (mode: string, name: string | Buffer, oid: string): Buffer =>
  Buffer.concat([Buffer.from(`${mode} `), Buffer.from(name), Buffer.from([0]), Buffer.from(oid, 'hex')])
const hashed = (type: string, bytes: Uint8Array): string => {
  const done = spawnSync('git', ['hash-object', '-w', '-t', type, '--literally', '--stdin'], {
    cwd: work,
    input: bytes,
  })
  if (done.status !== 0) throw new Error(done.stderr.toString())
  return done.stdout.toString().trim()
}
/** A commit whose root folder is what it was, and one entry more. */
const withEntry = (mode: string, name: string | Buffer, oid = hashed('blob', Buffer.from('x'))): void => {
  const was = spawnSync('git', ['cat-file', 'tree', 'HEAD^{tree}'], { cwd: work }).stdout
  const tree = hashed('tree', Buffer.concat([was, raw(mode, name, oid)]))
  git('update-ref', 'HEAD', git('commit-tree', tree, '-p', 'HEAD', '-m', 'odd'))
}

describe('what no tree may hold stops the revision with its path', () => {
  test.each<readonly [string, RegExp, () => void]>([
    ['a symlink out of the repository', /^UnsafeTree apps\/web\/base\/x.yaml: a symlink/, () => {
      fs.symlinkSync('/etc/passwd', path.join(work, 'apps/web/base/x.yaml'))
      push()
    }],
    ['a symlink in the place of the root file', /^UnsafeTree flotilla.yaml: a symlink/, () => {
      fs.renameSync(path.join(work, 'flotilla.yaml'), path.join(work, 'other.yaml'))
      fs.symlinkSync('other.yaml', path.join(work, 'flotilla.yaml'))
      push()
    }],
    ['a name that is not UTF-8', /^UnsafeTree "apps\/web\/base\/caf.*not UTF-8/, () => {
      write(Buffer.from('apps/web/base/caf\xe9.yaml', 'latin1'), CONFIG)
      push()
    }],
    ['a name with a line break', /^UnsafeTree "apps\/web\/base\/a\\nb.yaml": a character/, () => {
      write('apps/web/base/a\nb.yaml', CONFIG)
      push()
    }],
    ['a name that turns text round', /^UnsafeTree ".*": a character/, () => {
      write('apps/web/base/\u202egpj.yaml', CONFIG)
      push()
    }],
    ['folders sixty deep', /^TooLarge (d\/){33}: folders nested deeper than 32/, () => {
      write(`${'d/'.repeat(60)}x.yaml`, CONFIG)
      push()
    }],
    ['a file of twenty megabytes', /^TooLarge docs\/film.bin: 20000000 bytes, above the limit/, () => {
      write('docs/film.bin', Buffer.alloc(20_000_000, 'f'))
      push()
    }],
  ])('%s', async (_name, expected, make) => {
    make()
    expect(linted()).toMatch(expected.source.startsWith('^UnsafeTree "') ? /^UnsafeTree / : expected)
    pushed()
    const { revision, said } = await seen()
    expect(said).toMatch(expected)
    expect(revision).toBe(before)
  }) // prettier-ignore

  test.each<readonly [string, RegExp, () => void]>([
    ['a submodule', /^UnsafeTree sub: a submodule/, () => withEntry('160000', 'sub', before)],
    ['a folder .git', /^UnsafeTree ".GIT": a name that Git keeps/, () => withEntry('40000', '.GIT', git('rev-parse', 'HEAD^{tree}'))],
    ['its short name', /^UnsafeTree "GIT~1": a name that Git keeps/, () => withEntry('100644', 'GIT~1')],
    ['a way up', /^UnsafeTree "..": not a file name/, () => withEntry('40000', '..', git('rev-parse', 'HEAD^{tree}'))],
    ['a slash within a name', /^UnsafeTree "a\/..\/b": a character/, () => withEntry('100644', 'a/../b')],
    ['an option of a program', /^UnsafeTree "--exec=sh": a name that begins with a dash/, () => withEntry('100644', '--exec=sh')],
    ['a mode of its own', /^UnsafeTree odd: file mode 100600/, () => withEntry('100600', 'odd')],
    ['a folder within itself, again and again', /^TooLarge .*folders nested deeper|^TooLarge .*more than/, () => {
      // 10 folders of 10 of 10 …: a hundred million files of one blob.
      let tree = hashed('blob', Buffer.from('x'))
      for (let depth = 0; depth < 8; depth++) {
        const mode = depth === 0 ? '100644' : '40000'
        tree = hashed('tree', Buffer.concat(Array.from({ length: 10 }, (_, i) => raw(mode, `x${i}`, tree))))
      }
      withEntry('40000', 'zz', tree)
    }],
  ])('%s', async (_name, expected, make) => {
    make()
    pushed()
    const { revision, said } = await seen()
    expect(said).toMatch(expected)
    expect(revision).toBe(before)
    git('reset', '-q', '--hard', before)
    git('push', '-qf', 'origin', 'HEAD:main')
  }) // prettier-ignore
})

test('a bomb of an eighth of a gigabyte of nothing is refused by its path, and is never held', async () => {
  const { maxRSS } = process.resourceUsage()
  const made = path.join(dir, 'nothing')
  fs.writeFileSync(made, '')
  fs.truncateSync(made, 128 * 1024 * 1024)
  withEntry('100644', 'zz.bin', git('hash-object', '-w', made))
  pushed()
  const { revision, said } = await seen()
  expect(said).toMatch(/^TooLarge zz.bin: 134217728 bytes, above the limit/)
  expect(revision).toBe(before)
  expect((process.resourceUsage().maxRSS - maxRSS) / 1024).toBeLessThan(96)
  // It is not fetched and unpacked again at each look.
  server.requests.length = 0
  await seen()
  expect(server.requests.filter((line) => line.startsWith('POST')).length).toBeLessThanOrEqual(1)
  git('reset', '-q', before)
  git('push', '-qf', 'origin', 'HEAD:main')
})

test('a hundred thousand files are read, and whoever asks meanwhile is answered', async () => {
  const lines = ['commit refs/heads/main', 'committer t <t@x> 1700000000 +0000', 'data 4', 'many', `from ${before}`]
  for (let i = 0; i < 100_000; i++) lines.push(`M 100644 inline many/${i % 100}/f${i}.yaml`, 'data 6', `a: ${i % 10}  `)
  const made = spawnSync('git', ['fast-import', '--quiet', '--force'], { cwd: work, input: `${lines.join('\n')}\n` })
  expect(made.stderr.toString()).toBe('')
  const tip = pushed()
  expect(await seen()).toEqual({ revision: tip, said: 'nothing' })
  git('update-ref', 'HEAD', git('commit-tree', `${before}^{tree}`, '-p', tip, '-m', 'back'))
  pushed()
})

test('text as other systems write it is text: a byte order mark, CRLF, hooks and attributes that nobody runs', async () => {
  for (const file of ['flotilla.yaml', 'apps/web/base/config.yaml']) {
    const text = fs.readFileSync(path.join(work, file), 'utf8')
    write(file, `\ufeff${text.replaceAll('\n', '\r\n')}`)
  }
  write('.gitattributes', '*.yaml filter=evil\n')
  write('.githooks/post-checkout', '#!/bin/sh\ntouch /tmp/evil\n')
  write('apps/web/base/A.yaml', CONFIG)
  write('apps/web/base/a.yaml', CONFIG.replace('more', 'other'))
  expect(linted()).toBe('nothing')
  const tip = push()
  expect(await seen()).toEqual({ revision: tip, said: 'nothing' })
})
