/** The agent's own socket: what is answered and taken at the box, and the asking of another version for the store. */
import { chmodSync, rmSync } from 'node:fs'
import http, { type IncomingMessage } from 'node:http'
import type { BoxView, BoxWord, HandoverAnswer, HandoverAsk } from '../../core/api/box.ts'
import type { WhyView } from '../../core/api/types.ts'
import { asFault, Fault } from '../../core/model/fault.ts'
import { isObject, type JsonObject } from '../../core/model/json.ts'
import { atSocket } from './box-socket.ts'

/** A batch script travels in one. */
const MAX_BODY_BYTES = 256 * 1024

export interface BoxHandler {
  view(): BoxView
  why(subject: string): WhyView
  say(word: BoxWord): BoxView
  handover(ask: HandoverAsk): Promise<HandoverAnswer>
  /** Of the batch room; checked by it. */
  batch(ask: JsonObject): Promise<object>
  /** What a hub may ask of the site too. */
  ask(verb: string, args: JsonObject): Promise<object>
}

/** The caller holds the lock of the store: a socket that is left there is nobody's. */
export async function serveBox(dir: string, handler: BoxHandler): Promise<AsyncDisposable> {
  const server = http.createServer((request, response) => {
    void reply(request, handler).then(({ status, body }) => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    })
  })
  const remove = (file: string): void => rmSync(file, { force: true })
  await atSocket(dir, async (file) => {
    remove(file)
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen(file, resolve)
    })
    chmodSync(file, 0o600)
  })
  return {
    async [Symbol.asyncDispose]() {
      await atSocket(dir, async (file) => remove(file))
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

async function reply(request: IncomingMessage, handler: BoxHandler): Promise<{ status: number; body: object }> {
  try {
    return { status: 200, body: await answer(request, handler) }
  } catch (error) {
    const { reason, message } = asFault(error)
    return { status: STATUS[reason] ?? 500, body: { code: reason, message } }
  }
}

const STATUS: Readonly<Record<string, number>> = { NotFound: 404, InvalidInput: 400, Conflict: 409 }

async function answer(request: IncomingMessage, handler: BoxHandler): Promise<object> {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://box')
  switch (`${request.method} ${pathname}`) {
    case 'GET /v1/status':
      return handler.view()
    case 'GET /v1/why':
      return handler.why(searchParams.get('subject') ?? '')
    case 'POST /v1/word':
      return handler.say(wordOf(await bodyOf(request)))
    case 'POST /v1/handover': {
      const { version, holder } = await bodyOf(request)
      return handler.handover({ version: text(version), holder: text(holder) })
    }
    case 'POST /v1/batch':
      return handler.batch(await bodyOf(request))
    case 'POST /v1/ask': {
      const { verb, args } = await bodyOf(request)
      return handler.ask(text(verb), isObject(args) ? args : {})
    }
    default:
      throw new Fault('NotFound', `${request.method} ${pathname} is not here`)
  }
}

async function bodyOf(request: IncomingMessage): Promise<JsonObject> {
  const parts: Buffer[] = []
  let bytes = 0
  for await (const part of request) {
    bytes += (part as Buffer).length
    if (bytes > MAX_BODY_BYTES) throw new Fault('TooLarge', `more than ${MAX_BODY_BYTES} bytes`)
    parts.push(part as Buffer)
  }
  let body: unknown
  try {
    body = JSON.parse(Buffer.concat(parts).toString('utf8'))
  } catch (error) {
    throw new Fault('InvalidInput', 'the body is not JSON', { cause: error })
  }
  if (!isObject(body)) throw new Fault('InvalidInput', 'the body is not an object')
  return body
}

function wordOf({ kind, by, reason, forMs, workload }: JsonObject): BoxWord {
  switch (kind) {
    case 'pause':
      return { kind, by: text(by), reason: text(reason), forMs: typeof forMs === 'number' ? forMs : null }
    case 'rollback':
      return { kind, by: text(by), reason: text(reason), workload: text(workload) }
    case 'resume':
      return { kind, by: text(by), workload: workload === null ? null : text(workload) }
    default:
      throw new Fault('InvalidInput', 'kind is pause, rollback or resume')
  }
}

function text(value: unknown): string {
  if (typeof value !== 'string') throw new Fault('InvalidInput', 'a text is missing')
  return value
}
