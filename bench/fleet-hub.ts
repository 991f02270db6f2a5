/** A hub as a process of its own, for a bench's light sites. Part of `storm` and `deployments`. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { openPki } from '../src/adapters/link/pki.ts'
import { startLinkServer } from '../src/adapters/link/server.ts'
import type { LinkStats } from '../src/adapters/link/types.ts'
import { openHubStore } from '../src/adapters/store/hub-store.ts'
import { createHub } from '../src/hub/hub.ts'
import type { HubStore } from '../src/hub/store.ts'
import { createWorkerCompiler } from '../src/renderer/worker-compiler.ts'
import { systemClock } from '../src/runtime/clock.ts'
import type { Logger } from '../src/runtime/logger.ts'
import { enrolled, MemoryGit, treeOf } from './hub-fleet.ts'

export interface HubStart {
  readonly dir: string
  readonly port: number
  readonly workloads: number
  /** How often connected sites are asked to come. */
  readonly pollMs: number
  /** Commits so far. */
  readonly revision: number
}

export type HubAsk = { readonly do: 'commit' } | { readonly do: 'look' } | { readonly do: 'times' }

export interface HubLook {
  readonly stats: LinkStats
  /** Since the last commit: ms from the moment a site was given its manifest until the hub stored that all of it is healthy. */
  readonly reportedMs: readonly number[]
  /** Since the last commit, ms after it: the first and last manifest that was given. */
  readonly publishedMs: readonly [number, number]
  readonly rows: number
}

export interface HubTimes {
  /** Of exchanges since this process began: ms within the hub's own code, encoding and sockets aside. */
  readonly tookMs: readonly number[]
}

/** As enrolment left it: written by those who made the keys. */
export interface Enrolled {
  readonly index: number
  readonly siteId: string
  readonly hash: string
}

const SETUP_ROWS = 1_000
const silent: Logger = { info() {}, warn() {}, debug() {}, child: () => silent, error: (facts, text) => console.error(text, JSON.stringify(facts)) } // prettier-ignore

if (process.send !== undefined && process.argv[2]?.startsWith('{') === true)
  await serve(JSON.parse(process.argv[2]) as HubStart)

async function serve({ dir, port, workloads, pollMs, revision }: HubStart): Promise<void> {
  const pki = await openPki(join(dir, 'keys'), Date.now())
  const real = await openHubStore({ file: join(dir, 'hub.db') })
  const sites = readdirSync(dir)
    .filter((file) => file.startsWith('enrolled-'))
    .flatMap((file) => JSON.parse(readFileSync(join(dir, file), 'utf8')) as Enrolled[])
  if ((await real.load()).sites.length === 0) await enrol(real, sites)
  const counted = { rows: 0 }
  const store = countRows(real, counted)
  const git = new MemoryGit()
  for (let i = 1; i <= revision; i++) git.commit(treeOf(sites.length, workloads, String(i)))
  /** When each was called with what the last commit means for it; those that reported it. */
  const given = new Map<string, number>()
  const reported = new Map<string, number>()
  /** Counters of the manifests that sites have, now and at the last commit. */
  const counters = new Map<string, number>()
  let before = new Map<string, number>()
  const healthy = new Map<string, Set<string>>()
  const tookMs: number[] = []
  let committedMs = performance.now()
  let call = (_sites: readonly string[]): void => undefined
  const hub = await createHub(
    {
      store,
      git,
      authority: pki,
      clock: systemClock,
      log: silent,
      compiler: createWorkerCompiler(),
      nudge: (names) => {
        for (const name of names) given.set(name, performance.now())
        call(names)
      },
    },
    {
      version: 'bench',
      root: '',
      gitPollMs: 500,
      polls: { connectedMs: pollMs, meteredMs: [pollMs, pollMs] },
      linkUrl: () => `https://127.0.0.1:${port}`,
    },
  )
  const server = await startLinkServer({
    pki,
    port,
    handler: {
      ...hub.handler,
      async sync(caller, up, signal) {
        const beganMs = performance.now()
        const reply = await hub.handler.sync(caller, up, signal)
        tookMs.push(performance.now() - beganMs)
        const { site } = caller
        const counter = up.have?.generation.counter ?? 0
        counters.set(site, counter)
        if (reported.has(site) || counter <= (before.get(site) ?? 0)) return reply
        const done = healthy.get(site) ?? new Set()
        healthy.set(site, done)
        for (const { workload, since, health } of up.observations)
          if (health === 'Healthy' && since.counter === counter) done.add(workload)
        if (done.size >= workloads) reported.set(site, performance.now())
        return reply
      },
    },
  })
  call = (names) => server.nudge(names)
  void hub.run(new AbortController().signal)
  process.on('message', (asked: HubAsk) => {
    if (asked.do === 'commit') {
      given.clear()
      healthy.clear()
      reported.clear()
      before = new Map(counters)
      counted.rows = 0
      committedMs = performance.now()
      git.commit(treeOf(sites.length, workloads, String(++revision)))
      process.send!({})
    } else if (asked.do === 'times') {
      process.send!({ tookMs } satisfies HubTimes)
    } else {
      const times = [...given.values()].map((at) => at - committedMs)
      const publishedMs = [Math.min(...times, Infinity), Math.max(...times, -Infinity)] as const
      // Who came by itself had it before it was called.
      const reportedMs = [...reported].map(([site, at]) => Math.max(0, at - (given.get(site) ?? at)))
      process.send!({ stats: server.stats(), reportedMs, publishedMs, rows: counted.rows } satisfies HubLook)
    }
  })
  process.on('disconnect', () => process.exit(0))
  process.send!({ serving: true })
}

async function enrol(store: HubStore, sites: readonly Enrolled[]): Promise<void> {
  for (let i = 0; i < sites.length; i += SETUP_ROWS) {
    const part = sites.slice(i, i + SETUP_ROWS)
    await store.commit({
      sites: part.map(({ index, siteId }) => ({ ...enrolled(index).site, siteId })),
      keys: part.map(({ index, siteId, hash }) => ({ hash, siteId, site: enrolled(index).site.name, state: 'active' })),
    })
  }
}

/** Every row of every change: what a store of rows writes, indexes aside. */
function countRows(store: HubStore, counted: { rows: number }): HubStore {
  return new Proxy(store, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target)
      if (name !== 'commit') return typeof value === 'function' ? (value.bind(target) as unknown) : value
      return (change: Parameters<HubStore['commit']>[0]) => {
        for (const part of Object.values(change)) if (Array.isArray(part)) counted.rows += part.length
        for (const { sites } of change.rollouts ?? []) counted.rows += sites.size
        return target.commit(change)
      }
    },
  })
}
