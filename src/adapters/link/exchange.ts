/** What an exchange is, whichever carrier brings it: who speaks, how often it may, and a place among those in progress. */
import type { Socket } from 'node:net'
import { isDigest } from '../../core/model/digest.ts'
import { Fault } from '../../core/model/fault.ts'
import type { BlobDomain } from '../../core/model/release.ts'
import { BLOB_DOMAINS } from '../../core/protocol/heads.ts'
import type { Caller } from '../../core/protocol/ports.ts'
import { decodeUp, encodeDown } from '../../core/protocol/sync.ts'
import type { Admission } from './admission.ts'
import type { Connection, ConnectionBook } from './connections.ts'
import type { LinkServerOptions, ServerLimits } from './types.ts'

export interface RouteContext extends Omit<LinkServerOptions, 'limits'> {
  readonly limits: ServerLimits
  readonly doors: Admission
  readonly book: ConnectionBook
  readonly closing: AbortSignal
  /** Sites that were to be called since their last exchange and could not: they are, as soon as they have a WebSocket. */
  readonly uncalled: Set<string>
}

/** A TLS record is read whole or not at all: smaller ones leave something behind on a link that is cut every few KiB. */
export const BLOB_RECORD_BYTES = 2 * 1024

/** The standing is the store's word of this moment: a key that was retired since the handshake is refused now. */
export function callerOf(context: Pick<RouteContext, 'handler'>, { peer }: Connection): Caller {
  if (peer === undefined) throw new Fault('KeyUnknown', 'no certificate of ours')
  const standing = context.handler.standing(peer.keyHash)
  if (standing === undefined) throw new Fault('KeyUnknown', 'a key that the store does not know')
  if (standing.state !== 'active') throw new Fault('KeyRetired', 'a retired key')
  const { site, siteId, formerNames = [] } = standing
  const caller = { site, siteId, keyHash: peer.keyHash, formerNames }
  if (!goesBy(caller, peer.name)) throw new Fault('WrongSite', 'a certificate of another site')
  return caller
}

/** A site that was renamed is served while its certificate and its reports still carry the name of before. */
function goesBy({ site, siteId, formerNames = [] }: Caller, said: { readonly site: string; readonly siteId: string }) {
  return said.siteId === siteId && (said.site === site || formerNames.includes(said.site))
}

export function throttle({ doors }: RouteContext, key: string): void {
  const asked = doors.mayAsk(key)
  if (!asked.admitted) throw new Fault('Throttled', 'too often', { retryAfterMs: asked.retryAfterMs })
}

/** Runs within a place among the exchanges in progress; gives up when the peer or the hub goes away. */
export async function within<T>(
  context: RouteContext,
  socket: Socket,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const place = context.doors.enter()
  if (!place.admitted) throw new Fault('Throttled', 'too many at once', { retryAfterMs: place.retryAfterMs })
  const gone = new AbortController()
  const leave = (): void => gone.abort(new Fault('Cancelled', 'the site went away'))
  socket.once('close', leave)
  try {
    return await work(AbortSignal.any([gone.signal, context.closing]))
  } finally {
    socket.off('close', leave)
    place.release()
  }
}

/** The conversation moves on with an answer that is handed to `send`. */
export async function answerSync(
  context: RouteContext,
  connection: Connection,
  { socket, caller, body }: { readonly socket: Socket; readonly caller: Caller; readonly body: Uint8Array },
  send: (bytes: Buffer) => void,
): Promise<void> {
  const { up, head } = decodeUp(body, connection.conversation)
  if (!goesBy(caller, up)) throw new Fault('WrongSite', `it speaks for ${up.site}`)
  await within(context, socket, async (signal) => {
    context.uncalled.delete(caller.site)
    const reply = await context.handler.sync(caller, up, signal)
    const down = encodeDown(reply, up, connection.conversation)
    connection.conversation = { up: head, down: down.head }
    send(down.bytes)
  })
}

export interface BlobAsked {
  readonly socket: Socket
  readonly caller: Caller
  readonly domain: string
  readonly digest: string
}

/** Fault NotFound where there is none, or none that this site was told of. */
export async function readBlob(
  context: RouteContext,
  { socket, caller, domain, digest }: BlobAsked,
  send: (bytes: Uint8Array) => void,
): Promise<void> {
  if (!isDomain(domain) || !isDigest(digest)) throw new Fault('NotFound', 'no such blob')
  await within(context, socket, async () => {
    const bytes = await context.handler.blob(caller, domain, digest)
    if (bytes === undefined) throw new Fault('NotFound', 'no such blob')
    send(bytes)
  })
}

function isDomain(name: string): name is BlobDomain {
  return (BLOB_DOMAINS as readonly string[]).includes(name)
}
