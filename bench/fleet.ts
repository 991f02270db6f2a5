/** A hub and thousands of light sites over real sockets, in processes of their own on loopback. Part of `storm` and `deployments`. */
import { type ChildProcess, fork } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { openPki } from '../src/adapters/link/pki.ts'
import type { HubAsk, HubLook, HubStart, HubTimes } from './fleet-hub.ts'
import type { SitesAsk, SitesLook, SitesTimes } from './fleet-sites.ts'

/** As in the image; the limit of the heap is for the hub. */
const HEAP = '--max-old-space-size=512'
const MALLOC = { MALLOC_ARENA_MAX: '2', MALLOC_MMAP_THRESHOLD_: '32768', MALLOC_TRIM_THRESHOLD_: '65536' }
/** Sockets and files of one process stay far below its limit. */
const SITES_PER_PROCESS = 2_500
const LEAST_PROCESSES = 2
const LOOK_MS = 500
const SAY_MS = 10_000
/** Of the CPU time in /proc: USER_HZ, the same on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100
/** What a hub asks of connected sites where nothing else is said. */
const CONNECTED_MS = 60_000

/** A process that ends, or does not answer for this long, is one that ended: what it said last stands. */
const ANSWER_MS = 180_000
/** Until it is up: a key and a certificate for each of its sites, or all that a hub's store holds. */
const OPEN_MS = 600_000

class Child<Ask extends { readonly do: string }, Look> {
  readonly process: ChildProcess
  /** Of CPU, when it was last looked at. */
  #seconds = 0
  #mostMiB = 0
  #look: Look

  /** `none`: what is seen of it before it was looked at. */
  constructor(file: string, start: object, none: Look, env: NodeJS.ProcessEnv = {}) {
    this.#look = none
    this.process = fork(join(import.meta.dirname, file), [JSON.stringify(start)], {
      serialization: 'advanced',
      env: { ...process.env, ...MALLOC, ...env },
    })
  }

  /** Of CPU so far, in all its threads; once it has ended, when it was looked at last. */
  seconds(): number {
    const stat = this.#proc('stat')
    const [user, system] = stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .slice(11, 13)
      .map(Number)
    if (user !== undefined && system !== undefined) this.#seconds = (user + system) / TICKS_PER_SECOND
    return this.#seconds
  }

  get ended(): boolean {
    return this.process.exitCode !== null || this.process.signalCode !== null
  }

  /** Resident now, 0 once it has ended; the most that was seen. */
  memoryMiB(): { readonly now: number; readonly most: number } {
    const status = this.#proc('status')
    const of = (name: string): number => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0) / 1_024
    this.#mostMiB = Math.max(this.#mostMiB, of('VmHWM'))
    return { now: of('VmRSS'), most: this.#mostMiB }
  }

  #proc(name: 'stat' | 'status'): string {
    try {
      return readFileSync(`/proc/${this.process.pid}/${name}`, 'utf8')
    } catch {
      return ''
    }
  }

  /** The next message; rejects where the process ends first. */
  async said<T>(withinMs = ANSWER_MS): Promise<T> {
    const timer = setTimeout(() => this.process.kill('SIGKILL'), withinMs)
    try {
      return await new Promise<T>((resolve, reject) => {
        const gone = (): void => reject(new Error('a process of the bench ended'))
        if (this.ended) return gone()
        this.process.once('exit', gone)
        this.process.once('message', (message) => {
          this.process.off('exit', gone)
          resolve(message as T)
        })
      })
    } finally {
      clearTimeout(timer)
    }
  }

  /** undefined: it ended. */
  async ask<T>(asked: Ask): Promise<T | undefined> {
    if (this.ended) return undefined
    const said = this.said<T>().catch(() => undefined)
    this.process.send(asked)
    return said
  }

  /** As it is now, or as it was when it was last seen. */
  async look(): Promise<Look> {
    this.#look = (await this.ask<Look>({ do: 'look' } as unknown as Ask)) ?? this.#look
    return this.#look
  }

  async end(): Promise<void> {
    if (this.ended) return
    const gone = new Promise((resolve) => this.process.once('exit', resolve))
    this.seconds()
    this.memoryMiB()
    this.process.kill('SIGKILL')
    await gone
  }
}

const NOTHING_SEEN: HubLook = {
  stats: {
    connections: 0,
    sockets: 0,
    nudged: 0,
    exchanges: 0,
    served: 0,
    shed: 0,
    refused: 0,
    handshakes: 0,
    resumed: 0,
  },
  reportedMs: [],
  publishedMs: [Infinity, -Infinity],
  rows: 0,
}

/** Of CPU. */
export interface Seconds {
  readonly hub: number
  readonly sites: number
}

export function spent(from: Seconds, to: Seconds): Seconds {
  return { hub: to.hub - from.hub, sites: to.sites - from.sites }
}

export function cpuText({ hub, sites }: Seconds): string {
  return `CPU: hub ${Math.round(hub)} s, sites ${Math.round(sites)} s`
}

export class Fleet implements AsyncDisposable {
  readonly sites: number
  readonly #beganMs = performance.now()
  /** Of hubs that were killed. */
  #past = 0
  readonly #start: Omit<HubStart, 'revision'>
  readonly #shards: Child<SitesAsk, SitesLook>[]
  #running: Child<HubAsk, HubLook> | undefined
  #revision = 1

  /** The hub serves, the sites have their keys and have not begun. */
  static async open(sites: number, workloads: number, pollMs = CONNECTED_MS): Promise<Fleet> {
    const dir = mkdtempSync(join(tmpdir(), 'flotilla-fleet-'))
    await openPki(join(dir, 'keys'), Date.now())
    const port = await freePort()
    const count = Math.max(LEAST_PROCESSES, Math.ceil(sites / SITES_PER_PROCESS))
    const at = (i: number): number => Math.round((sites * i) / count)
    const shards = Array.from({ length: count }, (_, i) => {
      const start = { dir, port, from: at(i), to: at(i + 1) }
      return new Child<SitesAsk, SitesLook>('fleet-sites.ts', start, { connected: 0, back: 0, failures: 0 })
    })
    await Promise.all(shards.map((shard) => shard.said<object>(OPEN_MS)))
    say(`${sites} keys and certificates are made`)
    const fleet = new Fleet(sites, { dir, port, workloads, pollMs }, shards)
    await fleet.start()
    return fleet
  }

  private constructor(sites: number, start: Omit<HubStart, 'revision'>, shards: Child<SitesAsk, SitesLook>[]) {
    this.sites = sites
    this.#start = start
    this.#shards = shards
  }

  get #hub(): Child<HubAsk, HubLook> {
    if (this.#running === undefined) throw new Error('no hub was started')
    return this.#running
  }

  /** ms until it serves; Infinity: it did not. */
  async start(): Promise<number> {
    const began = performance.now()
    this.#past += this.#running?.seconds() ?? 0
    const env = { NODE_OPTIONS: `${process.env['NODE_OPTIONS'] ?? ''} ${HEAP}`.trim() }
    this.#running = new Child<HubAsk, HubLook>(
      'fleet-hub.ts',
      { ...this.#start, revision: this.#revision },
      NOTHING_SEEN,
      env,
    )
    const serves = await this.#running.said<object>(OPEN_MS).catch(() => undefined)
    return serves === undefined ? Infinity : performance.now() - began
  }

  async kill(): Promise<void> {
    await this.#hub.end()
  }

  /** So far. */
  seconds(): Seconds {
    const sites = this.#shards.reduce((sum, shard) => sum + shard.seconds(), 0)
    return { hub: this.#past + this.#hub.seconds(), sites }
  }

  async commit(): Promise<void> {
    this.#revision += 1
    await this.#hub.ask({ do: 'commit' })
  }

  async begin(overMs: number): Promise<void> {
    await Promise.all(this.#shards.map((shard) => shard.ask({ do: 'begin', overMs })))
  }

  async mark(): Promise<void> {
    await Promise.all(this.#shards.map((shard) => shard.ask({ do: 'mark' })))
  }

  async hub(): Promise<HubLook> {
    return this.#hub.look()
  }

  async look(): Promise<SitesLook> {
    const all = await Promise.all(this.#shards.map((shard) => shard.look()))
    return {
      connected: all.reduce((sum, { connected }) => sum + connected, 0),
      back: all.reduce((sum, { back }) => sum + back, 0),
      failures: all.reduce((sum, { failures }) => sum + failures, 0),
    }
  }

  /** Of the hub that runs. */
  async hubTimes(): Promise<HubTimes> {
    return (await this.#hub.ask<HubTimes>({ do: 'times' })) ?? { tookMs: [] }
  }

  async times(): Promise<SitesTimes> {
    const all = await Promise.all(this.#shards.map((shard) => shard.ask<SitesTimes>({ do: 'times' })))
    return { backMs: all.flatMap((it) => it?.backMs ?? []), tookMs: all.flatMap((it) => it?.tookMs ?? []) }
  }

  /** Until `done` says so, and not how far it is; false after `ms`, or where the hub ended. */
  async until(ms: number, done: () => Promise<true | string>): Promise<boolean> {
    const end = performance.now() + ms
    let saidMs = 0
    for (;;) {
      const far = await done()
      const nowMs = performance.now()
      if (far === true || nowMs - saidMs > SAY_MS) {
        saidMs = nowMs
        this.#say(far === true ? 'done' : far)
      }
      if (this.#hub.ended) say('the hub ended')
      if (far === true || nowMs > end || this.#hub.ended) return far === true
      await sleep(LOOK_MS)
    }
  }

  #say(text: string): void {
    const atS = Math.round((performance.now() - this.#beganMs) / 1_000)
    const { hub, sites } = this.seconds()
    const mib = Math.round(this.#hub.memoryMiB().now)
    say(`${atS} s: ${text}; CPU ${Math.round(hub)} s hub, ${Math.round(sites)} s sites; hub ${mib} MiB`)
  }

  /** Of this hub process so far. */
  peakMiB(): number {
    return this.#hub.memoryMiB().most
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of [this.#running, ...this.#shards]) await child?.end()
    rmSync(this.#start.dir, { recursive: true, force: true })
  }
}

/** To who waits: the table comes at the end. */
function say(text: string): void {
  process.stderr.write(`${text}\n`)
}

/** `share` 0..1; 0 where there is nothing. */
export function quantile(all: readonly number[], share: number): number {
  const sorted = all.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
}

async function freePort(): Promise<number> {
  const server = net.createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as net.AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}
