/**
 * A site whose disk fails: full in bytes and in inodes, read only, an error at fsync, the power gone. The real store on a real file
 * system that the test mounts (root, tmpfs, loop devices, strace); cluster and hub are simulated, for it is the disk that is tested.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { openAgentStore } from '../../src/adapters/store/agent-store.ts'
import { createAgent } from '../../src/agent/agent.ts'
import type { Manifest } from '../../src/core/model/object.ts'
import type { Logger } from '../../src/runtime/logger.ts'
import { configMap, createSite, liveOf, type Site } from '../unit/agent/site.ts'
import { factsOf, manifestAt } from '../unit/store/facts.ts'

const DIR = fs.mkdtempSync(path.join(os.tmpdir(), 'flotilla-disk-'))
const why = ['mount', 'umount', 'findmnt', 'mkfs.ext4', 'fsck.ext4', 'strace'].filter(
  (name) => spawnSync('which', [name]).status !== 0,
)
if (process.getuid?.() !== 0) why.push('root')
const here = why.length === 0
const SILENT: Logger = { info() {}, warn() {}, error() {}, debug() {}, child: () => SILENT }
const mounted: string[] = []
const stops: (() => Promise<void>)[] = []

afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
  for (const dir of mounted.splice(0)) run('umount', '-l', dir)
})
afterAll(() => fs.rmSync(DIR, { recursive: true, force: true }))

test('disks can be broken here', () => {
  if (process.env['CI'] === 'true' && !here) throw new Error(`missing: ${why.join(', ')}`)
})

const run = (program: string, ...args: string[]): string => execFileSync(program, args, { encoding: 'utf8' })

/** It ends with other than 0 where it mended something. */
function fsck(file: string): void {
  const program = 'fsck.ext4'
  spawnSync(program, ['-fy', file])
}

function mount(name: string, ...args: string[]): string {
  const dir = path.join(DIR, name)
  fs.mkdirSync(dir)
  run('mount', ...args, dir)
  mounted.push(dir)
  return dir
}

function unmount(dir: string): void {
  run('umount', dir)
  mounted.splice(mounted.indexOf(dir), 1)
}

function image(name: string): string {
  const file = path.join(DIR, name)
  fs.writeFileSync(file, '')
  fs.truncateSync(file, 24 * 1024 * 1024)
  run('mkfs.ext4', '-q', file)
  return file
}

const big = (name: string, mark: string): Manifest => configMap(name, { a: mark, text: mark.repeat(100_000) })

/** A site whose loops run, converged on its first word. */
async function running(dir: string): Promise<Site> {
  const site = createSite({ dir: path.join(dir, 'store'), agent: { pollMs: 5_000 } })
  site.hub.publish({ till: { objects: [configMap('a'), configMap('b')] } })
  const stop = new AbortController()
  const done = site.agent.run(stop.signal)
  stops.push(async () => {
    stop.abort()
    await done
    site.store.close()
  })
  await site.clock.advance(20_000)
  expect(await liveOf(site, configMap('a'))).toBeDefined()
  return site
}

/** Another process over the same files, of the same cluster and hub. */
function startAgain(dir: string, site: Site): () => Promise<void> {
  const heard = site.hub.heard.length
  const store = openAgentStore(path.join(dir, 'store'))
  const { clock, cluster, hub } = site
  const machine = { bootId: 'boot', uptimeMs: () => clock.monotonicMs() }
  const ports = { cluster, link: hub, store, clock, log: SILENT, machine, random: () => 0.5 }
  const agent = createAgent(ports, { version: '0.1.0', pollMs: 5_000 })
  const stop = new AbortController()
  const done = agent.run(stop.signal)
  return async () => {
    expect(hub.heard.length).toBeGreaterThan(heard)
    stop.abort()
    await done
    store.close()
  }
}

const conditionsOf = (site: Site): readonly string[] =>
  (site.hub.heard.at(-1)?.conditions ?? []).map(({ type, reason }) => `${type} ${reason}`)

/** What the second word would do: change `a`, make `c`, prune `b`. */
const second = { till: { objects: [big('a', '2'), big('c', '1')] } }

async function isAtFirst(site: Site): Promise<void> {
  expect(await liveOf(site, configMap('a'))).toMatchObject({ data: { a: '1' } })
  expect(await liveOf(site, configMap('b'))).toBeDefined()
  expect(await liveOf(site, configMap('c'))).toBeUndefined()
}

async function comesToSecond(site: Site): Promise<void> {
  // Longer than any backoff.
  await site.clock.advance(700_000)
  expect(await liveOf(site, configMap('a'))).toMatchObject({ data: { a: '2' } })
  expect(await liveOf(site, configMap('b'))).toBeUndefined()
  expect(await liveOf(site, configMap('c'))).toBeDefined()
  expect(conditionsOf(site)).toEqual([])
}

describe.runIf(here)('a disk without room', () => {
  const fillUp = {
    bytes: (dir: string): void => {
      const file = fs.openSync(path.join(dir, 'ballast'), 'a')
      try {
        for (let block = 65_536; block >= 512; block /= 2) {
          try {
            for (;;) if (fs.writeSync(file, Buffer.alloc(block)) < block) break
          } catch (error) {
            if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
          }
        }
      } finally {
        fs.closeSync(file)
      }
    },
    inodes: (dir: string): void => {
      fs.mkdirSync(path.join(dir, 'ballast'))
      try {
        for (let i = 0; ; i++) fs.writeFileSync(path.join(dir, 'ballast', String(i)), '')
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
      }
    },
  }

  test('in bytes: nothing of the new word is done, the hub hears StoreFull, a restart too; with room it goes on', async () => {
    const dir = mount('bytes', '-t', 'tmpfs', '-o', 'size=2m', 'tmpfs')
    const site = await running(dir)
    fillUp.bytes(dir)
    site.hub.publish(second)
    await site.clock.advance(30_000)
    expect(conditionsOf(site)).toContain('Store StoreFull')
    await isAtFirst(site)
    // A process that starts on a full disk says so as well: it has a reserve for that.
    await stops.pop()?.()
    fillUp.bytes(dir)
    const again = startAgain(dir, site)
    await site.clock.advance(30_000)
    expect(conditionsOf(site)).toContain('Store StoreFull')
    await isAtFirst(site)
    fs.rmSync(path.join(dir, 'ballast'))
    await comesToSecond(site)
    await again()
  })

  test('in inodes: what needs no new file goes on, and both places of the floor agree again once there is one', async () => {
    const dir = mount('inodes', '-t', 'tmpfs', '-o', 'size=8m,nr_inodes=64', 'tmpfs')
    const site = await running(dir)
    fillUp.inodes(dir)
    site.hub.publish(second)
    await site.clock.advance(30_000)
    expect(conditionsOf(site)).toContain('Store StoreFull')
    fs.rmSync(path.join(dir, 'ballast'), { recursive: true })
    await comesToSecond(site)
    const floor = fs.readFileSync(path.join(dir, 'store/floor'), 'utf8')
    expect(JSON.parse(floor.split('\n')[1] ?? '')).toMatchObject({ generation: site.store.floor()?.generation })
  })
})

test.runIf(here)(
  'a disk that became read only: nothing of the new word is done, and the hub hears of it; mounted anew it goes on',
  async () => {
    const file = image('readonly.img')
    const dir = mount('readonly', '-o', 'loop,errors=remount-ro', file)
    const site = await running(dir)
    const device = path.basename(run('findmnt', '-no', 'SOURCE', dir).trim())
    // As the kernel does when it meets an error in the file system.
    fs.writeFileSync(`/sys/fs/ext4/${device}/trigger_fs_error`, '1')
    site.hub.publish(second)
    await site.clock.advance(30_000)
    expect(conditionsOf(site).join()).toMatch(/Store Store(ReadOnly|Failed)/)
    await isAtFirst(site)
    await stops.pop()?.()
    unmount(dir)
    fsck(file)
    run('mount', '-o', 'loop', file, dir)
    mounted.push(dir)
    const store = openAgentStore(path.join(dir, 'store'))
    expect(store.opened.rebuilt).toEqual([])
    expect(store.inventory().size).toBe(2)
    store.close()
  },
)

test.runIf(here)('the power is cut after any write: what was acknowledged before is there', () => {
  const file = image('power.img')
  const dir = mount('power', '-o', 'loop', file)
  const store = openAgentStore(path.join(dir, 'store'))
  const copies: { readonly image: string; readonly facts: unknown }[] = []
  const cut = (): void => {
    const copy = path.join(DIR, `cut-${copies.length}.img`)
    run('cp', '--sparse=always', file, copy)
    copies.push({ image: copy, facts: factsOf(store) })
  }
  for (let counter = 1; counter <= 4; counter++) {
    store.accept(manifestAt(counter))
    cut()
    store.write({ outbox: [{ class: 'result', seq: counter, atMs: counter, body: { counter } }] })
    cut()
    // Outlives a kill only, until the next that outlives the power.
    store.write({ notes: new Map([['soft', { counter }]]) }, 'process')
    store.write({ notes: new Map([['hard', { counter }]]) })
    cut()
  }
  store.close()
  for (const { image: copy, facts } of copies) {
    const at = mount(path.basename(copy, '.img'), '-o', 'loop', copy)
    const found = openAgentStore(path.join(at, 'store'))
    expect(factsOf(found)).toEqual(facts)
    expect(found.opened.rebuilt).toEqual([])
    found.close()
    unmount(at)
  }
  expect(copies.length).toBe(12)
})

test.runIf(here)('a sync that fails is told, taken for no success, and what follows is on the disk', () => {
  const dir = path.join(DIR, 'eio')
  const child = path.join(import.meta.dirname, 'disk/site-child.ts')
  const calls = path.join(DIR, 'eio.strace')
  // Its first syncs open the store; these are in the middle of its words.
  const inject = [
    '-f',
    '-o',
    calls,
    '-e',
    'trace=fsync,fdatasync',
    '-e',
    'inject=fsync,fdatasync:error=EIO:when=30..45',
  ]
  const out = run('strace', ...inject, process.execPath, child, dir)
  const failed = fs.readFileSync(calls, 'utf8').match(/EIO.*INJECTED/g)?.length ?? 0
  const site = JSON.parse(out) as { said: string[]; last: unknown[]; a: unknown; at: number }
  console.log(`EIO at ${failed} syncs: the hub heard ${site.said.join(', ')}`)
  expect(failed).toBeGreaterThan(5)
  expect(site).toMatchObject({ last: [], a: { a: '12' }, at: 12 })
  expect(site.said).toContain('Store StoreFailed')
  const store = openAgentStore(dir)
  expect(store.opened.rebuilt).toEqual([])
  expect(store.floor()?.generation.counter).toBe(12)
  store.close()
})
