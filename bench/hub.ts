/**
 * A hub with 10,000 light sites in one process: what a commit, a decision, an exchange, a look and a restart cost it.
 * `npm run bench -- hub [--sites=10000] [--workloads=10]`. The sites are set up by rows as enrolment leaves them, and a few join by
 * themselves; exchanges are real calls of the hub's handler, signatures included, and one site in a hundred verifies what it
 * is told. Not in it: sockets and TLS (bench `link`). The store is durable against a kill and not against a power cut.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { openPki, type Pki } from '../src/adapters/link/pki.ts'
import { openHubStore } from '../src/adapters/store/hub-store.ts'
import { createHub, type Hub } from '../src/hub/hub.ts'
import type { HubStore } from '../src/hub/store.ts'
import { createWorkerCompiler } from '../src/renderer/worker-compiler.ts'
import type { Logger } from '../src/runtime/logger.ts'
import { VirtualClock } from '../src/sim/clock.ts'
import { BenchSite, enrolled, MemoryGit, siteName, treeOf, workloadName } from './hub-fleet.ts'
import type { Row } from './row.ts'

const SETUP_ROWS = 1_000
const VERIFY_ONE_IN = 100
const IDLE_TURNS = 20
const LOOKS = 20
/** Exchanges that are under way at once. */
const AT_ONCE = 64
const NEVER = new AbortController().signal
const ADMIN = { name: 'bench', role: 'admin', teams: ['*'] } as const
const silent: Logger = { info: () => {}, warn: () => {}, error: () => {}, debug: () => {}, child: () => silent }

export async function run(args: readonly string[]): Promise<Row[]> {
  const count = (name: string, none: number): number =>
    Number(args.find((arg) => arg.startsWith(`--${name}=`))?.split('=')[1] ?? none)
  const dir = mkdtempSync(join(tmpdir(), 'flotilla-bench-hub-'))
  const bench = await Bench.open(dir, count('sites', 10_000), count('workloads', 10))
  try {
    return await measure(bench)
  } finally {
    await bench.close()
    rmSync(dir, { recursive: true, force: true })
  }
}

async function measure(bench: Bench): Promise<Row[]> {
  const rows: Row[] = []
  const add = (name: string, value: number, goal?: number, note?: string, unit = 'ms'): void => {
    const shown = Math.round(value * 100) / 100
    rows.push({ case: name, value: shown, unit, ...(goal === undefined ? {} : { goal }), ...(note === undefined ? {} : { note }) }) // prettier-ignore
  }
  const { git, sites, workloads } = bench
  git.commit(treeOf(sites.length, workloads, '1'))
  add('first revision: parse, render, store', await timed(() => bench.hub.turns.source(NEVER)), undefined, 'syncs are answered meanwhile: see below') // prettier-ignore
  await bench.round('nothing')
  add('publish all: the turn that tells every site of every workload', await timed(() => bench.decide()), 3_000, 'one manifest a site, committed by compare-and-set') // prettier-ignore
  const fetched = await bench.round('nothing')
  add('an exchange that brings a manifest, p50', at(fetched, 0.5), undefined, 'signature of the manifest and of the time') // prettier-ignore
  add('the same, p99', at(fetched, 0.99), 500, `${AT_ONCE} at once`)
  const told = await bench.round('healthy', 1_000)
  add(`an exchange that reports all ${workloads} workloads, p99`, at(told, 0.99), 500, 'one transaction for up to 256 sites') // prettier-ignore
  add('the turn after every site reported', await timed(() => bench.decide()), 1_000)
  await bench.clock.advance(90_000)
  await bench.round('healthy', 90_000)
  add('the turn in which every rollout completes', await timed(() => bench.decide()), 1_000, 'a row for every place that is done') // prettier-ignore
  const phases = new Set((await bench.hub.api.rollouts()).items.map(({ phase }) => phase))
  if (phases.size !== 1 || !phases.has('Completed')) throw new Error(`rollouts are ${[...phases].join(', ')}`)

  const written = bench.store.written
  const idle = await repeat(IDLE_TURNS, async () => {
    await bench.clock.advance(1_000)
    await bench.hub.turns.rollouts()
  })
  add('an idle turn, p50', at(idle, 0.5), 50)
  add('an idle turn, slowest', at(idle, 1), 50)
  const calm = await bench.round('nothing')
  add('an exchange in which nothing is new, p50', at(calm, 0.5), undefined, 'the hub’s share: standing, time statement')
  add('the same, p99', at(calm, 0.99), 500)
  const perSite = await repeat(1, () => bench.round('nothing', 0, 1))
  add('the same, one after another', (perSite[0] ?? 0) / sites.length)
  add('transactions written by an idle fleet', bench.store.written - written, 0, undefined, 'rows')
  await looks(bench, add)
  await oneSiteReports(bench, add)
  await commitWhileSyncing(bench, add)
  add('publish all again, after that commit', await timed(() => bench.decide()), 3_000)
  await bench.round('nothing')
  add('restart to serving', await timed(() => bench.restart()), 5_000, 'open, load, first exchange answered')
  add('the first turn after it', await timed(() => bench.hub.turns.rollouts()), 5_000, 'reads every (site, workload)')
  add('memory, at most', process.resourceUsage().maxRSS / 1024, 1_024, 'with the light sites; grows with what --max-old-space-size allows', 'MiB') // prettier-ignore
  add('of which live, after a collection', collectedMiB(), undefined, 'heap of the hub and the light sites', 'MiB')
  return rows
}

type Add = (name: string, value: number, goal?: number, note?: string, unit?: string) => void

async function looks({ hub, clock, sites }: Bench, add: Add): Promise<void> {
  const name = siteName(Math.floor(sites.length / 2))
  const reads: readonly (readonly [string, () => Promise<unknown>])[] = [
    ['status', () => hub.api.status()],
    ['a page of 100 sites', () => hub.api.sites({ limit: 100 })],
    ['a page of sites that are Failed', () => hub.api.sites({ sync: 'Failed' })],
    ['a page by selector', () => hub.api.sites({ selector: 'country=dk', limit: 100 })],
    ['why site', () => hub.api.why('site', name)],
    ['why rollout', () => hub.api.why('rollout', workloadName(0))],
    ['why workload', () => hub.api.why('workload', workloadName(0))],
    ['workloads', () => hub.api.workloads()],
    ['rollouts', () => hub.api.rollouts()],
  ]
  for (const [title, read] of reads) {
    const took = await repeat(LOOKS, async () => {
      await clock.advance(2_000)
      await read()
    })
    add(`view: ${title}, slowest of ${LOOKS}`, at(took, 1), 50)
  }
}

/** One site says something new: the turn that follows costs that site. */
async function oneSiteReports(bench: Bench, add: Add): Promise<void> {
  const took: number[] = []
  for (let i = 0; i < IDLE_TURNS; i++) {
    await bench.clock.advance(1_000)
    await bench.sites[i % bench.sites.length]?.sync(bench.hub.handler, bench.clock.nowMs(), 'healthy', 100_000 + i)
    took.push(await timed(() => bench.hub.turns.rollouts()))
  }
  add('a turn after one site reported, p50', at(took, 0.5), 50)
}

async function commitWhileSyncing(bench: Bench, add: Add): Promise<void> {
  bench.git.commit(treeOf(bench.sites.length, bench.workloads, '2'))
  const over = new AbortController()
  const turn = timed(() => bench.hub.turns.source(NEVER)).finally(() => over.abort())
  const waits: number[] = []
  for (let i = 0; !over.signal.aborted; i = (i + 1) % bench.sites.length) {
    const before = performance.now()
    await new Promise((resolve) => setTimeout(resolve, 5))
    await bench.sites[i]?.sync(bench.hub.handler, bench.clock.nowMs(), 'nothing')
    waits.push(performance.now() - before - 5)
  }
  add('a commit that changes every workload: parse, render, adopt', await turn)
  add('an exchange meanwhile, p99', at(waits, 0.99), 500)
  add('the same, slowest', at(waits, 1), 500, `of ${waits.length}`)
}

class Bench {
  readonly #file: string
  readonly #pki: Pki
  readonly clock = new VirtualClock()
  readonly #compiler = createWorkerCompiler()
  readonly git = new MemoryGit()
  readonly sites: BenchSite[] = []
  readonly workloads: number
  store: HubStore
  hub: Hub

  static async open(dir: string, count: number, workloads: number): Promise<Bench> {
    const pki = await openPki(join(dir, 'keys'), Date.UTC(2026, 0, 1))
    const file = join(dir, 'hub.db')
    const store = await openHubStore({ file, durability: 'process' })
    const all = Array.from({ length: count }, (_, i) => enrolled(i))
    for (let i = 0; i < count; i += SETUP_ROWS) {
      const part = all.slice(i, i + SETUP_ROWS)
      const keys = part.map(({ site, key }) => ({ ...key, site: site.name, state: 'active' as const }))
      await store.commit({ sites: part.map(({ site }) => site), keys })
    }
    const bench = new Bench(file, pki, store, workloads)
    for (const [i, { site, key }] of all.entries())
      bench.sites.push(new BenchSite(site.name, key.siteId, key.hash, i % VERIFY_ONE_IN === 0 ? pki.trust : null))
    bench.hub = await bench.#create()
    await bench.hub.api.createToken(ADMIN, siteName(0), 60_000)
    return bench
  }

  private constructor(file: string, pki: Pki, store: HubStore, workloads: number) {
    this.#file = file
    this.#pki = pki
    this.store = store
    this.workloads = workloads
    this.hub = undefined as unknown as Hub
  }

  #create(): Promise<Hub> {
    const { store, git, clock } = this
    return createHub(
      { store, git, authority: this.#pki, clock, log: silent, compiler: this.#compiler },
      {
        version: 'bench',
        root: '',
        gitPollMs: 60_000,
        polls: { connectedMs: 3_600_000, meteredMs: [7_200_000, 7_200_000] },
        linkUrl: () => 'https://hub:1',
      },
    )
  }

  /** Every site makes one exchange, so many at once; ms of each. */
  async round(report: 'nothing' | 'healthy', soakedMs = 0, atOnce = AT_ONCE): Promise<number[]> {
    const took: number[] = []
    for (let i = 0; i < this.sites.length; i += atOnce) {
      const part = this.sites.slice(i, i + atOnce)
      took.push(
        ...(await Promise.all(part.map((site) => site.sync(this.hub.handler, this.clock.nowMs(), report, soakedMs)))),
      )
    }
    return took
  }

  async decide(): Promise<void> {
    while ((await this.hub.turns.rollouts()).published.length > 0);
  }

  async restart(): Promise<void> {
    await this.store.close()
    this.store = await openHubStore({ file: this.#file, durability: 'process' })
    this.hub = await this.#create()
    await this.sites[0]?.sync(this.hub.handler, this.clock.nowMs(), 'nothing')
  }

  async close(): Promise<void> {
    await this.store.close()
    await this.#compiler[Symbol.asyncDispose]()
  }
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const before = performance.now()
  await work()
  return performance.now() - before
}

async function repeat(times: number, work: () => Promise<unknown>): Promise<number[]> {
  const took: number[] = []
  for (let i = 0; i < times; i++) took.push(await timed(work))
  return took
}

function at(all: readonly number[], share: number): number {
  const sorted = all.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
}

function collectedMiB(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  return process.memoryUsage().heapUsed / 1024 / 1024
}
