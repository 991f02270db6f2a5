/** A hub in memory behind the real link: what it is told stands in plain maps. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { enrolSite } from '../../../src/adapters/link/enrol.ts'
import { trustOf, type SiteIdentity } from '../../../src/adapters/link/identity.ts'
import { openPki, type Pki } from '../../../src/adapters/link/pki.ts'
import { startLinkServer } from '../../../src/adapters/link/server.ts'
import { makeTokenSecret } from '../../../src/adapters/link/token.ts'
import { openLink } from '../../../src/adapters/link/client.ts'
import type { LinkClientOptions, LinkServer, ServerLimits } from '../../../src/adapters/link/types.ts'
import { digestBytes, type Digest } from '../../../src/core/model/digest.ts'
import { Fault } from '../../../src/core/model/fault.ts'
import { sameGeneration } from '../../../src/core/model/observation.ts'
import type { BlobDomain } from '../../../src/core/model/release.ts'
import { PAYLOAD_TYPES, seal } from '../../../src/core/protocol/envelope.ts'
import { bodyDigest, makeManifest, manifestBytes } from '../../../src/core/protocol/manifest.ts'
import type { Envelope, SiteManifest, SyncUp } from '../../../src/core/protocol/messages.ts'
import type { Enrolled, HubLink, SyncHandler, SyncReply } from '../../../src/core/protocol/ports.ts'
import { signTime, timeSubject } from '../../../src/core/protocol/time.ts'

export interface Published {
  readonly manifest: SiteManifest
  readonly envelope: Envelope
  readonly body: Digest
}

export class HubTwin implements SyncHandler {
  readonly pki: Pki
  readonly tokens = new Map<string, string>()
  readonly keys = new Map<string, { state: 'active' | 'retired'; site: string; siteId: string }>()
  readonly blobs = new Map<Digest, { domain: BlobDomain; bytes: Uint8Array }>()
  readonly inline: { domain: BlobDomain; digest: Digest; base?: Digest }[] = []
  readonly seen: SyncUp[] = []
  published: Published | undefined
  before: Published | undefined
  nowMs = Date.UTC(2026, 0, 2)
  /** Replaces the answer's pieces: an attack, or a hub with a fault. */
  bend: (reply: SyncReply) => SyncReply = (reply) => reply
  work: (signal: AbortSignal) => Promise<void> = async () => undefined
  replacedFloor: Enrolled['floor']

  constructor(pki: Pki) {
    this.pki = pki
  }

  put(domain: BlobDomain, bytes: Uint8Array): Digest {
    const digest = digestBytes(domain, bytes)
    this.blobs.set(digest, { domain, bytes })
    return digest
  }

  publish(manifest: Omit<SiteManifest, 'root'>): Published {
    const made = makeManifest(manifest)
    const payload = manifestBytes(made)
    this.before = this.published
    this.published = {
      manifest: made,
      envelope: seal(PAYLOAD_TYPES.manifest, payload, [this.pki.signer]),
      body: bodyDigest(payload),
    }
    return this.published
  }

  async sync(_caller: unknown, up: SyncUp, signal: AbortSignal): Promise<SyncReply> {
    this.seen.push(up)
    await this.work(signal)
    const { published, before } = this
    const current =
      published === undefined || (up.have !== null && sameGeneration(up.have.generation, published.manifest.generation))
    const base = before !== undefined && before.body === up.have?.body ? before : undefined
    const sent = current
      ? undefined
      : {
          envelope: published.envelope,
          body: published.body,
          ...(base === undefined ? {} : { base: { digest: base.body, payload: base.envelope.payload } }),
        }
    const subject = timeSubject(sent === undefined ? undefined : published!.manifest, up.have)
    const statement = { siteId: up.siteId, nonce: up.nonce, timeMs: this.nowMs, timeEpoch: 1, ...subject }
    const wanted = [
      ...(current ? [] : this.inline),
      ...(up.want ?? []).map((digest) => ({ digest, domain: this.blobs.get(digest)!.domain })),
    ]
    return this.bend({
      head: { v: 1, ack: up.seq, ackOutbox: up.outbox.at(-1)?.seq ?? 0, nextDueMs: 60_000 },
      manifest: sent,
      blobs: wanted.map(({ digest, domain, ...rest }: { digest: Digest; domain: BlobDomain; base?: Digest }) => ({
        digest,
        domain,
        bytes: this.blobs.get(digest)!.bytes,
        ...(rest.base === undefined ? {} : { base: { digest: rest.base, bytes: this.blobs.get(rest.base)!.bytes } }),
      })),
      time: {
        timeMs: statement.timeMs,
        timeEpoch: 1,
        keyid: this.pki.signer.keyid,
        sig: signTime(statement, this.pki.signer),
      },
      trust: { version: this.pki.trust.version, statement: this.pki.chain.at(-1)! },
    })
  }

  async blob(_caller: unknown, domain: BlobDomain, digest: Digest): Promise<Uint8Array | undefined> {
    const found = this.blobs.get(digest)
    return found?.domain === domain ? found.bytes : undefined
  }

  standing(keyHash: string): { state: 'active' | 'retired'; site: string; siteId: string } | undefined {
    return this.keys.get(keyHash)
  }

  async renew({ site, siteId, heldHash, nextHash, publicKey }: Parameters<SyncHandler['renew']>[0]) {
    const held = this.keys.get(heldHash)
    if (held?.siteId !== siteId || held.site !== site) throw new Fault('KeyUnknown', 'not a key of this site')
    if (held.state === 'retired') throw new Fault('KeyRetired', 'a retired key')
    this.keys.set(nextHash, { state: 'active', site, siteId })
    return { certificate: await this.pki.certify({ site, siteId, publicKey }) }
  }

  async enrol(request: Parameters<SyncHandler['enrol']>[0]): Promise<Enrolled> {
    if (this.tokens.get(request.secret) !== request.site)
      throw new Fault('TokenRefused', 'used, expired or of another site')
    this.tokens.delete(request.secret)
    const siteId = `ID-${request.site}-${this.keys.size}`
    this.keys.set(request.keyHash, { state: 'active', site: request.site, siteId })
    const certificate = await this.pki.certify({ site: request.site, siteId, publicKey: request.publicKey })
    const floor = this.replacedFloor === undefined ? {} : { floor: this.replacedFloor }
    return { siteId, certificate, keys: this.pki.chain.at(-1)!, ...floor }
  }

  token(site: string): string {
    const secret = makeTokenSecret()
    this.tokens.set(secret, site)
    return secret
  }
}

export interface Bench extends AsyncDisposable {
  readonly hub: HubTwin
  readonly server: LinkServer
  join(site: string): Promise<SiteIdentity>
  link(identity: SiteIdentity, options?: Partial<LinkClientOptions>): HubLink
}

/** One directory of keys for all suites of a process: making them takes longer than most tests. */
let shared: Promise<Pki> | undefined
export function sharedPki(): Promise<Pki> {
  shared ??= freshPki()
  return shared
}

export async function freshPki(): Promise<Pki> {
  const dir = mkdtempSync(join(tmpdir(), 'flotilla-pki-'))
  try {
    return await openPki(dir, Date.UTC(2026, 0, 1))
  } finally {
    rmSync(dir, { recursive: true })
  }
}

export async function startBench(limits: Partial<ServerLimits> = {}, pki?: Pki): Promise<Bench> {
  const hub = new HubTwin(pki ?? (await sharedPki()))
  const server = await startLinkServer({
    pki: hub.pki,
    handler: hub,
    limits: { ratePerKey: 1e6, burstPerKey: 1e6, ...limits },
    random: () => 0.5,
  })
  const links: HubLink[] = []
  return {
    hub,
    server,
    join: (site) => enrolSite(hub.pki.joinLine(server.url, site, hub.token(site)), AbortSignal.timeout(10_000)),
    link(identity, options = {}) {
      const link = openLink({
        identity: () => identity,
        authorities: () => trustOf(identity).authorities,
        keyExchange: 'x25519',
        ...options,
      })
      links.push(link)
      return link
    },
    async [Symbol.asyncDispose]() {
      for (const link of links) await link.close()
      await server.close(0)
    },
  }
}

export const MANIFEST: Omit<SiteManifest, 'root' | 'site' | 'siteId'> = {
  generation: { epoch: 1, counter: 1 },
  revision: '0123456789abcdef0123456789abcdef01234567',
  issued: '2026-01-01T00:00:00Z',
  expires: '2026-03-01T00:00:00Z',
  critical: [],
  mode: 'enforce',
  entries: [],
  config: null,
  queues: {},
  keys: {},
  withdrawn: [],
  deletionsConfirmed: [],
}

export function upOf(identity: Pick<SiteIdentity, 'site' | 'siteId'>, rest: Partial<SyncUp> = {}): SyncUp {
  return {
    v: 1,
    site: identity.site,
    siteId: identity.siteId,
    agent: '0.1.0',
    boot: 'b00tb00tb00t',
    storeEpoch: '5t0re5t0re',
    have: null,
    clockMs: 1_767_312_000_000,
    nonce: 'AAECAwQFBgcICQoL',
    seq: 1,
    observations: [],
    outbox: [],
    conditions: [],
    trust: 1,
    ...rest,
  }
}

export const NO_BASES = { manifest: undefined, blob: () => undefined }
