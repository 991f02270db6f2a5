/** Signed commits, as git, ssh-keygen and gpg make them, through the hub as a process; a simulated site shows what moves. */
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openObjectDb } from '../../src/adapters/git/object-db.ts'
import { verifyCommit } from '../../src/adapters/git/signature.ts'
import { readSigners } from '../../src/adapters/git/signers.ts'
import type { SiteView, StatusView } from '../../src/core/api/types.ts'
import { buildCli, eventually, FleetRepo, type HubUnderTest, type Program, startAgent, startHub } from './fleet.ts'

let dir: string
let repo: FleetRepo
let hub: HubUnderTest
let agent: Program

const run = (program: string, args: readonly string[], home = path.join(dir, 'gpg')): string => {
  const done = spawnSync(program, args, { encoding: 'utf8', env: { ...process.env, GNUPGHOME: home } })
  if (done.status !== 0) throw new Error(`${program} ${args.join(' ')}: ${done.error?.message ?? done.stderr}`)
  return done.stdout
}
const gpg = (...args: string[]): string => run('gpg', ['--batch', '--passphrase', '', ...args])
const sshKey = (name: string, type: string): string => {
  const file = path.join(dir, `${name}-${type}`)
  run('ssh-keygen', ['-q', '-t', type, ...(type === 'rsa' ? ['-b', '3072'] : []), '-N', '', '-C', name, '-f', file])
  return file
}
const publicLine = (file: string): string => fs.readFileSync(`${file}.pub`, 'utf8').trim()
const bySsh = (file: string): void => {
  repo.git('config', 'gpg.format', 'ssh')
  repo.git('config', 'user.signingkey', file)
}
const byGpg = (id: string, program = 'gpg'): void => {
  repo.git('config', 'gpg.format', 'openpgp')
  repo.git('config', 'gpg.program', program)
  repo.git('config', 'user.signingkey', id)
}
/** gpg on a day of the past. */
const gpgAt = (day: string): string => {
  const file = path.join(dir, `gpg-${day}`)
  fs.writeFileSync(file, `#!/bin/sh\nexec gpg --faked-system-time ${day}T120000! "$@"\n`, { mode: 0o755 })
  return file
}

beforeAll(async () => {
  buildCli()
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'flotilla-signed-'))
  fs.mkdirSync(path.join(dir, 'gpg'), { mode: 0o700 })
  process.env['GNUPGHOME'] = path.join(dir, 'gpg')
  repo = new FleetRepo(dir)
})
afterAll(async () => {
  await agent?.stop('SIGKILL')
  await hub?.program.stop('SIGKILL')
  for (const home of ['gpg', 'gpg2'])
    if (fs.existsSync(path.join(dir, home))) run('gpgconf', ['--kill', 'gpg-agent'], path.join(dir, home))
  fs.rmSync(dir, { recursive: true, force: true })
})

test.each(['ed25519', 'rsa', 'ecdsa'])('a commit that git and ssh-keygen signed with %s is judged', async (type) => {
  const key = sshKey('any', type)
  bySsh(key)
  repo.write('README.md', type)
  const commit = repo.push(`by ${type}\n\nmore`, '-S')
  using db = openObjectDb(path.join(repo.work, '.git'), 1 << 20)
  const raw = db.read(commit, 'commit')
  expect(await verifyCommit(raw, await readSigners([publicLine(key)]))).toEqual({ kind: 'signed', by: 'any' })
  expect(await verifyCommit(raw, await readSigners([]))).toMatchObject({ kind: 'unknown' })
})

test.each([['ed25519'], ['rsa3072']])('a commit that git and gpg signed with %s is judged', async (algorithm) => {
  const id = `any ${algorithm} <any-${algorithm}@example.com>`
  gpg('--quick-gen-key', id, algorithm, 'sign', '0')
  byGpg(id)
  repo.write('README.md', algorithm)
  const commit = repo.push(`by ${algorithm}`, '-S')
  using db = openObjectDb(path.join(repo.work, '.git'), 1 << 20)
  const raw = db.read(commit, 'commit')
  const signers = await readSigners([gpg('--armor', '--export', id)])
  expect(await verifyCommit(raw, signers)).toEqual({ kind: 'signed', by: id })
  expect(await verifyCommit(raw, await readSigners([]))).toMatchObject({ kind: 'unknown' })
  const bent = Buffer.from(raw.toString('latin1').replace('\n\nby', '\n\nBy'), 'latin1')
  expect(await verifyCommit(bent, signers)).toMatchObject({ kind: 'invalid' })
})

const HEAD = 'apiVersion: flotilla.dev/v1alpha1\n'
const BOB = 'Bob <bob@example.com>'
const EVE = 'Eve <eve@example.com>'
const signers: string[] = []
const fleet = (): string =>
  `${HEAD}kind: Fleet
metadata: { name: signed }
spec:
  source: { verify: { mode: enforce, signers: ${JSON.stringify(signers)} } }
`
const word = (text: string): void =>
  repo.write(
    'base/word.yaml',
    `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: word }\ndata: { word: ${JSON.stringify(text)} }\n`,
  )
const status = (): Promise<StatusView> => hub.get('/v1/status')
const applied = async (): Promise<string | null | undefined> =>
  (await hub.get<SiteView>('/v1/sites/one')).workloads.find(({ workload }) => workload === 'word')?.applied
let good = ''
let running: string | null | undefined
const taken = async (revision: string): Promise<void> => {
  await eventually(`the hub takes ${revision}`, async () => {
    const { source } = await status()
    return source.revision === revision && source.fault === null
  })
  good = revision
}
/** The hub says why, the fleet stays, and the branch goes back to what was good. */
const refused = async (reason: string, commit: string): Promise<void> => {
  await eventually(`the hub refuses ${commit} for ${reason}`, async () => {
    const { fault } = (await status()).source
    return fault?.reason === reason && fault.message.includes(commit.slice(0, 12))
  })
  expect((await status()).source.revision).toBe(good)
  expect(await applied()).toBe(running)
  for (const command of [['status'], ['why', 'site/one']]) {
    const shown = hub.cli(...command).out
    expect(shown).toContain(reason)
    expect(shown).toContain(commit.slice(0, 12))
  }
  repo.git('reset', '-q', '--hard', good)
}

test('through the hub: only what a signer of the fleet stands for moves anything', async () => {
  const ann = sshKey('ann', 'ed25519')
  const stranger = sshKey('stranger', 'ed25519')
  gpg('--quick-gen-key', BOB, 'ed25519', 'sign', '0')
  run(gpgAt('20250101'), ['--batch', '--passphrase', '', '--quick-gen-key', EVE, 'ed25519', 'sign', '30d'])
  signers.push(publicLine(ann), gpg('--armor', '--export', BOB), gpg('--armor', '--export', EVE))
  repo.write('flotilla.yaml', fleet())
  repo.write(
    'word.yaml',
    `${HEAD}kind: Workload
metadata: { name: word }
spec: { source: { path: ./base }, namespace: default, targets: [{ selector: { matchLabels: { one: "1" } } }] }
`,
  )
  repo.write('site.yaml', `${HEAD}kind: Site\nmetadata: { name: one, labels: { one: "1" } }\nspec: {}\n`)
  word('first')
  bySsh(ann)
  const first = repo.push('first', '-S')
  hub = await startHub(dir, repo.bare)
  await taken(first)
  agent = startAgent(dir, hub, 'one', undefined)
  await eventually('the site has the first word', async () => typeof (await applied()) === 'string')
  running = await applied()

  word('nobody signed this')
  const unsigned = repo.push('unsigned')
  await refused('CommitUnsigned', unsigned)

  word('by a stranger')
  bySsh(stranger)
  const strange = repo.push('strange', '-S')
  bySsh(ann)
  word('and one over it, signed')
  repo.push('over', '-S')
  await refused('SignerUnknown', strange)

  byGpg(EVE, gpgAt('20250110'))
  word('by an expired key that says an early date')
  process.env['GIT_COMMITTER_DATE'] = '2025-01-10T12:00:00Z'
  const early = repo.push('early', '-S')
  delete process.env['GIT_COMMITTER_DATE']
  await refused('SignerExpired', early)

  // Who is let go pushes on top before the hub looks, and lets himself in again.
  const all = [...signers]
  signers.splice(1, 1)
  repo.write('flotilla.yaml', fleet())
  bySsh(ann)
  repo.git('commit', '-qam', 'bob is let go', '-S')
  signers.splice(0, signers.length, ...all)
  repo.write('flotilla.yaml', fleet())
  byGpg(BOB)
  await refused('SignerUnknown', repo.push('and is back', '-S'))

  bySsh(stranger)
  repo.edit('flotilla.yaml', (text) => text.replace('mode: enforce', 'mode: warn'))
  await refused('SignerUnknown', repo.push('takes the rule away', '-S'))

  repo.git('checkout', '-q', '-b', 'feature')
  word('reviewed')
  repo.git('commit', '-qam', 'unsigned, beside')
  repo.git('checkout', '-q', 'main')
  byGpg(BOB)
  repo.git('merge', '-q', '-S', '--no-ff', '-m', 'merge', 'feature')
  repo.git('push', '-qf', 'origin', 'HEAD:main')
  await taken(repo.git('rev-parse', 'HEAD'))
  running = await eventually('the site has what was merged', async () => {
    const now = await applied()
    return now !== running && now
  })

  // A revoked key: as gpg's own certificate says it, exported from another home, so that this one can still sign.
  const home = path.join(dir, 'gpg2')
  fs.cpSync(path.join(dir, 'gpg'), home, { recursive: true, filter: (file) => !file.includes('S.gpg-agent') })
  const fingerprint = /^fpr:+([0-9A-F]{40}):/m.exec(gpg('--with-colons', '--fingerprint', BOB))?.[1] ?? ''
  const certificate = path.join(home, 'openpgp-revocs.d', `${fingerprint}.rev`)
  fs.writeFileSync(certificate, fs.readFileSync(certificate, 'utf8').replace(':-----BEGIN', '-----BEGIN'))
  run('gpg', ['--batch', '--import', certificate], home)
  signers[1] = run('gpg', ['--batch', '--armor', '--export', BOB], home)
  repo.write('flotilla.yaml', fleet())
  bySsh(ann)
  await taken(repo.push('bob is out', '-S'))
  byGpg(BOB)
  word('by a revoked key')
  await refused('SignerExpired', repo.push('revoked', '-S'))
}, 180_000)
