/** A fleet that names a release signer: who holds the hub's signing key, and all of its machine, still installs nothing that was not signed for. */
import { describe, expect, test } from 'vitest'
import type { Digest } from '../../../src/core/model/digest.ts'
import { accept, type Floor } from '../../../src/core/protocol/accept.ts'
import type { ManifestEntry, SignedStatement } from '../../../src/core/protocol/messages.ts'
import { judgeReleases, signRelease, type ReleaseStatement } from '../../../src/core/protocol/statement.ts'
import { acceptTrust, nextTrust, signTrust, type Trust } from '../../../src/core/protocol/trust.ts'
import { BODY, fixedKey, HUB, NOW_MS, RELEASE_SIGNER, ROOT, sealed, SITE, SITE_ID, STRANGER, TRUST } from './fixed.ts'

const entry = BODY.entries[0]!
const other: Digest = `sha256:${'ef'.repeat(32)}`
const sign = (change: Partial<ReleaseStatement> = {}, by = RELEASE_SIGNER): SignedStatement =>
  signRelease(
    {
      revisionSeq: 17,
      workload: entry.workload,
      sites: [SITE, '0418'],
      release: entry.release,
      notBelow: 12,
      ...change,
    },
    by,
  )

function trustOf(...signers: readonly ReturnType<typeof fixedKey>[]): Trust {
  const body = nextTrust(TRUST, NOW_MS)
  const keys = [
    { key: HUB.publicKey, roles: ['manifest', 'time'] as const },
    ...signers.map(({ publicKey }) => ({ key: publicKey, roles: ['release'] as const })),
  ]
  const read = acceptTrust(signTrust({ ...body, keys, critical: ['release'] }, ROOT), ROOT.publicKey, TRUST)
  if (read.verdict !== 'accept') throw new Error('the statement of the test is not accepted')
  return read.trust
}

const DEMANDED = trustOf(RELEASE_SIGNER)
function judge(
  statements: readonly SignedStatement[] | undefined,
  change: {
    entry?: Partial<ManifestEntry>
    body?: object
    trust?: Trust
    floor?: Floor | null
    generation?: number
  } = {},
): string {
  const { trust = DEMANDED, floor = null, generation = 7 } = change
  const body = {
    ...BODY,
    generation: { epoch: 1, counter: generation },
    entries: [{ ...entry, ...change.entry }],
    ...change.body,
    ...(statements === undefined ? {} : { statements }),
  }
  const hubNow = { known: 'exact', ms: NOW_MS } as const
  const read = accept({ envelope: sealed(body), trust, site: SITE, siteId: SITE_ID, floor, hubNow })
  return read.verdict === 'refuse' ? read.reason : `${read.verdict} ${JSON.stringify(read.floor.content ?? null)}`
}
const floorOf = (content: Record<string, number>): Floor => ({
  generation: { epoch: 1, counter: 6 },
  body: other,
  content,
})
const W = entry.workload

describe('a hub’s stolen key', () => {
  test.each<[string, string, string]>([
    ['chooses a release that was signed for', judge([sign()]), `accept {"${W}":12}`],
    ['invents a release', judge([sign()], { entry: { release: other } }), 'SignatureInvalid'],
    ['says nothing of signers', judge(undefined), 'SignatureInvalid'],
    ['says it with an empty list', judge([]), 'SignatureInvalid'],
    ['signs the statement itself', judge([sign({}, HUB)]), 'SignatureInvalid'],
    ['signs it as a stranger', judge([sign({}, STRANGER)]), 'SignatureInvalid'],
    ['names the signer under its own signature', judge([{ ...sign({}, HUB), keyid: RELEASE_SIGNER.keyid }]), 'SignatureInvalid'],
    ['gives this site what was signed for another', judge([sign({ sites: ['0418'] })]), 'SignatureInvalid'],
    ['gives a workload what was signed for another', judge([sign({ workload: 'pos/other' })]), 'SignatureInvalid'],
    ['changes a byte of a statement', judge([{ ...sign(), payload: `f${sign().payload.slice(1)}` }]), 'SignatureInvalid'],
    ['brings back what the signer closed', judge([sign({ revisionSeq: 11, notBelow: 3 })], { floor: floorOf({ [W]: 12 }) }), 'OldGeneration'],
    ['brings it back beside the word that closes it', judge([sign({ revisionSeq: 11, notBelow: 3 }), sign({ release: other })]), 'OldGeneration'],
    ['goes back to a signed one that is still open', judge([sign({ revisionSeq: 12, notBelow: 3 })], { floor: floorOf({ [W]: 12 }) }), `accept {"${W}":12}`],
    ['hides a fallback that nobody signed for', judge([sign()], { entry: { fallback: other, confirm: 'uplink' } }), 'SignatureInvalid'],
    ['names a fallback that was signed for', judge([sign(), sign({ release: other, revisionSeq: 16 })], { entry: { fallback: other, confirm: 'uplink' } }), `accept {"${W}":12}`],
    ['sends a floor of another workload', judge([sign()], { floor: floorOf({ 'pos/other': 99 }) }), `accept {"pos/other":99,"${W}":12}`],
  ])('%s: %s', (_name, found, expected) => expect(found).toBe(expected)) // prettier-ignore

  /** The box is `SITE` to itself; the manifest calls it 0418. */
  const named = (statements: readonly SignedStatement[]): string =>
    judge(statements, { body: { site: '0418', formerNames: ['0416', SITE] } })
  const was = (formerNames: ReleaseStatement['formerNames'], by = RELEASE_SIGNER): SignedStatement =>
    sign(formerNames === undefined ? {} : { formerNames }, by)
  test.each<[string, string, RegExp]>([
    ['gives the site the name of another, with what was signed for that', named([sign()]), /^SignatureInvalid$/],
    ['says itself that the one was the other', named([sign(), was({ '0418': [SITE] }, HUB)]), /^SignatureInvalid$/],
    ['uses a rename of another site', named([was({ '0419': [SITE], '0418': ['0416'] })]), /^SignatureInvalid$/],
    ['turns a rename round', named([was({ [SITE]: ['0418'] })]), /^SignatureInvalid$/],
    ['tells a rename that the signer read in Git', named([was({ '0418': [SITE] })]), /^accept/],
    ['tells it in a word on another workload', named([sign(), sign({ workload: 'b', formerNames: { '0418': ['x', SITE] } })]), /^accept/],
    ['tells of two renames, one after the other', named([was({ '0418': ['0417b'] }), sign({ sites: ['0417b'], formerNames: { '0417b': [SITE] } })]), /^accept/],
    ['tells a rename, and a release that is signed for under the old name alone', named([sign({ sites: [SITE], formerNames: { '0418': [SITE] } })]), /^SignatureInvalid$/],
  ])('%s', (_name, found, expected) => expect(found).toMatch(expected)) // prettier-ignore

  test('cannot do away with the signer: that is the root’s word', () => {
    const body = { ...nextTrust(DEMANDED, NOW_MS), critical: [] }
    expect(acceptTrust(signTrust(body, HUB), ROOT.publicKey, DEMANDED)).toMatchObject({ reason: 'SignatureInvalid' })
    expect(judge([sign()], { trust: trustOf() })).toBe('SignatureInvalid')
  })
})

test('any of several signers is enough, and one that was let go counts no more', () => {
  const second = fixedKey(11)
  expect(judge([sign({}, second)], { trust: trustOf(RELEASE_SIGNER, second) })).toMatch(/^accept/)
  expect(judge([sign()], { trust: trustOf(second) })).toBe('SignatureInvalid')
})

test('a fleet without one asks for nothing, and keeps a floor that it once had', () => {
  expect(judge(undefined, { trust: TRUST })).toBe('accept null')
  expect(judge(undefined, { trust: TRUST, floor: floorOf({ [W]: 12 }) })).toBe(`accept {"${W}":12}`)
})

test('a name from outside is only a name', () => {
  const said = signRelease(
    { revisionSeq: 1, workload: '__proto__', sites: [SITE], release: other, notBelow: 5 },
    RELEASE_SIGNER,
  )
  const entries = [{ ...entry, workload: '__proto__', release: other }]
  const found = judgeReleases(entries, [said], { site: SITE, goesBy: SITE }, DEMANDED.rings.release, {})
  expect(found.signed).toBe('no')
  expect(({} as { polluted?: unknown }).polluted).toBeUndefined()
})
