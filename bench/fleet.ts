/** A hub and thousands of light sites over real sockets, in processes of their own on loopback. Part of `storm` and `deployments`. */
import { type ChildProcess, fork } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { openPki } from '../src/adapters/link/pki.ts'
import type { HubAsk, HubLook, HubStart } from './fleet-hub.ts'
import type { SitesAsk, SitesLook } from './fleet-sites.ts'

/** As in the image. */
const MALLOC = { MALLOC_ARENA_MAX: '2', MALLOC_MMAP_THRESHOLD_: '32768', MALLOC_TRIM_THRESHOLD_: '65536' }
/** Sockets and files of one process stay far below its limit. */
const SITES_PER_PROCESS = 2_500
const LEAST_PROCESSES = 2
const LOOK_MS = 500
/** What a hub asks of connected sites where nothing else is said. */
const CONNECTED_MS = 60_000

class Child<Ask, Look> {
  readonly process: ChildProcess

  constructor(file: string, start: object) {
    this.process = fork(join(import.meta.dirname, file), [JSON.stringify(start)], {
      serialization: 'advanced',
      env: { ...process.env, ...MALLOC },
    })
  }

  /** The next message; rejects where the process ends first. */
  said<T = Look>(): Promise<T> {
    return new Promise((resolve, reject) => {
      const gone = (): void => reject(new Error('a process of the bench ended'))
      this.process.once('exit', gone)
      this.process.once('message', (message) => {
        this.process.off('exit', gone)
        resolve(message as T)
      })
    })
  }

  async ask<T = Look>(asked: Ask): Promise<T> {
    const said = this.said<T>()
    this.process.send(asked as object)
    return said
  }

  async end(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return
    const gone = new Promise((resolve) => this.process.once('exit', resolve))
    this.process.kill('SIGKILL')
    await gone
  }
}

export class Fleet implements AsyncDisposable {
  readonly sites: number
  readonly #start: Omit<HubStart, 'revision'>
  readonly #shards: Child<SitesAsk, SitesLook>[]
  #hub: Child<HubAsk, HubLook>
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
      return new Child<SitesAsk, SitesLook>('fleet-sites.ts', start)
    })
    await Promise.all(shards.map((shard) => shard.said()))
    const fleet = new Fleet(sites, { dir, port, workloads, pollMs }, shards)
    await fleet.start()
    return fleet
  }

  private constructor(sites: number, start: Omit<HubStart, 'revision'>, shards: Child<SitesAsk, SitesLook>[]) {
    this.sites = sites
    this.#start = start
    this.#shards = shards
    this.#hub = undefined as unknown as Child<HubAsk, HubLook>
  }

  /** ms until it serves. */
  async start(): Promise<number> {
    const began = performance.now()
    this.#hub = new Child<HubAsk, HubLook>('fleet-hub.ts', { ...this.#start, revision: this.#revision })
    await this.#hub.said()
    return performance.now() - began
  }

  async kill(): Promise<void> {
    await this.#hub.end()
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
    return this.#hub.ask({ do: 'look' })
  }

  async look(): Promise<SitesLook> {
    const all = await Promise.all(this.#shards.map((shard) => shard.ask({ do: 'look' })))
    return {
      connected: all.reduce((sum, { connected }) => sum + connected, 0),
      backMs: all.flatMap(({ backMs }) => backMs),
      tookMs: all.flatMap(({ tookMs }) => tookMs),
      failures: all.reduce((sum, { failures }) => sum + failures, 0),
    }
  }

  /** Until `done` says so; false after `ms`. */
  async until(ms: number, done: () => Promise<boolean>): Promise<boolean> {
    const end = performance.now() + ms
    while (performance.now() < end) {
      if (await done()) return true
      await sleep(LOOK_MS)
    }
    return false
  }

  /** Of this hub process so far. */
  peakMiB(): number {
    const status = readFileSync(`/proc/${this.#hub.process.pid}/status`, 'utf8')
    return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1_024
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of [this.#hub, ...this.#shards]) await child.end()
    rmSync(this.#start.dir, { recursive: true, force: true })
  }
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
