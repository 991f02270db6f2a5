/**
 * One commit that changes every workload of every site: `npm run bench -- deployments [--sites=500] [--workloads=50]`. 500 x 50 is
 * 25,000 deployments, 2,000 x 50 is 100,000. Hub and light sites as in `storm`: real sockets, each site verifies, stores, applies to
 * a simulated cluster, and reports. Every wait has an end, and the rows say how far it came by then.
 */
import { cpuText, Fleet, quantile, spent } from './fleet.ts'
import type { Row } from './row.ts'

const ARRIVALS_PER_SECOND = 50
const SETTLE_MS = 420_000
const CHANGE_MS = 300_000

export async function run(args: readonly string[]): Promise<Row[]> {
  const given = (name: string, none: number): number =>
    Number(args.find((arg) => arg.startsWith(`--${name}=`))?.split('=')[1] ?? none)
  const [sites, workloads] = [given('sites', 500), given('workloads', 50)]
  await using fleet = await Fleet.open(sites, workloads)
  const opened = fleet.seconds()
  const openedMs = performance.now()
  await fleet.begin((sites / ARRIVALS_PER_SECOND) * 1_000)
  let settled = 0
  await fleet.until(SETTLE_MS, async () => {
    settled = (await fleet.hub()).reportedMs.length
    const { connected } = await fleet.look()
    return (settled === sites && connected === sites) || `${connected} of ${sites} are connected, ${settled} have all`
  })
  const settledMs = performance.now() - openedMs
  const first = spent(opened, fleet.seconds())
  const calm = fleet.seconds()
  const began = performance.now()
  await fleet.commit()
  let publishedMs = 0
  await fleet.until(CHANGE_MS, async () => {
    const look = await fleet.hub()
    publishedMs = Math.max(publishedMs, look.publishedMs[1])
    return look.reportedMs.length === sites || `${look.reportedMs.length} of ${sites} have the change`
  })
  const tookMs = performance.now() - began
  const change = spent(calm, fleet.seconds())
  const { reportedMs, rows } = await fleet.hub()
  const peakMiB = fleet.peakMiB()
  await fleet.kill()
  const servingMs = await fleet.start()
  const goalS = sites * workloads > 25_000 ? 60 : 20
  const row = (name: string, value: number, unit: string, goal?: number, note?: string): Row => ({
    case: name,
    value: Math.round(value * 100) / 100,
    unit,
    ...(goal === undefined ? {} : { goal }),
    ...(note === undefined ? {} : { note }),
  })
  const p90 = reportedMs.length < sites ? 'desired to reported, p90 of those that did' : 'desired to reported, p90'
  return [
    row('deployments', sites * workloads, '', undefined, `${sites} sites of ${workloads} workloads`),
    row('sites that had the first revision', settled, '', undefined, `of ${sites}, arriving ${ARRIVALS_PER_SECOND} a second`), // prettier-ignore
    row('until then', settledMs / 1_000, 's', undefined, cpuText(first)),
    row('sites that converged', reportedMs.length, '', undefined, `of ${sites}`),
    row('commit to the last manifest', publishedMs / 1_000, 's', 10, 'look at Git, parse, render, decide, publish, call'), // prettier-ignore
    row('desired to reported, p50', quantile(reportedMs, 0.5) / 1_000, 's'),
    row(p90, quantile(reportedMs, 0.9) / 1_000, 's', goalS, 'two cores for the hub and all sites'),
    row('commit to all reported', tookMs / 1_000, 's', undefined, cpuText(change)),
    row('CPU of the hub, a deployment', (change.hub * 1_000) / (sites * workloads), 'ms'),
    row('CPU of its site, a deployment', (change.sites * 1_000) / (sites * workloads), 'ms'),
    row('rows written a site', rows / sites, ''),
    row('hub memory, at most', peakMiB, 'MiB', 1_024),
    row('hub restart to serving', servingMs / 1_000, 's', 5),
  ]
}
