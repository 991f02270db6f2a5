/** Speaks to the agent that runs on a store, over its socket. */
import http from 'node:http'
import type { BoxView, BoxWord, HandoverAnswer, HandoverAsk } from '../../core/api/box.ts'
import type { WhyView } from '../../core/api/types.ts'
import { Fault, REASONS, type FaultReason } from '../../core/model/fault.ts'
import type { Json, JsonObject } from '../../core/model/json.ts'
import { atSocket } from './box-socket.ts'

const TIMEOUT_MS = 30_000

/** Faults: Unreachable where nobody listens, Timeout, and what the agent says. */
export interface BoxClient {
  view(): Promise<BoxView>
  why(subject: string): Promise<WhyView>
  say(word: BoxWord): Promise<BoxView>
  handover(ask: HandoverAsk): Promise<HandoverAnswer>
  batch(ask: object): Promise<JsonObject>
  ask(verb: string, args: JsonObject): Promise<JsonObject>
}

export function createBoxClient(dir: string): BoxClient {
  const call = <T>(method: string, path: string, body?: object): Promise<T> =>
    atSocket(dir, (file) => send<T>(file, method, path, body))
  return {
    view: () => call('GET', '/v1/status'),
    why: (subject) => call('GET', `/v1/why?subject=${encodeURIComponent(subject)}`),
    say: (word) => call('POST', '/v1/word', word),
    handover: (ask) => call('POST', '/v1/handover', ask),
    batch: (ask) => call('POST', '/v1/batch', ask),
    ask: (verb, args) => call('POST', '/v1/ask', { verb, args }),
  }
}

function send<T>(socketPath: string, method: string, path: string, body: object | undefined): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const request = http.request({ socketPath, method, path, timeout: TIMEOUT_MS }, (response) => {
      const parts: Buffer[] = []
      response.on('data', (part: Buffer) => parts.push(part))
      response.once('error', (error) => reject(unreachable(error)))
      response.once('end', () => {
        try {
          const answer = JSON.parse(Buffer.concat(parts).toString('utf8')) as Json
          if (response.statusCode === 200) resolve(answer as T)
          else reject(faultOf(answer))
        } catch (error) {
          reject(unreachable(error))
        }
      })
    })
    request.once('timeout', () => request.destroy(new Fault('Timeout', `no answer within ${TIMEOUT_MS} ms`)))
    request.once('error', (error) => reject(unreachable(error)))
    request.end(body === undefined ? undefined : JSON.stringify(body))
  })
}

function unreachable(error: unknown): Fault {
  if (error instanceof Fault) return error
  return new Fault('Unreachable', 'no agent answers on this store', { cause: error })
}

function faultOf(answer: Json): Fault {
  const { code = '', message = '' } = (answer ?? {}) as { code?: string; message?: string }
  return new Fault(Object.hasOwn(REASONS, code) ? (code as FaultReason) : 'ServerError', message)
}
