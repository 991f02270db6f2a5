import { describe, expect, test } from 'vitest'
import { digestJson } from '../../../src/core/model/digest.ts'
import { acceptConfirmedList } from '../../../src/core/protocol/deletions.ts'
import { compiler, type Compiler } from '../../../src/hub/compile.ts'
import type { CommitRefusal, CommitsToJudge } from '../../../src/hub/ports.ts'
import type { Files } from '../fleet/tree.ts'
import { SECOND, shops, type Shape } from './files.ts'
import { ADMIN, type LightSite, Rig } from './rig.ts'

const MANY = Array.from({ length: 12 }, (_, i) => `s${i + 1}`)

/** Sites joined and at rest on the first commit. */
async function atRest(shape: Shape = {}): Promise<{ rig: Rig; sites: LightSite[]; revision: string }> {
  const rig = await Rig.open()
  const revision = rig.git.commit(shops(shape))
  await rig.settle()
  const sites: LightSite[] = []
  for (const name of shape.sites ?? ['s1', 's2', 's3']) sites.push(await rig.join(name))
  await rig.run(sites, 50)
  return { rig, sites, revision }
}

describe('nothing moves, and status says why', () => {
  const broken: readonly (readonly [string, Files, string])[] = [
    ['a file that does not parse', { ...shops({ tag: '2' }), 'sites/x.yaml': 'apiVersion: flotilla.dev/v1alpha1\nkind: [Site\n' }, 'FLT1002'],
    ['a policy that nobody wrote', shops({ tag: '2', workload: '' , policy: 'spec: { waves: [] }\n' }), 'FLT'],
    ['no root file any more', { 'readme.md': 'gone' }, 'FLT1001'],
  ] // prettier-ignore
  test.each(broken)('%s', async (_, files, code) => {
    const { rig, sites, revision } = await atRest()
    await using _rig = rig
    const before = sites.map(({ floor }) => floor?.generation.counter)
    const bad = rig.git.commit(files)
    await rig.settle()
    await rig.run(sites, 3)
    const { source, needsYou } = await rig.hub.api.status()
    expect(source).toMatchObject({ revision, seen: bad, fault: null })
    expect(source.problems[0]?.code).toContain(code)
    expect(needsYou[0]?.message).toContain('out')
    expect(sites.map(({ floor }) => floor?.generation.counter)).toEqual(before)
    // And the repair is taken as any other revision.
    const good = rig.git.commit(shops({ tag: '3' }))
    await rig.settle()
    expect((await rig.hub.api.status()).source).toMatchObject({ revision: good, seen: null, problems: [] })
  })

  test.each(['GitUnreachable', 'GitUnauthorized', 'BranchGone', 'ObjectUnreadable', 'UnsafeTree'] as const)(
    '%s',
    async (reason) => {
      const { rig, revision } = await atRest()
      await using _rig = rig
      rig.git.commit(shops({ tag: '2' }))
      rig.git.fault = reason
      await rig.settle()
      const first = (await rig.hub.api.status()).source
      expect(first).toMatchObject({ revision, fault: { reason } })
      const before = rig.store.written
      await rig.clock.advance(60_000)
      await rig.settle()
      // A host that is away for long is one row, and its since is when it began.
      expect(rig.store.written).toBe(before)
      expect((await rig.hub.api.status()).source.fault?.sinceMs).toBe(first.fault?.sinceMs)
      rig.git.fault = null
      await rig.settle()
      expect((await rig.hub.api.status()).source.fault).toBeNull()
    },
  )

  test('a force-push moves nothing until an admin accepts it', async () => {
    const { rig, revision } = await atRest()
    await using _rig = rig
    const forced = rig.git.rewrite(shops({ tag: 'forced' }))
    await rig.settle()
    expect((await rig.hub.api.status()).source).toMatchObject({ revision, fault: { reason: 'HistoryRewritten' } })
    await rig.restart()
    await rig.settle()
    expect((await rig.hub.api.status()).source).toMatchObject({ revision, fault: { reason: 'HistoryRewritten' } })
    await expect(rig.hub.api.reconcile({ name: 'bob', role: 'operator', teams: [] }, forced)).rejects.toMatchObject({
      reason: 'Forbidden',
    })
    await rig.hub.api.reconcile(ADMIN, forced)
    await rig.settle()
    expect((await rig.hub.api.status()).source).toMatchObject({ revision: forced, fault: null })
  })
})

describe('signed commits', () => {
  const asks = (mode: string): string =>
    `  source: { verify: { mode: ${mode}, signers: ["ssh-ed25519 AAAAC3Nz ann"] } }\n`
  const unsigned = ({ tip }: CommitsToJudge): CommitRefusal => ({
    reason: 'CommitUnsigned',
    commit: tip,
    message: `commit ${tip} is not signed`,
  })

  test('an unsigned commit moves nothing, and status and why name it and the reason', async () => {
    const { rig, sites, revision } = await atRest({ fleet: asks('enforce') })
    await using _rig = rig
    const before = sites.map(({ floor }) => floor?.generation.counter)
    rig.git.judged = unsigned
    const bad = rig.git.commit(shops({ tag: '2' }))
    await rig.settle()
    await rig.run(sites, 3)
    const { source, needsYou } = await rig.hub.api.status()
    expect(source).toMatchObject({
      revision,
      fault: { reason: 'CommitUnsigned', message: `commit ${bad} is not signed` },
    })
    expect(needsYou[0]?.message).toContain(bad)
    expect((await rig.hub.api.why('site', 's2')).causes).toContainEqual(
      expect.objectContaining({ reason: 'CommitUnsigned', message: expect.stringContaining(bad) as string }),
    )
    expect(sites.map(({ floor }) => floor?.generation.counter)).toEqual(before)
    // A restart judges it again.
    await rig.restart()
    await rig.settle()
    expect((await rig.hub.api.status()).source).toMatchObject({ revision, fault: { reason: 'CommitUnsigned' } })
    rig.git.judged = () => null
    await rig.settle()
    expect((await rig.hub.api.status()).source).toMatchObject({ revision: bad, fault: null })
  })

  test('the signers of the revision before judge: a commit cannot take the rule away from itself', async () => {
    const { rig, revision } = await atRest({ fleet: asks('enforce') })
    await using _rig = rig
    rig.git.judged = ({ tip, good, signers }) => {
      expect({ good, signers }).toEqual({ good: revision, signers: ['ssh-ed25519 AAAAC3Nz ann'] })
      return unsigned({ tip, good, signers })
    }
    rig.git.commit(shops({ tag: '2' }))
    await rig.settle()
    expect((await rig.hub.api.status()).source).toMatchObject({ revision, fault: { reason: 'CommitUnsigned' } })
  })

  test('on the way to the tip each commit is judged by the signers of the one before it', async () => {
    const { rig } = await atRest({ fleet: asks('enforce') })
    await using _rig = rig
    const bob = '  source: { verify: { mode: enforce, signers: ["ssh-ed25519 AAAAC3Nz bob"] } }\n'
    const middle = rig.git.commit(shops({ tag: '2', fleet: bob }))
    const broken = rig.git.commit({ ...shops(), 'flotilla.yaml': 'apiVersion: flotilla.dev/v1alpha1\nkind: Fleet\n' })
    const open = rig.git.commit(shops({ tag: '3' }))
    rig.git.judged = async ({ rules }) => {
      expect(rules?.file).toBe('flotilla.yaml')
      expect(await rules?.after(middle)).toEqual(['ssh-ed25519 AAAAC3Nz bob'])
      expect(await rules?.after(broken)).toBe('as before')
      expect(await rules?.after(open)).toBeNull()
      return null
    }
    const tip = rig.git.commit(shops({ tag: '4', fleet: bob }))
    await rig.settle()
    expect((await rig.hub.api.status()).source).toMatchObject({ revision: tip, fault: null })
    expect.assertions(5)
  })

  test('the commit that asks first must be signed by one of those that it names', async () => {
    const { rig, revision } = await atRest()
    await using _rig = rig
    rig.git.judged = ({ tip, good, signers }) => {
      expect(good).toBeNull()
      return unsigned({ tip, good, signers })
    }
    rig.git.commit(shops({ tag: '2', fleet: asks('enforce') }))
    await rig.settle()
    expect((await rig.hub.api.status()).source).toMatchObject({ revision, fault: { reason: 'CommitUnsigned' } })
  })

  test('where the fleet only warns it moves, and status says so', async () => {
    const { rig } = await atRest({ fleet: asks('warn') })
    await using _rig = rig
    rig.git.judged = unsigned
    const taken = rig.git.commit(shops({ tag: '2', fleet: asks('warn') }))
    await rig.settle()
    expect((await rig.hub.api.status()).source).toMatchObject({
      revision: taken,
      fault: null,
      problems: [{ code: 'FLT1024', severity: 'warning', message: `commit ${taken} is not signed` }],
    })
  })

  test('an admin may accept a history, and never a tip that is not signed', async () => {
    const { rig, revision } = await atRest({ fleet: asks('enforce') })
    await using _rig = rig
    rig.git.judged = (commits) => (commits.good === null ? null : unsigned(commits))
    const tip = rig.git.commit(shops({ tag: '2', fleet: asks('enforce') }))
    await rig.settle()
    expect((await rig.hub.api.status()).source).toMatchObject({ revision, fault: { reason: 'CommitUnsigned' } })
    await rig.hub.api.reconcile(ADMIN, tip)
    rig.git.judged = unsigned
    await rig.settle()
    expect((await rig.hub.api.status()).source).toMatchObject({ revision })
    rig.git.judged = (commits) => (commits.good === null ? null : unsigned(commits))
    await rig.settle()
    expect((await rig.hub.api.status()).source).toMatchObject({ revision: tip, fault: null })
  })
})

describe('deletions', () => {
  test('a commit that removes the sites stops at the brake, and everything runs on', async () => {
    const { rig, sites, revision } = await atRest({ sites: MANY })
    await using _rig = rig
    const stopped = rig.git.commit(shops({ sites: ['s1'] }))
    await rig.settle()
    await rig.run(sites, 2)
    const status = await rig.hub.api.status()
    expect(status.source).toMatchObject({ revision, seen: stopped })
    expect(status.brake?.message).toMatch(/11 Sites would be removed/)
    expect(sites.every((site) => site.manifest?.entries.length === 1)).toBe(true)
    expect((await rig.hub.api.why('site', 's2')).causes.map(({ reason }) => reason)).toContain('DeletionBrake')
  })

  test('a yes in Git that names the list lets it through once, and travels in the manifests of the sites it concerns', async () => {
    const { rig, sites } = await atRest({ sites: MANY })
    await using _rig = rig
    const label = (files: Files): Files =>
      Object.fromEntries(
        Object.entries(files).map(([path, text]) => [
          path,
          path.startsWith('sites/') && path !== 'sites/s1.yaml' ? text.replace('open: "yes"', 'open: "no"') : text,
        ]),
      )
    const second = {
      ...SECOND,
      'apps/b/workload.yaml': SECOND['apps/b/workload.yaml'].replace('open: "yes"', 'country: dk'),
    }
    const dk = (files: Files): Files =>
      Object.fromEntries(
        Object.entries(files).map(([path, text]) => [
          path,
          path.startsWith('sites/') ? text.replace('cohort:', 'country: dk, cohort:') : text,
        ]),
      )
    rig.git.commit({ ...dk(shops({ sites: MANY })), ...second })
    await rig.settle()
    await rig.run(sites, 40)
    expect(sites[1]?.manifest?.entries.map(({ workload }) => workload)).toEqual(['b', 'web'])
    const gone: Files = { ...label(dk(shops({ sites: MANY }))), ...second }
    rig.git.commit(gone)
    await rig.settle()
    const digest = (await rig.hub.api.status()).brake?.digest
    expect(digest).toMatch(/^sha256:/)
    const confirmed = {
      ...gone,
      'flotilla.yaml': gone['flotilla.yaml']! + `  deletionBrake: { confirmed: ["${digest}"] }\n`,
    }
    rig.git.commit(confirmed)
    await rig.settle()
    expect((await rig.hub.api.status()).brake).toBeNull()
    await rig.run(sites, 2)
    expect(sites[1]?.manifest?.entries.map(({ workload }) => workload)).toEqual(['b'])
    expect(sites[0]?.manifest?.entries.map(({ workload }) => workload)).toEqual(['b', 'web'])
    expect(sites[0]?.manifest?.deletionsConfirmed).toEqual([])
    // Each site has a list of its own, which only it reads.
    const [one, two] = sites.slice(1)
    const listOf = async (site = one) => {
      const [name] = site?.manifest?.deletionsConfirmed ?? []
      const bytes = await rig.hub.handler.blob(site!.caller, 'deletions', name!)
      return { name: name!, read: acceptConfirmedList(name!, site!.siteId, bytes!) }
    }
    const own = await listOf(one)
    expect(own.read).toMatchObject({ ok: true, value: { list: digest, siteId: one!.siteId } })
    expect(own.read.ok ? own.read.value.objects : []).toEqual(['/ConfigMap/web/web'])
    expect(one?.blobs.has(own.name)).toBe(true)
    const others = await listOf(two)
    expect(others.name).not.toBe(own.name)
    expect(await rig.hub.handler.blob(two!.caller, 'deletions', own.name)).toBeUndefined()
    // The yes was used: the same list is stopped until Git takes it out and says it again.
    const again = async (files: Files): Promise<string | undefined> => {
      rig.git.commit(files)
      await rig.settle()
      await rig.run(sites, 40)
      return (await rig.hub.api.status()).brake?.message
    }
    expect(await again({ ...dk(shops({ sites: MANY })), ...second, 'flotilla.yaml': confirmed['flotilla.yaml'] })).toBe(
      undefined,
    )
    expect(await again(confirmed)).toMatch(/used once already/)
    expect(await again({ ...dk(shops({ sites: MANY })), ...second })).toBeUndefined()
    expect(await again(confirmed)).toBeUndefined()
    expect(one?.manifest?.deletionsConfirmed).toHaveLength(2)
  })

  test('what a site’s fuse stopped is confirmed by the name that this site gave it', async () => {
    const { rig, sites } = await atRest()
    await using _rig = rig
    const [one, two] = sites
    const deletions = digestJson('deletions', 'what the fuse stopped')
    const condition = {
      type: 'Cluster',
      reason: 'DeletionBrake',
      message: '60 deletions',
      sinceMs: 1,
      deletions,
    } as const
    await one!.sync({ conditions: [condition] })
    const files = shops()
    rig.git.commit({
      ...files,
      'flotilla.yaml': files['flotilla.yaml']! + `  deletionBrake: { confirmed: ["${deletions}"] }\n`,
    })
    await rig.settle()
    await rig.run(sites, 2)
    expect(one?.manifest?.deletionsConfirmed).toEqual([deletions])
    expect(two?.manifest?.deletionsConfirmed).toEqual([])
  })

  test('a site that is taken out of Git, or of every target, keeps what it has and shows Unlisted', async () => {
    const { rig, sites } = await atRest()
    await using _rig = rig
    const files = shops({ sites: ['s1', 's2'] })
    rig.git.commit({ ...files, 'sites/s2.yaml': files['sites/s2.yaml']!.replace('open: "yes"', 'open: "no"') })
    await rig.settle()
    await rig.run(sites, 3)
    for (const site of sites) expect(site.manifest?.entries).toHaveLength(1)
    for (const name of ['s2', 's3']) {
      expect(await rig.hub.api.site(name)).toMatchObject({ listed: false, sync: 'Unknown' })
      expect((await rig.hub.api.why('site', name)).causes[0]?.reason).toBe('Unlisted')
    }
  })
})

test('a site that goes out of a workload’s targets and comes again, and again, has the workload each time', async () => {
  const { rig, sites } = await atRest()
  await using _rig = rig
  const far = SECOND['apps/b/workload.yaml'].replace('open: "yes"', 'far: "yes"')
  const files: Files = { ...shops({ tag: '1' }), ...SECOND, 'apps/b/workload.yaml': far }
  const label = (value: string): Files => ({
    ...files,
    ...Object.fromEntries(
      ['s1', 's2', 's3'].map((name) => {
        const path = `sites/${name}.yaml`
        return [path, files[path]!.replace('open: "yes"', `open: "yes", far: "${name === 's3' ? value : 'yes'}"`)]
      }),
    ),
  })
  for (const [value, has] of [
    ['yes', 'b web'],
    ['no', 'web'],
    ['yes', 'b web'],
    ['no', 'web'],
    ['yes', 'b web'],
  ] as const) {
    // prettier-ignore
    rig.git.commit(label(value))
    await rig.settle()
    await rig.run(sites, 40)
    expect(sites[2]?.manifest?.entries.map(({ workload }) => workload).join(' ')).toBe(has)
    expect(sites[0]?.manifest?.entries).toHaveLength(2)
  }
})

test('a workload that an error holds keeps its release, and the rest of the revision goes on', async () => {
  const { rig, sites } = await atRest()
  await using _rig = rig
  const before = sites[0]?.releaseOf('web')
  const other = SECOND
  const revision = rig.git.commit({ ...shops(), ...other, 'apps/web/base/config.yaml': 'kind: [oops\n' })
  await rig.settle()
  await rig.run(sites, 30)
  expect((await rig.hub.api.status()).source.revision).toBe(revision)
  expect(sites.map((site) => site.releaseOf('web'))).toEqual([before, before, before])
  expect(sites[2]?.manifest?.entries.map(({ workload }) => workload)).toEqual(['b', 'web'])
  expect((await rig.hub.api.workload('web')).heldBy).not.toEqual([])
  expect((await rig.hub.api.why('site', 's1')).causes[0]?.reason).toMatch(/^HeldByError\(FLT/)
})

test('a renamed workload leaves in the generation in which its new name comes', async () => {
  const { rig, sites } = await atRest()
  await using _rig = rig
  const files = shops({ workload: '  formerNames: [web]\n' })
  rig.git.commit({
    ...files,
    'apps/web/workload.yaml': files['apps/web/workload.yaml']!.replace('name: web', 'name: shop'),
  })
  await rig.settle()
  const seen = new Set<string>()
  await rig.run(sites, 40, async () => {
    for (const site of sites) seen.add((site.manifest?.entries ?? []).map(({ workload }) => workload).join('+'))
  })
  expect([...seen].toSorted()).toEqual(['shop', 'web'])
  expect(sites.every((site) => site.releaseOf('shop') !== undefined)).toBe(true)
})

describe('another renderer', () => {
  /** Renders every ConfigMap otherwise than the built-in one. */
  const other: Compiler = {
    ...compiler,
    version: 'other',
    render: (fleet, tree, cache) => {
      const marked = new Map(
        [...tree].map(([path, file]) => {
          const text = Buffer.from(file.bytes)
            .toString()
            .replace('kind: ConfigMap', 'kind: ConfigMap\nimmutable: false')
          return [path, { ...file, oid: `${file.oid}x`, bytes: Buffer.from(text) }]
        }),
      )
      return compiler.render(fleet, marked, cache)
    },
  }
  test('a restart under another renderer moves no site, and a commit moves only what it changes', async () => {
    const { rig, sites } = await atRest()
    await using _rig = rig
    const two = SECOND
    rig.git.commit({ ...shops(), ...two })
    await rig.settle()
    await rig.run(sites, 40)
    const before = sites.map((site) => [site.releaseOf('web'), site.releaseOf('b')])
    await rig.restart({ compiler: other })
    await rig.settle()
    await rig.run(sites, 3)
    expect(sites.map((site) => [site.releaseOf('web'), site.releaseOf('b')])).toEqual(before)
    rig.git.commit({ ...shops(), ...two, 'apps/b/base/c.yaml': two['apps/b/base/c.yaml'].replace('"1"', '"2"') })
    await rig.settle()
    await rig.run(sites, 40)
    for (const [i, site] of sites.entries()) {
      expect(site.releaseOf('web')).toBe(before[i]?.[0])
      expect(site.releaseOf('b')).not.toBe(before[i]?.[1])
    }
    rig.git.commit({
      ...shops({ sites: ['s1', 's2', 's3'] }),
      ...two,
      'apps/b/base/c.yaml': two['apps/b/base/c.yaml'].replace('"1"', '"2"'),
      'notes.md': 'nothing',
    })
    await rig.settle()
    await rig.run(sites, 3)
    expect(sites.map((site) => site.releaseOf('web'))).toEqual(before.map(([web]) => web))
  })
})

test('a change of one site touches one site', async () => {
  const { rig, sites } = await atRest()
  await using _rig = rig
  const before = sites.map(({ floor }) => floor?.generation.counter)
  rig.git.commit(shops({ site: (name) => (name === 's2' ? '  mode: observe\n' : '') }))
  await rig.settle()
  await rig.run(sites, 3)
  const after = sites.map(({ floor }) => floor?.generation.counter)
  expect([after[0], after[2]]).toEqual([before[0], before[2]])
  expect(sites[1]?.manifest).toMatchObject({ mode: 'observe', critical: ['mode'] })
})
