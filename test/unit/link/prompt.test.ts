/** A commit reaches a connected idle site by the hub's call, long before its next exchange is due: real hub, sockets and agent, real time. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openLink } from '../../../src/adapters/link/client.ts'
import { enrolSite } from '../../../src/adapters/link/enrol.ts'
import { trustOf } from '../../../src/adapters/link/identity.ts'
import { startLinkServer } from '../../../src/adapters/link/server.ts'
import { openAgentStore } from '../../../src/adapters/store/agent-store.ts'
import { createAgent } from '../../../src/agent/agent.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { SimCluster } from '../../../src/sim/cluster.ts'
import { shops } from '../hub/files.ts'
import { ADMIN, Rig } from '../hub/rig.ts'
import { sharedPki } from './hub-twin.ts'
import { silent } from './one-site.ts'

const POLL_MS = 60_000
/** A tenth of what a poll takes on average, on a machine that is busy with other suites. */
const PROMPT_MS = 3_000

test('a commit reaches a connected idle site within a second, and what the site makes of it reaches the hub', async () => {
  const pki = await sharedPki()
  const stop = new AbortController()
  const call = { nudge: (_sites: readonly string[]): void => undefined }
  await using rig = await Rig.open(
    { authority: pki, clock: systemClock, nudge: (sites) => call.nudge(sites) },
    { gitPollMs: 3_600_000, polls: { connectedMs: POLL_MS, meteredMs: [POLL_MS, POLL_MS] } },
  )
  await using server = await startLinkServer({ pki, handler: rig.hub.handler })
  call.nudge = (sites) => server.nudge(sites)
  rig.git.commit(shops({ sites: ['s1'] }))
  const running = rig.hub.run(stop.signal)
  await expect.poll(() => rig.hub.api.ready.ok).toBe(true)
  const { token } = await rig.hub.api.createToken(ADMIN, 's1', 60_000)
  const dir = mkdtempSync(join(tmpdir(), 'flotilla-prompt-'))
  const store = openAgentStore(dir)
  store.saveIdentity(await enrolSite(pki.joinLine(server.url, 's1', token), AbortSignal.timeout(10_000)))
  const identity = () => store.identity()!
  const link = openLink({ identity, authorities: () => trustOf(identity()).authorities, keyExchange: 'x25519' })
  const agent = createAgent(
    {
      cluster: new SimCluster({ clock: systemClock, seed: 1 }),
      link,
      store,
      clock: systemClock,
      log: silent,
      machine: { bootId: 'boot', uptimeMs: () => performance.now() },
      random: Math.random,
    },
    { version: 'test', newsAfterMs: 100 },
  )
  const acting = agent.run(stop.signal)
  try {
    const counter = (): number => store.floor()?.generation.counter ?? 0
    await expect.poll(counter, { timeout: 20_000 }).toBe(1)
    await expect.poll(() => agent.status().resting, { timeout: 20_000 }).toEqual({ by: 'socket' })
    await expect.poll(async () => (await rig.hub.api.sites({})).items[0]?.sync, { timeout: 20_000 }).toBe('Synced')

    const tookMs: number[] = []
    for (const tag of ['2', '3', '4']) {
      const before = counter()
      rig.git.commit(shops({ sites: ['s1'], tag }))
      const committedMs = performance.now()
      await rig.hub.api.reconcile(ADMIN)
      await expect.poll(counter, { timeout: 20_000, interval: 5 }).toBeGreaterThan(before)
      tookMs.push(performance.now() - committedMs)
      const done = async () => (await rig.hub.api.sites({})).items[0]?.sync
      await expect.poll(done, { timeout: 20_000 }).toBe('Synced')
    }
    console.log(`commit to desired at the site: ${tookMs.map((ms) => Math.round(ms)).join(', ')} ms`)
    expect(Math.min(...tookMs)).toBeLessThan(PROMPT_MS)
    expect(server.stats()).toMatchObject({ sockets: 1, connections: 1 })
  } finally {
    stop.abort()
    await Promise.all([running, acting])
    agent.stop()
    await link.close()
    await server.close(0)
    store.close()
    rmSync(dir, { recursive: true, force: true })
  }
}, 90_000)
