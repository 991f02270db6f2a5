/**
 * One end of a link, as a process in a network namespace of its own: `child.ts hub DIR` or `child.ts agent DIR LINE`. Speaks JSON lines.
 *
 *   hub     out {"line": of a token} · in `commit` · out {"synced": digest, "served", "handshakes"} · in `look` · the same, not synced
 *   agent   in `counts` · out {"syncs", "failures", "up", "down"} and what it says of itself
 */
import { createInterface } from 'node:readline'
import { join } from 'node:path'
import { openPki } from '../../../src/adapters/link/pki.ts'
import { startLinkServer } from '../../../src/adapters/link/server.ts'
import { startAgent, thisMachine } from '../../../src/process/agent.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import type { Logger } from '../../../src/runtime/logger.ts'
import { SimCluster } from '../../../src/sim/cluster.ts'
import { shops } from '../../unit/hub/files.ts'
import { ADMIN, Rig } from '../../unit/hub/rig.ts'

const HUB = '10.50.0.1'
const SITE = 's1'
const OBJECTS = 200
const LOOK_MS = 100
const silent: Logger = { info() {}, warn() {}, error() {}, debug() {}, child: () => silent }
const say = (words: object): boolean => process.stdout.write(`${JSON.stringify(words)}\n`)
const heard = createInterface({ input: process.stdin })

/** Settings as people write them; a release changes one line in each of the 200. */
function files(tag: string): Record<string, string> {
  const part = (i: number): string => {
    const lines = Array.from({ length: 12 }, (_, k) => `  SETTING_${k}: "value ${(i * 7_919 + k * 104_729) % 999_983}"`)
    return `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: part-${i} }\ndata:\n${lines.join('\n')}\n  TAG: "${tag}"\n`
  }
  return Object.fromEntries(Array.from({ length: OBJECTS }, (_, i) => [`apps/web/base/part-${i}.yaml`, part(i)]))
}

async function hub(dir: string): Promise<void> {
  const pki = await openPki(join(dir, 'keys'), Date.now())
  const call = { nudge: (_sites: readonly string[]): void => undefined }
  const rig = await Rig.open(
    { authority: pki, clock: systemClock, nudge: (sites) => call.nudge(sites), random: Math.random },
    { gitPollMs: 3_600_000, polls: { connectedMs: 60_000, meteredMs: [60_000, 60_000] } },
  )
  const server = await startLinkServer({ pki, handler: rig.hub.handler, host: HUB, port: 8443 })
  call.nudge = (sites) => server.nudge(sites)
  rig.git.commit({ ...shops({ sites: [SITE] }), ...files('1') })
  void rig.hub.run(new AbortController().signal)
  while (!rig.hub.api.ready.ok) await systemClock.sleep(LOOK_MS, new AbortController().signal)
  const { token } = await rig.hub.api.createToken(ADMIN, SITE, 600_000)
  say({ line: pki.joinLine(server.url, SITE, token) })
  heard.on('line', (word) => {
    if (word === 'look') return say({ synced: null, ...server.stats() })
    rig.git.commit({ ...shops({ sites: [SITE], tag: '2' }), ...files('2') })
    void rig.hub.api.reconcile(ADMIN)
    return undefined
  })
  let told = ''
  for (;;) {
    await systemClock.sleep(LOOK_MS, new AbortController().signal)
    const [site] = (await rig.hub.api.sites({})).items
    const [of] = site?.workloads ?? []
    if (site?.sync !== 'Synced' || of?.applied !== of?.target || of?.target == null || of.target === told) continue
    told = of.target
    say({ synced: told, ...server.stats() })
  }
}

async function agent(dir: string, line: string): Promise<void> {
  const running = await startAgent(
    {
      data: dir,
      join: line,
      cluster: new SimCluster({ clock: systemClock, seed: 1 }),
      clock: systemClock,
      machine: thisMachine(),
      log: silent,
      options: { version: 'test' },
    },
    new AbortController().signal,
  )
  heard.on('line', () => {
    const { counts, conditions, resting, generation, workloads } = running.agent.status()
    const { syncs, syncFailures: failures, bytesUp: up, bytesDown: down } = counts
    const sync = workloads.map((it) => it.sync)
    say({ syncs, failures, up, down, resting: resting?.by ?? null, conditions, generation, sync })
  })
}

const [role, dir = '', line = ''] = process.argv.slice(2)
heard.on('close', () => process.exit(0))
await (role === 'hub' ? hub(dir) : agent(dir, line))
