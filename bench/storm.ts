/**
 * A hub is killed for a minute under 10,000 light sites, and all come back: `npm run bench -- storm [--sites=10000] [--outage-s=60]`.
 * Real sockets, mTLS and the agents' own code on loopback; hub and sites share this machine's cores, and the sites take most of them.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Fleet, quantile } from './fleet.ts'
import type { Row } from './row.ts'

const ARRIVALS_PER_SECOND = 150
const CONNECT_MS = 420_000
const BACK_MS = 300_000

export interface Storm {
  readonly sites: number
  readonly connectedMs: number
  readonly servingMs: number
  /** Ms after the hub served again, of each site that came back. */
  readonly backMs: readonly number[]
  readonly tookMs: readonly number[]
  readonly handshakes: number
  readonly handshakesPerSecond: number
  readonly resumed: number
  readonly shed: number
  readonly peakMiB: number
}

export async function storm(sites: number, outageMs: number, pollMs?: number): Promise<Storm> {
  await using fleet = await Fleet.open(sites, 1, pollMs)
  const began = performance.now()
  await fleet.begin((sites / ARRIVALS_PER_SECOND) * 1_000)
  const all = await fleet.until(CONNECT_MS, async () => (await fleet.look()).connected === sites)
  if (!all) throw new Error(`${(await fleet.look()).connected} of ${sites} sites connected`)
  const connectedMs = performance.now() - began
  await fleet.kill()
  await fleet.mark()
  await sleep(outageMs)
  await fleet.mark()
  const servingMs = await fleet.start()
  let before = { atMs: performance.now(), handshakes: 0 }
  let fastest = 0
  await fleet.until(BACK_MS, async () => {
    const { handshakes } = (await fleet.hub()).stats
    const atMs = performance.now()
    fastest = Math.max(fastest, ((handshakes - before.handshakes) * 1_000) / (atMs - before.atMs))
    before = { atMs, handshakes }
    return (await fleet.look()).backMs.length === sites
  })
  // A while of calm, so that what is measured of exchanges is not the storm alone.
  await sleep(Math.min(outageMs, 20_000))
  const { stats } = await fleet.hub()
  const { backMs, tookMs } = await fleet.look()
  return {
    sites,
    connectedMs,
    servingMs,
    backMs: backMs.map((ms) => ms - servingMs),
    tookMs,
    handshakes: stats.handshakes,
    handshakesPerSecond: fastest,
    resumed: stats.resumed,
    shed: stats.shed,
    peakMiB: fleet.peakMiB(),
  }
}

export async function run(args: readonly string[]): Promise<Row[]> {
  const given = (name: string, none: number): number =>
    Number(args.find((arg) => arg.startsWith(`--${name}=`))?.split('=')[1] ?? none)
  const outageMs = given('outage-s', 60) * 1_000
  const seen = await storm(given('sites', 10_000), outageMs)
  const row = (name: string, value: number, unit: string, goal?: number, note?: string): Row => ({
    case: name,
    value: Math.round(value * 10) / 10,
    unit,
    ...(goal === undefined ? {} : { goal }),
    ...(note === undefined ? {} : { note }),
  })
  return [
    row('light sites', seen.sites, ''),
    row('first connection of all, arriving 150 a second', seen.connectedMs / 1_000, 's'),
    row('hub restart to serving', seen.servingMs / 1_000, 's', 5),
    row('sites back after the outage', seen.backMs.length, '', undefined, `of ${seen.sites}`),
    row('until half are back', quantile(seen.backMs, 0.5) / 1_000, 's'),
    row('until all are back', quantile(seen.backMs, 1) / 1_000, 's', 120, 'backoff begun within the outage, its jitter, and two cores for both ends'), // prettier-ignore
    row('handshakes, fastest half second', seen.handshakesPerSecond, '/s', undefined, 'let in at 400 a second at most'),
    row('of them resumed', (100 * seen.resumed) / Math.max(1, seen.handshakes), '%'),
    row('shed', seen.shed, ''),
    row('hub memory, at most', seen.peakMiB, 'MiB', 1_536),
    row('an exchange of a site that is back, p99', quantile(seen.tookMs, 0.99), 'ms', 500, 'as the site sees it, its own wait for a core included'), // prettier-ignore
  ]
}
