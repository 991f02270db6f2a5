/** What the hub answers on each path of HTTP. Everything thrown is a Fault, answered as status and reason. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { TLSSocket } from 'node:tls'
import { Fault } from '../../core/model/fault.ts'
import { ENROL_MAX_BYTES, SYNC_UP_MAX_BYTES } from '../../core/protocol/limits.ts'
import { answer, leastHeaders } from './answers.ts'
import { makeChallenge, type Connection } from './connections.ts'
import { bindingOf, checkProof } from './enrol-proof.ts'
import { decodeApplication, encodeAdmittance, encodeChallenge, encodeRoots } from './enrol-wire.ts'
import { answerSync, BLOB_RECORD_BYTES, callerOf, readBlob, throttle, within, type RouteContext } from './exchange.ts'
import { keyHash } from './peers.ts'
import { checkRenewal, decodeRenewal, encodeRenewed } from './rescue-wire.ts'

type Route = (req: IncomingMessage, res: ServerResponse) => Promise<void>

const BLOB_PATH = /^\/v1\/blobs\/([a-z]{1,16})\/([0-9a-f]{64})$/
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

async function sync(
  context: RouteContext,
  connection: Connection,
  req: IncomingMessage,
  res: ServerResponse,
): Promise<void> {
  const caller = callerOf(context, connection)
  throttle(context, caller.keyHash)
  const body = await readBody(req, SYNC_UP_MAX_BYTES, context.limits.requestTimeoutMs)
  await answerSync(context, connection, { socket: req.socket, caller, body }, (bytes) => answer(res, 200, bytes))
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
  const socket = req.socket as TLSSocket
  socket.setMaxSendFragment(BLOB_RECORD_BYTES)
  await readBlob(context, { socket, caller, ...named }, (bytes) => {
    const [, first = '0', last = ''] = RANGE.exec(req.headers.range ?? '') ?? []
    const from = Number(first)
    const to = Math.min(bytes.length, last === '' ? bytes.length : Number(last) + 1)
    if (from === 0 && to === bytes.length) return answer(res, 200, bytes)
    if (from >= to) return answer(res, 416, new Uint8Array(), { 'content-range': `bytes */${bytes.length}` })
    answer(res, 206, bytes.subarray(from, to), { 'content-range': `bytes ${from}-${to - 1}/${bytes.length}` })
  })
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
  await within(context, req.socket, async () => {
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
  await within(context, req.socket, async () => {
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
