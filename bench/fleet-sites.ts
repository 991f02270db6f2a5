/** Some of a bench's light sites as a process: their keys and certificates made, and what came back of them counted. Part of `storm` and `deployments`. */
import { SecretText } from '../src/core/model/secret.ts'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeAgeKeys } from '../src/adapters/link/age-keys.ts'
import { keyHash } from '../src/adapters/link/peers.ts'
import { openPki } from '../src/adapters/link/pki.ts'
import type { TurnState } from '../src/agent/turn-state.ts'
import type { SiteIdentity } from '../src/agent/ports.ts'
import type { HubLink } from '../src/core/protocol/ports.ts'
import type { Enrolled } from './fleet-hub.ts'
import { siteName } from './hub-fleet.ts'
import { lightSite } from './light-site.ts'

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
  | { readonly do: 'times' }

export interface SitesLook {
  /** On a WebSocket, idle or not. */
  readonly connected: number
  /** Had an exchange since the mark. */
  readonly back: number
  readonly failures: number
}

export interface SitesTimes {
  /** Ms after the mark at which each site that is back had its exchange. */
  readonly backMs: readonly number[]
  /** Of exchanges since the mark that were answered, without those that had to dial. */
  readonly tookMs: readonly number[]
}

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
      privateKey: new SecretText(key.privateKey.export({ type: 'pkcs8', format: 'pem' })),
      ageKey: age.secret,
      recipient: age.recipient,
    })
    made.push({ index, siteId, hash: keyHash(publicKey) })
  }
  writeFileSync(join(dir, `enrolled-${from}.json`), JSON.stringify(made))

  let markMs = performance.now()
  const agents: TurnState[] = []
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
  process.on('message', (asked: SitesAsk) => {
    if (asked.do === 'begin') {
      for (const [i, identity] of identities.entries())
        setTimeout(
          () => agents.push(lightSite(identity, (link) => counted(link, identity.site))),
          (i * asked.overMs) / identities.length,
        )
      process.send!({})
    } else if (asked.do === 'mark') {
      markMs = performance.now()
      back.clear()
      tookMs.length = 0
      process.send!({})
    } else if (asked.do === 'times') {
      process.send!({ backMs: [...back.values()], tookMs } satisfies SitesTimes)
    } else {
      process.send!({
        connected: agents.filter(({ resting }) => resting?.by === 'socket').length,
        back: back.size,
        failures: agents.reduce((sum, { counts }) => sum + counts.syncFailures, 0),
      } satisfies SitesLook)
    }
  })
  process.on('disconnect', () => process.exit(0))
  process.send!({ made: made.length })
}
