/** Private keys and tokens of a hub and a site that run: in their own files of mode 0600, and nowhere else. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { initRepository } from '../../../src/adapters/git/write.ts'
import { openAgentStore } from '../../../src/adapters/store/agent-store.ts'
import { SecretText } from '../../../src/core/model/secret.ts'
import { startAgent } from '../../../src/process/agent.ts'
import { startHub } from '../../../src/process/hub.ts'
import type { Logger } from '../../../src/runtime/logger.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { SimCluster } from '../../../src/sim/cluster.ts'
import { shops } from '../hub/files.ts'
import { ADMIN } from '../hub/rig.ts'

let dir: string
beforeAll(() => void (dir = mkdtempSync(join(tmpdir(), 'flotilla-canary-'))))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

test('a secret text shows itself to whoever asks it by name, and to nothing that prints', () => {
  const secret = new SecretText('CANARY')
  const shown = [String(secret), JSON.stringify({ a: [secret] }), inspect({ a: { b: secret } }, { depth: 9, showHidden: true }), Object.values(secret).join(), String(new Error(`x ${String(secret)}`))] // prettier-ignore
  expect(shown.join('\n')).not.toContain('CANARY')
  expect(structuredCloneOf(secret)).not.toContain('CANARY')
  expect(secret.reveal()).toBe('CANARY')
})

function structuredCloneOf(value: object): string {
  return inspect(structuredClone(value))
}

/** Everything that is ever said, as deep as it goes. */
function listening(heard: string[]): Logger {
  const hear = (facts: unknown, message?: string): void =>
    void heard.push(inspect(facts, { depth: 12, showHidden: true, maxStringLength: null }), JSON.stringify(facts) ?? '', message ?? '') // prettier-ignore
  const log: Logger = { info: hear, warn: hear, error: hear, debug: hear, child: (facts) => (hear(facts), log) }
  return log
}

const files = (folder: string): readonly string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))

test('canaries: what a hub and a site log, answer, throw and store besides their key files holds none of their keys', async () => {
  const repo = join(dir, 'repo')
  for (const [file, text] of Object.entries(shops({ sites: ['s1'] }))) {
    const { mkdirSync } = await import('node:fs')
    mkdirSync(join(repo, file, '..'), { recursive: true })
    writeFileSync(join(repo, file), text)
  }
  await initRepository(repo, 'main', 'first', { name: 'T', email: 't@example.com' })
  const heard: string[] = []
  const log = listening(heard)
  const signal = new AbortController().signal
  const hub = await startHub(
    {
      repo, branch: 'main', root: '', data: join(dir, 'hub'), listen: '127.0.0.1:0', api: '127.0.0.1:0', advertise: undefined,
      credentials: null, gitPollMs: 200, trustClock: 'judged', version: 'test', clock: systemClock, log,
    },
    signal,
  ) // prettier-ignore
  const site = join(dir, 'site')
  const { token, line } = await hub.api.createToken(ADMIN, 's1', 60_000)
  const agent = await startAgent(
    {
      data: site, join: line, cluster: new SimCluster({ clock: systemClock }), clock: systemClock, log,
      machine: { bootId: 'boot', uptimeMs: () => performance.now() }, options: { version: 'test', pollMs: 50 },
    },
    signal,
  ) // prettier-ignore
  for (let i = 0; i < 800 && agent.agent.status().generation === null; i++) await new Promise((r) => setTimeout(r, 50))
  expect(agent.agent.status().generation).not.toBeNull()
  // Words that are refused are said again in the refusal.
  const { secret } = await hub.api.createApiToken('ann', 'operator', [], { by: ADMIN })
  for (const work of [
    () => startAgent({ data: join(dir, 'other'), join: line, cluster: new SimCluster({ clock: systemClock }), clock: systemClock, log, machine: { bootId: 'b', uptimeMs: () => 0 }, options: { version: 'test' } }, signal),
    () => startAgent({ data: join(dir, 'third'), join: `${line}x`, cluster: new SimCluster({ clock: systemClock }), clock: systemClock, log, machine: { bootId: 'b', uptimeMs: () => 0 }, options: { version: 'test' } }, signal),
  ]) await work().then(() => expect.unreachable(), (error: unknown) => heard.push(inspect(error, { depth: 9 }))) // prettier-ignore
  for (const answer of [hub.api.status(), hub.api.site('s1'), hub.api.why('site', 's1'), hub.api.events(0, 500), hub.api.audit(0, 500)]) heard.push(JSON.stringify(await answer)) // prettier-ignore
  heard.push(inspect(agent.agent.status(), { depth: 9 }))

  const store = openAgentStore(site)
  const identity = store.identity()!
  heard.push(inspect(identity, { depth: 9 }), JSON.stringify(identity))
  store.close()
  await agent[Symbol.asyncDispose]()
  await hub[Symbol.asyncDispose]()

  const bodyOf = (pem: string): string => pem.split('\n').slice(1, -2).join('').slice(4, 60)
  const keys = files(join(dir, 'hub', 'keys')).filter((file) => file.endsWith('.key'))
  const canaries = new Map<string, string>([
    ['the site’s TLS key', bodyOf(identity.privateKey.reveal())],
    ['the site’s age key', identity.ageKey.reveal()],
    ['the join token', token],
    ['an operator’s token', secret],
    ['the admin’s token', hub.adminToken],
    ...keys.map((file): [string, string] => {
      const text = readFileSync(file, 'utf8')
      return [file, text.startsWith('-----') ? bodyOf(text) : text.trim().slice(0, 60)]
    }),
  ])
  expect(keys.length).toBeGreaterThanOrEqual(4)
  const own = /\/keys\/|\/identity$|admin\.token$/
  const stored = files(dir).filter((file) => !own.test(file) && !file.startsWith(repo))
  expect(stored.length).toBeGreaterThan(1)
  const places = new Map([['what was said', heard.join('\n')], ...stored.map((file): [string, string] => [file, readFileSync(file, 'latin1')])]) // prettier-ignore
  for (const [name, canary] of canaries) {
    expect([name, canary.length > 15]).toEqual([name, true])
    for (const [place, text] of places) expect([name, place, text.includes(canary)]).toEqual([name, place, false])
  }
  for (const file of files(dir).filter((name) => own.test(name) && !name.endsWith('.pem')))
    expect([file, (statSync(file).mode & 0o077).toString(8)]).toEqual([file, '0'])
}, 120_000)
