/** The hub's keys are rotated, all of them, by the command, while one site is connected and one is dark: no site is lost. */
import { generateKeyPairSync } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { AuditView, Page, SiteView } from '../../src/core/api/types.ts'
import { buildCli, eventually, flotilla, FleetRepo, type HubUnderTest, type Program, startAgent, startHub } from './fleet.ts' // prettier-ignore

const HEAD = 'apiVersion: flotilla.dev/v1alpha1\n'
let dir: string
let repo: FleetRepo
let hub: HubUnderTest
const agents = new Map<string, Program>()

const word = (text: string): string => {
  repo.write('base/word.yaml', `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: word }\ndata: { word: ${text} }\n`)
  return repo.push(text)
}
const site = (name: string): Promise<SiteView> => hub.get(`/v1/sites/${name}`)
const has = (name: string, revision: string, ms = 60_000): Promise<unknown> =>
  eventually(
    `${name} runs ${revision}`,
    async () => {
      const { revision: at, sync, link, conditions } = await site(name)
      return at === revision && sync === 'Synced' && link === 'Online' && conditions.length === 0
    },
    ms,
  )

beforeAll(async () => {
  buildCli()
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'flotilla-keys-'))
  repo = new FleetRepo(dir)
  repo.write('flotilla.yaml', `${HEAD}kind: Fleet\nmetadata: { name: keys }\nspec: { defaults: { rollout: all } }\n`)
  repo.write(
    'all.yaml',
    `${HEAD}kind: RolloutPolicy\nmetadata: { name: all }\nspec: { waves: [{ name: all, maxConcurrent: 100%, soak: 1s }], maxUnavailable: 100%, minCoverage: 1%, offline: { excuseAfter: 1s } }\n`,
  )
  repo.write(
    'word.yaml',
    `${HEAD}kind: Workload\nmetadata: { name: word }\nspec: { source: { path: ./base }, namespace: default, targets: [{ selector: { matchLabels: { all: "1" } } }] }\n`,
  )
  for (const name of ['bright', 'dark'])
    repo.write(`${name}.yaml`, `${HEAD}kind: Site\nmetadata: { name: ${name}, labels: { all: "1" } }\nspec: {}\n`)
}, 60_000)
afterAll(async () => {
  for (const agent of agents.values()) await agent.stop('SIGKILL')
  await hub?.program.stop('SIGKILL')
  fs.rmSync(dir, { recursive: true, force: true })
})

const rotate = async (...step: string[]): Promise<void> => {
  const done = flotilla(['hub', 'rotate', ...step, '--data', hub.data], {})
  expect([done.err, done.code]).toEqual(['', 0])
  await hub.program.stop()
  hub.program.start()
  await eventually('the hub is back', () => hub.get('/v1/status'))
}

test('every key, in every step', async () => {
  const first = word('first')
  hub = await startHub(dir, repo.bare)
  for (const name of ['bright', 'dark']) agents.set(name, startAgent(dir, hub, name, undefined))
  for (const name of ['bright', 'dark']) await has(name, first)
  await agents.get('dark')?.stop('SIGKILL')

  for (const [i, step] of ['signing', 'authority', 'retire-old', 'root', 'time-epoch'].entries()) {
    await rotate(step)
    // Not only heard: told, by keys of now.
    await has('bright', word(`after-${i}`))
  }
  const bad = flotilla(['hub', 'rotate', 'everything', '--data', hub.data], {})
  expect([bad.code, bad.err]).toEqual([2, expect.stringContaining('expected signing, authority')])

  agents.get('dark')?.start()
  const last = word('together')
  for (const name of ['bright', 'dark']) await has(name, last)

  // The root begins to ask for a signer besides the hub: what is not signed for goes nowhere, and nobody complains.
  const signer = generateKeyPairSync('ed25519')
  const [key, publicKey] = [path.join(dir, 'signer.pem'), path.join(dir, 'signer.pub')]
  fs.writeFileSync(key, signer.privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 })
  fs.writeFileSync(publicKey, signer.publicKey.export({ type: 'spki', format: 'pem' }))
  await rotate('release-signer', '--key', publicKey)
  const unsigned = word('unsigned')
  await eventually('the hub waits for the signer', () => hub.cli('why', 'site/bright').out.includes('Unsigned('))
  // The link's own complaint is of the hub's restart, and ends with a report.
  const quiet = await eventually('nobody complains', async () => {
    const one = await site('bright')
    return one.conditions.length === 0 && one
  })
  expect(quiet.revision).toBe(last)
  const stranger = path.join(dir, 'stranger.pem')
  fs.writeFileSync(stranger, generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }))
  expect(hub.cli('sign', repo.work, '--key', stranger).err).toContain('SignatureInvalid')
  expect(hub.cli('sign', repo.work, '--key', key)).toMatchObject({ code: 0, err: '' })
  for (const name of ['bright', 'dark']) await has(name, unsigned)
  const { items } = await hub.get<Page<AuditView>>('/v1/audit?limit=500')
  expect(items.filter(({ action }) => action === 'hub rotate')).toHaveLength(6)
}, 180_000)
