/** A hub is killed under 300 light sites that hold their sockets, and all come back: the bench `storm`, small and with short polls. */
import { expect, test } from 'vitest'
import { quantile } from '../../bench/fleet.ts'
import { storm } from '../../bench/storm.ts'

const SITES = 300
const POLL_MS = 10_000
const OUTAGE_MS = 5_000
/** As for a minute of outage; polls and outage here are short, and the machine may be busy with anything. */
const BACK_MS = 120_000

test('300 sites whose hub was killed are all back, and what they ask is answered', async () => {
  const seen = await storm(SITES, OUTAGE_MS, POLL_MS)
  const back = `${seen.backMs.length} back, the last after ${Math.round(quantile(seen.backMs, 1) / 1_000)} s`
  console.log(`${back}; ${seen.handshakes} handshakes, ${seen.resumed} resumed, ${seen.shed} shed; hub ${Math.round(seen.peakMiB)} MiB`) // prettier-ignore
  expect(seen.backMs.length).toBe(SITES)
  expect(quantile(seen.backMs, 1)).toBeLessThan(BACK_MS)
  // Sessions outlive the hub: who comes back shows no certificate again.
  expect(seen.resumed).toBeGreaterThan(seen.handshakes * 0.9)
}, 600_000)
