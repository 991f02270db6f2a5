/**
 * Some of a bench's light sites as a process: each has its own key and certificate, its own store and connection, and runs the
 * agent's own code; only its cluster is simulated. Part of `storm` and `deployments`.
 */
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeAgeKeys } from '../src/adapters/link/age-keys.ts'
import { openLink } from '../src/adapters/link/client.ts'
import { trustOf } from '../src/adapters/link/identity.ts'
import { keyHash } from '../src/adapters/link/peers.ts'
import { openPki } from '../src/adapters/link/pki.ts'
import { openAgentStore } from '../src/adapters/store/agent-store.ts'
import { createAgent, type Agent } from '../src/agent/agent.ts'
import type { SiteIdentity } from '../src/agent/ports.ts'
import type { HubLink } from '../src/core/protocol/ports.ts'
import { systemClock } from '../src/runtime/clock.ts'
import type { Logger } from '../src/runtime/logger.ts'
import { SimCluster } from '../src/sim/cluster.ts'
import type { Enrolled } from './fleet-hub.ts'
import { siteName } from './hub-fleet.ts'

export interface SitesStart {
  readonly dir: string
  readonly port: number
  readonly from: number
  readonly to: number
}

/** `begin`: all of them, evenly within `overMs`. `mark`: from now on an exchange says that a site is back. */
export type SitesAsk =
  | { readonly do: 'begin'; readonly overMs: number }
  | { readonly do: 'mark' }
  | { readonly do: 'look' }

export interface SitesLook {
  /** On a WebSocket, idle or not. */
  readonly connected: number
  /** Ms after the mark at which each site that is back had its exchange. */
  readonly backMs: readonly number[]
  /** Of exchanges since the mark that were answered, without those that had to dial. */
  readonly tookMs: readonly number[]
  readonly failures: number
}

const silent: Logger = { info() {}, warn() {}, error() {}, debug() {}, child: () => silent }
const machine = { bootId: 'bench', uptimeMs: () => performance.now() }

if (process.send !== undefined && process.argv[2]?.startsWith('{') === true)
  await shard(JSON.parse(process.argv[2]) as SitesStart)

async function shard({ dir, port, from, to }: SitesStart): Promise<void> {
  const pki = await openPki(join(dir, 'keys'), Date.now())
  const age = makeAgeKeys()
  const identities: SiteIdentity[] = []
  const made: Enrolled[] = []
  for (let index = from; index < to; index++) {
    const site = siteName(index)
    const siteId = randomBytes(16).toString('hex')
    const key = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const publicKey = key.publicKey.export({ type: 'spki', format: 'der' })
    identities.push({
      site,
      siteId,
      hubUrl: `https://127.0.0.1:${port}`,
      root: Buffer.from(pki.root).toString('base64'),
      trust: pki.chain.at(-1)!,
      certificate: await pki.certify({ site, siteId, publicKey }),
      privateKey: key.privateKey.export({ type: 'pkcs8', format: 'pem' }),
      ageKey: age.secret,
      recipient: age.recipient,
    })
    made.push({ index, siteId, hash: keyHash(publicKey) })
  }
  writeFileSync(join(dir, `enrolled-${from}.json`), JSON.stringify(made))

  let markMs = performance.now()
  const agents: Agent[] = []
  const back = new Map<string, number>()
  const tookMs: number[] = []
  const counted = (link: HubLink, site: string): HubLink => ({
    ...link,
    async sync(up, bases, signal) {
      const beganMs = performance.now()
      const answer = await link.sync(up, bases, signal)
      const nowMs = performance.now()
      if (back.has(site)) tookMs.push(nowMs - beganMs)
      else if (beganMs > markMs) back.set(site, nowMs - markMs)
      return answer
    },
  })
  const begin = (identity: SiteIdentity, seed: number): void => {
    const store = openAgentStore(':memory:')
    store.saveIdentity(identity)
    const { authorities } = trustOf(identity)
    const link = counted(openLink({ identity: () => identity, authorities: () => authorities }), identity.site)
    const cluster = new SimCluster({ clock: systemClock, seed })
    const ports = { cluster, link, store, clock: systemClock, log: silent, machine, random: Math.random }
    const agent = createAgent(ports, { version: 'bench' })
    agents.push(agent)
    void agent.run(new AbortController().signal)
  }
  process.on('message', (asked: SitesAsk) => {
    if (asked.do === 'begin') {
      for (const [i, identity] of identities.entries())
        setTimeout(() => begin(identity, from + i), (i * asked.overMs) / identities.length)
      process.send!({})
    } else if (asked.do === 'mark') {
      markMs = performance.now()
      back.clear()
      tookMs.length = 0
      process.send!({})
    } else {
      const seen = agents.map((agent) => agent.status())
      process.send!({
        connected: seen.filter(({ resting }) => resting?.by === 'socket').length,
        backMs: [...back.values()],
        tookMs,
        failures: seen.reduce((sum, { counts }) => sum + counts.syncFailures, 0),
      } satisfies SitesLook)
    }
  })
  process.send!({ made: made.length })
}
