/**
 * A change of 200 objects over links that lose and delay packets, all profiles at once: real processes, real TCP. The profiles at
 * half of all packets lost have minutes of waiting in them and stand in `link-faults/run.ts`, with a table in docs/link.md.
 */
import { expect, test } from 'vitest'
import { converge, missing, PROFILES, table } from './link-faults/profiles.ts'

const MOST_LOSS = 0.1
/** What the design allows is ten minutes. */
const WITHIN_MS = 200_000

test('a change of 200 objects converges at 0, 1 and 10 % loss and at round trips of 0, 300 and 2,000 ms', async () => {
  const needs = missing()
  if (needs !== undefined) throw new Error(`this suite needs root, /dev/net/tun, ip and ../shared/tools: ${needs}`)
  const profiles = PROFILES.filter(({ loss }) => loss <= MOST_LOSS)
  const seeds = profiles.map((_, i) => 100 + i)
  const all = await Promise.all(profiles.map((profile, i) => converge(profile, seeds[i]!, WITHIN_MS)))
  console.log(`seeds ${seeds.join(', ')}\n${table(all)}`)
  expect(all.filter(({ ms }) => ms === null).map(({ profile, evidence }) => ({ profile, evidence }))).toEqual([])
  // The whole goes down once, as deltas.
  for (const { profile, bytes } of all) if (profile.loss === 0) expect(bytes.down).toBeLessThan(64 * 1024)
}, 480_000)
