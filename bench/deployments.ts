/**
 * One commit that changes every workload of every site: `npm run bench -- deployments [--sites=500] [--workloads=50]`. 500 x 50 is
 * 25,000 deployments, 2,000 x 50 is 100,000. Hub and light sites as in `storm`: real sockets, each site verifies, stores, applies to
 * a simulated cluster, and reports.
 */
import { Fleet, quantile } from './fleet.ts'
import type { Row } from './row.ts'

const ARRIVALS_PER_SECOND = 50
const SETTLE_MS = 600_000
const CHANGE_MS = 300_000

export async function run(args: readonly string[]): Promise<Row[]> {
  const given = (name: string, none: number): number =>
    Number(args.find((arg) => arg.startsWith(`--${name}=`))?.split('=')[1] ?? none)
  const [sites, workloads] = [given('sites', 500), given('workloads', 50)]
  await using fleet = await Fleet.open(sites, workloads)
  await fleet.begin((sites / ARRIVALS_PER_SECOND) * 1_000)
  const reported = async (): Promise<boolean> => (await fleet.hub()).reportedMs.length === sites
  const settled = await fleet.until(
    SETTLE_MS,
    async () => (await reported()) && (await fleet.look()).connected === sites,
  )
  if (!settled)
    throw new Error(`${(await fleet.hub()).reportedMs.length} of ${sites} sites ever reported the first revision`)
  const began = performance.now()
  await fleet.commit()
  let publishedMs = -Infinity
  await fleet.until(CHANGE_MS, async () => {
    const look = await fleet.hub()
    publishedMs = Math.max(publishedMs, look.publishedMs[1])
    return look.reportedMs.length === sites
  })
  const tookMs = performance.now() - began
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
  return [
    row('deployments', sites * workloads, '', undefined, `${sites} sites of ${workloads} workloads`),
    row('sites that converged', reportedMs.length, '', undefined, `of ${sites}`),
    row(
      'commit to the last manifest',
      publishedMs / 1_000,
      's',
      10,
      'look at Git, parse, render, decide, publish, call',
    ),
    row('desired to reported, p50', quantile(reportedMs, 0.5) / 1_000, 's'),
    row('desired to reported, p90', quantile(reportedMs, 0.9) / 1_000, 's', goalS, 'the sites’ own work on two cores that they share with the hub'), // prettier-ignore
    row('commit to all reported', tookMs / 1_000, 's'),
    row('rows written a site', rows / sites, ''),
    row('hub memory, at most', peakMiB, 'MiB', 1_024),
    row('hub restart to serving', servingMs / 1_000, 's', 5),
  ]
}
