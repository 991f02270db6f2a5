/**
 * A hub is killed for a minute under 10,000 light sites, and all come back: `npm run bench -- storm [--sites=10000] [--outage-s=60]`.
 * Real sockets, mTLS and the agents' own code on loopback; hub and sites share this machine's cores, and the sites take most of them.
 * Every wait has an end, and the rows say how far it came by then.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { cpuText, Fleet, quantile, type Seconds, spent } from './fleet.ts'
import type { Row } from './row.ts'

const ARRIVALS_PER_SECOND = 150
const CONNECT_MS = 420_000
const BACK_MS = 300_000
/** Without an outage, so that what is measured of exchanges is not the storm alone; a poll of each site. */
const CALM_MS = 60_000

export interface Storm {
  readonly sites: number
  /** Before the hub was killed. */
  readonly connected: number
  readonly connectedMs: number
  readonly servingMs: number
  /** Ms after the hub served again, of each site that came back. */
  readonly backMs: readonly number[]
  /** Of exchanges of sites that were back, as they saw it, while others still came and after. */
  readonly tookMs: readonly number[]
  readonly calmTookMs: readonly number[]
  /** Within the hub, of all exchanges after the outage. */
  readonly hubTookMs: readonly number[]
  readonly handshakes: number
  readonly handshakesPerSecond: number
  readonly resumed: number
  readonly shed: number
  readonly firstMiB: number
  readonly peakMiB: number
  /** Of CPU: until all were connected; from the start of the hub after the outage until all were back. */
  readonly first: Seconds
  readonly back: Seconds
}

export async function storm(sites: number, outageMs: number, pollMs?: number): Promise<Storm> {
  await using fleet = await Fleet.open(sites, 1, pollMs)
  const began = performance.now()
  const atFirst = fleet.seconds()
  await fleet.begin((sites / ARRIVALS_PER_SECOND) * 1_000)
  let connected = 0
  await fleet.until(CONNECT_MS, async () => {
    connected = (await fleet.look()).connected
    return connected === sites || `${connected} of ${sites} are connected`
  })
  const connectedMs = performance.now() - began
  const first = spent(atFirst, fleet.seconds())
  const firstMiB = fleet.peakMiB()
  await fleet.kill()
  await fleet.mark()
  await sleep(outageMs)
  await fleet.mark()
  const atBack = fleet.seconds()
  const servingMs = await fleet.start()
  let before = { atMs: performance.now(), handshakes: 0 }
  let fastest = 0
  await fleet.until(BACK_MS, async () => {
    const { handshakes } = (await fleet.hub()).stats
    const atMs = performance.now()
    fastest = Math.max(fastest, ((handshakes - before.handshakes) * 1_000) / (atMs - before.atMs))
    before = { atMs, handshakes }
    const { back } = await fleet.look()
    return back === sites || `${back} of ${sites} are back`
  })
  const back = spent(atBack, fleet.seconds())
  const storming = await fleet.times()
  const stormed = storming.tookMs.length
  await sleep(Math.min(outageMs, CALM_MS))
  const { stats } = await fleet.hub()
  const { backMs, tookMs } = await fleet.times()
  return {
    sites,
    connected,
    connectedMs,
    servingMs,
    backMs: backMs.map((ms) => ms - servingMs),
    tookMs: tookMs.slice(0, stormed),
    calmTookMs: tookMs.slice(stormed),
    hubTookMs: (await fleet.hubTimes()).tookMs,
    handshakes: stats.handshakes,
    handshakesPerSecond: fastest,
    resumed: stats.resumed,
    shed: stats.shed,
    firstMiB,
    peakMiB: fleet.peakMiB(),
    first,
    back,
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
  const all = seen.backMs.length === seen.sites ? 'until all are back' : 'until the last of those was back'
  return [
    row('light sites', seen.sites, ''),
    row('connected at first', seen.connected, '', undefined, `of ${seen.sites}, arriving ${ARRIVALS_PER_SECOND} a second`), // prettier-ignore
    row('until then', seen.connectedMs / 1_000, 's', undefined, cpuText(seen.first)),
    row('hub memory until then, at most', seen.firstMiB, 'MiB', 1_536),
    row('hub restart to serving', seen.servingMs / 1_000, 's', 5),
    row('sites back after the outage', seen.backMs.length, '', undefined, `of ${seen.sites}`),
    row('until half are back', quantile(seen.backMs, 0.5) / 1_000, 's'),
    row(all, quantile(seen.backMs, 1) / 1_000, 's', 120, `backoff begun within the outage, its jitter; ${cpuText(seen.back)}`), // prettier-ignore
    row('handshakes, fastest half second', seen.handshakesPerSecond, '/s', undefined, 'let in at 400 a second at most'),
    row('of them resumed', (100 * seen.resumed) / Math.max(1, seen.handshakes), '%'),
    row('shed', seen.shed, ''),
    row('hub memory after the outage, at most', seen.peakMiB, 'MiB', 1_536),
    row('an exchange of a site that is back, p99', quantile([...seen.tookMs, ...seen.calmTookMs], 0.99), 'ms', 500, 'as the site sees it, its own wait for a core included'), // prettier-ignore
    row('the same while others still come, p99', quantile(seen.tookMs, 0.99), 'ms', undefined, `of ${seen.tookMs.length}`), // prettier-ignore
    row('the same once all are back, p99', quantile(seen.calmTookMs, 0.99), 'ms', undefined, `of ${seen.calmTookMs.length}`), // prettier-ignore
    row('any exchange after the outage within the hub, p99', quantile(seen.hubTookMs, 0.99), 'ms', undefined, `of ${seen.hubTookMs.length}`), // prettier-ignore
  ]
}
