/** What the hub answers on each path. Everything thrown is a Fault, answered as status and reason. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { TLSSocket } from 'node:tls'
import { isDigest, type Digest } from '../../core/model/digest.ts'
import { Fault } from '../../core/model/fault.ts'
import type { BlobDomain } from '../../core/model/release.ts'
import { BLOB_DOMAINS } from '../../core/protocol/heads.ts'
import { ENROL_MAX_BYTES, SYNC_UP_MAX_BYTES } from '../../core/protocol/limits.ts'
import type { Caller } from '../../core/protocol/ports.ts'
import { decodeUp, encodeDown } from '../../core/protocol/sync.ts'
import type { Admission } from './admission.ts'
import { answer, leastHeaders } from './answers.ts'
import { makeChallenge, type Connection, type ConnectionBook } from './connections.ts'
import { bindingOf, checkProof } from './enrol-proof.ts'
import { decodeApplication, encodeAdmittance, encodeChallenge, encodeRoots } from './enrol-wire.ts'
import { keyHash } from './peers.ts'
import { checkRenewal, decodeRenewal, encodeRenewed } from './rescue-wire.ts'
import type { LinkServerOptions, ServerLimits } from './types.ts'

export interface RouteContext extends Omit<LinkServerOptions, 'limits'> {
  readonly limits: ServerLimits
  readonly doors: Admission
  readonly book: ConnectionBook
  readonly closing: AbortSignal
}

type Route = (req: IncomingMessage, res: ServerResponse) => Promise<void>

const BLOB_PATH = /^\/v1\/blobs\/([a-z]{1,16})\/([0-9a-f]{64})$/
/** A TLS record is read whole or not at all: smaller ones leave something behind on a link that is cut every few KiB. */
const BLOB_RECORD_BYTES = 2 * 1024
const RANGE = /^bytes=(\d{1,15})-(\d{0,15})$/
/** All enrolments together share one bucket: nobody has shown a key yet. */
const ENROL_KEY = 'enrol'

export function hubRoutes(context: RouteContext): Route {
  const { pki } = context
  return async (req, res) => {
    leastHeaders(res)
    const connection = context.book.of(req.socket as TLSSocket, pki.tls.authorities)
    const path = req.url ?? ''
    switch (`${req.method} ${path}`) {
      case 'POST /v1/sync':
        return sync(context, connection, req, res)
      case 'GET /v1/enrol':
        throttle(context, ENROL_KEY)
        connection.challenge = makeChallenge()
        return answer(res, 200, challengeOf(context, connection.challenge))
      case 'POST /v1/enrol':
        return enrol(context, connection, req, res)
      case 'GET /v1/rescue/renew':
        throttle(context, ENROL_KEY)
        connection.challenge = makeChallenge()
        return answer(res, 200, challengeOf(context, connection.challenge))
      case 'POST /v1/rescue/renew':
        return renew(context, connection, req, res)
      case 'GET /v1/rescue/roots':
        throttle(context, ENROL_KEY)
        return answer(res, 200, encodeRoots(pki))
    }
    const match = req.method === 'GET' ? BLOB_PATH.exec(path) : null
    if (match === null) throw new Fault('NotFound', 'no such path')
    return blob(context, connection, { domain: match[1]!, digest: `sha256:${match[2]!}` }, req, res)
  }
}

/** The standing is the store's word of this moment: a key that was retired since the handshake is refused now. */
function callerOf(context: RouteContext, { peer }: Connection): Caller {
  if (peer === undefined) throw new Fault('KeyUnknown', 'no certificate of ours')
  const standing = context.handler.standing(peer.keyHash)
  if (standing === undefined) throw new Fault('KeyUnknown', 'a key that the store does not know')
  if (standing.state !== 'active') throw new Fault('KeyRetired', 'a retired key')
  const { site, siteId } = standing
  if (peer.name.site !== site || peer.name.siteId !== siteId)
    throw new Fault('WrongSite', 'a certificate of another site')
  return { site, siteId, keyHash: peer.keyHash }
}

function throttle({ doors }: RouteContext, key: string): void {
  const asked = doors.mayAsk(key)
  if (!asked.admitted) throw new Fault('Throttled', 'too often', { retryAfterMs: asked.retryAfterMs })
}

/** Runs within a place among the exchanges in progress; gives up when the peer or the hub goes away. */
async function within<T>(
  context: RouteContext,
  req: IncomingMessage,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const place = context.doors.enter()
  if (!place.admitted) throw new Fault('Throttled', 'too many at once', { retryAfterMs: place.retryAfterMs })
  const gone = new AbortController()
  const leave = (): void => gone.abort(new Fault('Cancelled', 'the site went away'))
  req.socket.once('close', leave)
  try {
    return await work(AbortSignal.any([gone.signal, context.closing]))
  } finally {
    req.socket.off('close', leave)
    place.release()
  }
}

async function sync(
  context: RouteContext,
  connection: Connection,
  req: IncomingMessage,
  res: ServerResponse,
): Promise<void> {
  const caller = callerOf(context, connection)
  throttle(context, caller.keyHash)
  const body = await readBody(req, SYNC_UP_MAX_BYTES, context.limits.requestTimeoutMs)
  const { up, head } = decodeUp(body, connection.conversation)
  if (up.site !== caller.site || up.siteId !== caller.siteId) throw new Fault('WrongSite', `it speaks for ${up.site}`)
  await within(context, req, async (signal) => {
    const reply = await context.handler.sync(caller, up, signal)
    const down = encodeDown(reply, up, connection.conversation)
    connection.conversation = { up: head, down: down.head }
    answer(res, 200, down.bytes)
  })
}

async function blob(
  context: RouteContext,
  connection: Connection,
  named: { readonly domain: string; readonly digest: string },
  req: IncomingMessage,
  res: ServerResponse,
): Promise<void> {
  const caller = callerOf(context, connection)
  throttle(context, caller.keyHash)
  if (!isDomain(named.domain) || !isDigest(named.digest)) throw new Fault('NotFound', 'no such blob')
  const socket = req.socket as TLSSocket
  socket.setMaxSendFragment(BLOB_RECORD_BYTES)
  const { domain, digest }: { domain: BlobDomain; digest: Digest } = { domain: named.domain, digest: named.digest }
  await within(context, req, async () => {
    const bytes = await context.handler.blob(caller, domain, digest)
    if (bytes === undefined) throw new Fault('NotFound', 'no such blob')
    const [, first = '0', last = ''] = RANGE.exec(req.headers.range ?? '') ?? []
    const from = Number(first)
    const to = Math.min(bytes.length, last === '' ? bytes.length : Number(last) + 1)
    if (from === 0 && to === bytes.length) return answer(res, 200, bytes)
    if (from >= to) return answer(res, 416, new Uint8Array(), { 'content-range': `bytes */${bytes.length}` })
    answer(res, 206, bytes.subarray(from, to), { 'content-range': `bytes ${from}-${to - 1}/${bytes.length}` })
  })
}

function isDomain(name: string): name is BlobDomain {
  return (BLOB_DOMAINS as readonly string[]).includes(name)
}

function challengeOf({ pki }: RouteContext, challenge: NonNullable<Connection['challenge']>): Buffer {
  return encodeChallenge({
    root: pki.root,
    chain: pki.chain,
    challenge: challenge.bytes,
    ephemeral: challenge.publicSpki,
  })
}

async function enrol(
  context: RouteContext,
  connection: Connection,
  req: IncomingMessage,
  res: ServerResponse,
): Promise<void> {
  throttle(context, ENROL_KEY)
  const body = await readBody(req, ENROL_MAX_BYTES, context.limits.requestTimeoutMs)
  const { challenge } = connection
  connection.challenge = undefined
  if (challenge === undefined) throw new Fault('InvalidInput', 'no challenge was given on this connection')
  const asked = decodeApplication(body)
  const { site, secret, recipient, publicKey } = asked
  const claim = {
    site,
    secret,
    recipient,
    publicKey,
    challenge: challenge.bytes,
    binding: bindingOf(req.socket as TLSSocket),
  }
  checkProof(claim, asked, challenge.privateKey)
  await within(context, req, async () => {
    const hash = keyHash(publicKey)
    const { siteId, certificate, keys, floor } = await context.handler.enrol({
      site,
      secret,
      recipient,
      publicKey,
      keyHash: hash,
    })
    answer(res, 200, encodeAdmittance({ siteId, certificate, trust: keys, ...(floor === undefined ? {} : { floor }) }))
  })
}

/** Asks for no certificate: it may be of an authority that counts no more. The proof is by the key itself. */
async function renew(
  context: RouteContext,
  connection: Connection,
  req: IncomingMessage,
  res: ServerResponse,
): Promise<void> {
  throttle(context, ENROL_KEY)
  const body = await readBody(req, ENROL_MAX_BYTES, context.limits.requestTimeoutMs)
  const { challenge } = connection
  connection.challenge = undefined
  if (challenge === undefined) throw new Fault('InvalidInput', 'no challenge was given on this connection')
  const asked = decodeRenewal(body)
  checkRenewal(asked, { challenge: challenge.bytes, binding: bindingOf(req.socket as TLSSocket) })
  const { site, siteId, heldKey, nextKey: publicKey } = asked
  await within(context, req, async () => {
    const hashes = { heldHash: keyHash(heldKey), nextHash: keyHash(publicKey) }
    const { certificate } = await context.handler.renew({ site, siteId, publicKey, ...hashes })
    answer(res, 200, encodeRenewed(certificate))
  })
}

/** The announced length is refused before a byte is read; bytes that come too slowly are not waited for. */
async function readBody(req: IncomingMessage, maxBytes: number, timeoutMs: number): Promise<Buffer> {
  const length = Number(req.headers['content-length'])
  if (!Number.isSafeInteger(length)) throw new Fault('InvalidInput', 'a body of unknown length')
  if (length > maxBytes) throw new Fault('TooLarge', `a body of ${length} bytes`)
  const timer = setTimeout(() => req.destroy(new Fault('Timeout', 'a body that came too slowly')), timeoutMs)
  try {
    const chunks: Buffer[] = []
    for await (const chunk of req) chunks.push(chunk as Buffer)
    return Buffer.concat(chunks)
  } catch (cause) {
    if (cause instanceof Fault) throw cause
    throw new Fault('Cancelled', 'the site went away within its request', { cause })
  } finally {
    clearTimeout(timer)
  }
}
