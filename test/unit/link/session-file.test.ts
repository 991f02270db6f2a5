/** The TLS session over a restart of the agent: kept beside its store, and never a reason to fail. */
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { sessionFile } from '../../../src/adapters/store/session-file.ts'
import { startAgent } from '../../../src/process/agent.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { SimCluster } from '../../../src/sim/cluster.ts'
import { startBench, type Bench } from './hub-twin.ts'
import { silent, soon } from './one-site.ts'

let home: string
beforeAll(() => void (home = mkdtempSync(join(tmpdir(), 'flotilla-session-'))))
afterAll(() => rmSync(home, { recursive: true, force: true }))

const SESSION = Buffer.from('a session, as opaque bytes '.repeat(60))

/** One life of an agent, to its first exchange; how many of its handshakes were full ones. */
async function life({ server }: Bench, dir: string, join?: string): Promise<number> {
  const full = (): number => server.stats().handshakes - server.stats().resumed
  const before = full()
  const cluster = new SimCluster({ clock: systemClock, seed: 1 })
  const machine = { bootId: 'boot', uptimeMs: () => performance.now() }
  const start = { data: dir, join, cluster, clock: systemClock, machine, log: silent, options: { version: 'test' } }
  await using running = await startAgent(start, soon())
  await expect.poll(() => running.agent.status().counts.syncs, { timeout: 20_000 }).toBeGreaterThan(0)
  return full() - before
}

describe('an agent that is started again', () => {
  test('resumes the session of the one before, from a file of mode 0600', async () => {
    await using bench = await startBench()
    const dir = join(home, 'site')
    const line = bench.hub.pki.joinLine(bench.server.url, '0417', bench.hub.token('0417'))
    expect(await life(bench, dir, line)).toBeGreaterThan(0)
    expect(statSync(join(dir, 'tls-session')).mode & 0o777).toBe(0o600)
    expect(await life(bench, dir)).toBe(0)
  })

  test('does without where the file is damaged', async () => {
    await using bench = await startBench()
    const dir = join(home, 'damaged')
    const line = bench.hub.pki.joinLine(bench.server.url, '0418', bench.hub.token('0418'))
    await life(bench, dir, line)
    writeFileSync(join(dir, 'tls-session'), flipped(readFileSync(join(dir, 'tls-session'))))
    expect(await life(bench, dir)).toBe(1)
    expect(await life(bench, dir)).toBe(0)
  })
})

/** A bit in the middle: of the session itself. */
function flipped(bytes: Buffer): Buffer {
  const at = Math.floor(bytes.length / 2)
  bytes[at] = bytes[at]! ^ 1
  return bytes
}

describe('what a file says that is', () => {
  const damage: Readonly<Record<string, (path: string) => void>> = {
    'not there': (path) => rmSync(path),
    'empty, after a power cut': (path) => writeFileSync(path, ''),
    'cut off': (path) => writeFileSync(path, readFileSync(path).subarray(0, 700)),
    'one bit another': (path) => writeFileSync(path, flipped(readFileSync(path))),
    'larger than any session': (path) => appendFileSync(path, '\n'.repeat(20_000)),
  }
  test.each(Object.entries(damage))('%s: nothing', (name, harm) => {
    const path = join(home, name)
    sessionFile(path).save(SESSION)
    expect(sessionFile(path).load()).toEqual(SESSION)
    harm(path)
    expect(sessionFile(path).load()).toBeUndefined()
  })
})

test('a disk that takes nothing is no error: the session lives as long as the process', () => {
  const file = sessionFile(join(home, 'no such folder', 'tls-session'))
  file.save(SESSION)
  expect(file.load()).toEqual(SESSION)
})

test('a site that hangs up after each call writes once a minute, and is given the newest', () => {
  const path = join(home, 'paced')
  let nowMs = 0
  const file = sessionFile(path, () => nowMs)
  const newer = Buffer.from('newer')
  file.save(SESSION)
  nowMs = 59_999
  file.save(newer)
  expect([file.load(), sessionFile(path).load()]).toEqual([newer, SESSION])
  nowMs = 60_000
  file.save(newer)
  expect(sessionFile(path).load()).toEqual(newer)
})

test('one that is larger than any session is not written', () => {
  const path = join(home, 'large')
  sessionFile(path).save(Buffer.alloc(20_000))
  expect(sessionFile(path).load()).toBeUndefined()
})
