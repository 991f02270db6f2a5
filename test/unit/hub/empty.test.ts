/** A site that Git means nothing for keeps what it has, until Git says yes to the very list that empties it. */
import { expect, test } from 'vitest'
import { acceptConfirmedList } from '../../../src/core/protocol/deletions.ts'
import type { Files } from '../fleet/tree.ts'
import { SECOND, shops } from './files.ts'
import { type LightSite, Rig } from './rig.ts'

const FIVE = ['s1', 's2', 's3', 's4', 's5']

async function atRest(): Promise<{ rig: Rig; sites: LightSite[] }> {
  const rig = await Rig.open()
  rig.git.commit({ ...shops({ sites: FIVE }), ...SECOND })
  await rig.settle()
  const sites: LightSite[] = []
  for (const name of FIVE) sites.push(await rig.join(name))
  await rig.run(sites, 50)
  expect(sites.map((site) => entries(site))).toEqual(FIVE.map(() => 'b web'))
  return { rig, sites }
}

const entries = (site: LightSite | undefined): string =>
  (site?.manifest?.entries ?? []).map(({ workload }) => workload).join(' ')

/** One is out of Git, one out of every target. */
const OUT: Files = (() => {
  const files: Files = { ...shops({ sites: FIVE.slice(0, 4) }), ...SECOND }
  return { ...files, 'sites/s4.yaml': files['sites/s4.yaml']!.replace('open: "yes"', 'open: "no"') }
})()

const confirming = (files: Files, ...digests: readonly string[]): Files => ({
  ...files,
  'flotilla.yaml': `${files['flotilla.yaml']!}  deletionBrake: { confirmed: [${digests.map((it) => `"${it}"`).join(', ')}] }\n`,
})

async function take(rig: Rig, sites: readonly LightSite[], files: Files): Promise<void> {
  const revision = rig.git.commit(files)
  await rig.settle()
  expect((await rig.hub.api.status()).source.revision).toBe(revision)
  await rig.run(sites, 40)
}

/** As `flotilla why site` says it. */
async function nameOf(rig: Rig, site: string): Promise<string> {
  const [cause] = (await rig.hub.api.why('site', site)).causes
  expect(cause?.reason).toBe('Unlisted')
  return /sha256:[0-9a-f]{64}/.exec(cause?.message ?? '')?.[0] ?? 'none'
}

test.each(['s4', 's5'])('%s is emptied by the list that `why` names, and nobody else is', async (name) => {
  const { rig, sites } = await atRest()
  await using _rig = rig
  await take(rig, sites, OUT)
  expect(sites.map(entries)).toEqual(FIVE.map(() => 'b web'))
  const digest = await nameOf(rig, name)
  await take(rig, sites, confirming(OUT, digest))
  expect(sites.map(entries)).toEqual(FIVE.map((site) => (site === name ? '' : 'b web')))
  const site = sites.find((one) => one.caller.site === name)!
  const [list] = site.manifest?.deletionsConfirmed ?? []
  const bytes = await rig.hub.handler.blob(site.caller, 'deletions', list!)
  expect(acceptConfirmedList(list!, site.siteId, bytes!)).toMatchObject({
    ok: true,
    value: { list: digest, objects: ['/ConfigMap/b/b', '/ConfigMap/web/web'] },
  })
  // Nothing is left to lose.
  expect(await nameOf(rig, name)).toBe('none')
  expect((await rig.hub.api.events(0, 500)).items.filter(({ kind }) => kind === 'SiteEmptied')).toHaveLength(1)
})

test('the name of another site’s list, or of what it had before, empties nothing', async () => {
  const { rig, sites } = await atRest()
  await using _rig = rig
  await take(rig, sites, OUT)
  const early = await nameOf(rig, 's5')
  await take(rig, sites, { ...shops({ sites: FIVE, tag: '2' }), ...SECOND, 'apps/web/base/more.yaml': MORE })
  await take(rig, sites, { ...OUT, ...WITH_MORE })
  expect(await nameOf(rig, 's5')).not.toBe(early)
  await take(rig, sites, confirming({ ...OUT, ...WITH_MORE }, early))
  expect(entries(sites[4])).toBe('b web')
})

const MORE = 'apiVersion: v1\nkind: ConfigMap\nmetadata: { name: more }\ndata: { x: "1" }\n'
const WITH_MORE: Files = {
  'apps/web/base/more.yaml': MORE,
  'apps/web/base/config.yaml': shops({ tag: '2' })['apps/web/base/config.yaml']!,
}

test('a yes counts once: a site that came back into Git and left it again keeps what it has', async () => {
  const { rig, sites } = await atRest()
  await using _rig = rig
  const all = { ...shops({ sites: FIVE }), ...SECOND }
  await take(rig, sites, OUT)
  const digest = await nameOf(rig, 's5')
  await take(rig, sites, confirming(OUT, digest))
  expect(entries(sites[4])).toBe('')
  await take(rig, sites, confirming(all, digest))
  expect(entries(sites[4])).toBe('b web')
  await take(rig, sites, confirming(OUT, digest))
  expect([entries(sites[4]), await nameOf(rig, 's5')]).toEqual(['b web', digest])
  await take(rig, sites, OUT)
  await take(rig, sites, confirming(OUT, digest))
  expect(entries(sites[4])).toBe('')
})

test('a yes to a site that Git means something for is not one', async () => {
  const { rig, sites } = await atRest()
  await using _rig = rig
  await take(rig, sites, OUT)
  const digest = await nameOf(rig, 's5')
  await take(rig, sites, confirming({ ...shops({ sites: FIVE }), ...SECOND }, digest))
  expect(entries(sites[4])).toBe('b web')
})

test('the yes to a fleet’s list lets go what it names at sites out of every target, and leaves sites out of Git as they are', async () => {
  const { rig, sites } = await atRest()
  await using _rig = rig
  const files: Files = { ...shops({ sites: ['s1', 's2', 's3'] }), ...SECOND }
  const out = { ...files, 'sites/s3.yaml': files['sites/s3.yaml']!.replace('open: "yes"', 'open: "no"') }
  rig.git.commit(out)
  await rig.settle()
  const brake = (await rig.hub.api.status()).brake
  expect(brake?.message).toMatch(/2 Sites would be removed/)
  await take(rig, sites, confirming(out, brake!.digest))
  expect(sites.map(entries)).toEqual(['b web', 'b web', '', 'b web', 'b web'])
})
