/** The hub's HTTP API: bearer tokens, capped bodies, errors with code, cause and next step. What it means stands behind `HubApi`. */
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { asFault, Fault, type FaultReason } from '../../core/model/fault.ts'
import { isObject, type Json, type JsonObject } from '../../core/model/json.ts'
import type { LabelSelector } from '../../core/model/selector.ts'
import type { Actor, AskRequest, HubApi, HubReads, Role, RolloutVerb } from '../../hub/api.ts'
import type { Logger } from '../../runtime/logger.ts'
import { registerMetrics } from './hub-metrics.ts'

/** A word of an operator is a few hundred bytes. */
const BODY_MAX_BYTES = 64 * 1024
const DEFAULT_LIMIT = 100
const VERBS: readonly RolloutVerb[] = [
  'pause',
  'resume',
  'promote',
  'approve',
  'break-glass',
  'abort',
  'undo',
  'readmit',
]
const ROLES: readonly Role[] = ['viewer', 'operator', 'approver', 'admin']

/** What a caller can do about it; the rest is in docs/reasons.md. */
const STATUS: Partial<Record<FaultReason, number>> = {
  InvalidInput: 400,
  Unauthorized: 401,
  Forbidden: 403,
  NotFound: 404,
  Conflict: 409,
  TooLarge: 413,
  Throttled: 429,
  StoreFull: 507,
}
const NEXT: Partial<Record<FaultReason, string>> = {
  Unauthorized: 'give a token: --token, FLOTILLA_TOKEN, or the file that the hub wrote at its first start',
  Forbidden: 'ask for a token of another role or scope: `flotilla token create --role ROLE -l SELECTOR`',
  NotFound: 'flotilla get sites, flotilla get workloads',
  Conflict: 'flotilla rollout status',
  StoreFull: 'make room on the disk of the hub',
}

export interface ApiServerOptions {
  readonly api: HubApi
  readonly log: Logger
  /** Default 127.0.0.1. */
  readonly host?: string
  /** 0: any free one. */
  readonly port: number
  /** Read by `untilMs` of words given as a duration. */
  readonly nowMs: () => number
}

export interface ApiServer extends AsyncDisposable {
  readonly port: number
  /** `http://host:port`. */
  readonly url: string
  /** Takes no more and lets requests in progress end. */
  close(): Promise<void>
}

/** Listens. Fault Unexpected where the address is taken. */
export async function startApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const host = options.host ?? '127.0.0.1'
  const app = fastify({ bodyLimit: BODY_MAX_BYTES, forceCloseConnections: 'idle', logger: false })
  app.setErrorHandler((error, _request, reply) => refuse(reply, fromFastify(error)))
  app.setNotFoundHandler((request, reply) =>
    refuse(reply, new Fault('NotFound', `there is no ${request.method} ${request.url}`)),
  )
  // An empty body is as good as an empty object: curl -X POST must work.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => done(null, body))
  registerProbes(app, options.api)
  registerMetrics(app, options.api)
  registerReads(app, options)
  registerWords(app, options)
  try {
    await app.listen({ host, port: options.port })
  } catch (error) {
    throw new Fault('Unexpected', `cannot listen on ${host}:${options.port}`, { cause: error })
  }
  const address = app.server.address()
  const port = typeof address === 'object' && address !== null ? address.port : options.port
  const close = async (): Promise<void> => {
    await app.close()
  }
  return { port, url: `http://${host}:${port}`, close, [Symbol.asyncDispose]: close }
}

function registerProbes(app: FastifyInstance, api: HubApi): void {
  app.get('/healthz', async () => ({ ok: true }))
  app.get('/readyz', async (_request, reply) => reply.code(api.ready.ok ? 200 : 503).send(api.ready))
}

function registerReads(app: FastifyInstance, { api }: ApiServerOptions): void {
  const get = (path: string, read: (seen: HubReads, request: FastifyRequest) => Promise<object>): void => {
    app.get(path, async (request, reply) => reply.send(await read(api.seenBy(caller(api, request)), request)))
  }
  const query = (request: FastifyRequest): Readonly<Record<string, string | undefined>> => {
    const out: Record<string, string> = {}
    for (const [name, value] of Object.entries(request.query as Record<string, unknown>))
      if (typeof value === 'string' && value !== '') out[name] = value
    return out
  }
  get('/v1/status', (seen) => seen.status())
  get('/v1/sites', (seen, request) => {
    const { selector, sync, health, link, limit, cursor } = query(request)
    return seen.sites({
      ...(selector === undefined ? {} : { selector }),
      ...(sync === undefined ? {} : { sync }),
      ...(health === undefined ? {} : { health }),
      ...(link === undefined ? {} : { link }),
      ...(cursor === undefined ? {} : { cursor }),
      limit: count(limit, DEFAULT_LIMIT, 'limit'),
    })
  })
  get('/v1/sites/:name', (seen, request) => seen.site(param(request, 'name')))
  get('/v1/workloads', (seen) => seen.workloads())
  get('/v1/workloads/:name', (seen, request) => seen.workload(param(request, 'name')))
  get('/v1/rollouts', (seen) => seen.rollouts())
  get('/v1/rollouts/:workload', (seen, request) => seen.rollout(param(request, 'workload')))
  get('/v1/rollouts/:workload/history', (seen, request) => seen.history(param(request, 'workload')))
  get('/v1/why/:kind/:name', (seen, request) => {
    const kind = param(request, 'kind')
    if (kind !== 'site' && kind !== 'rollout' && kind !== 'workload' && kind !== 'object')
      throw wrong('kind', kind, 'site, rollout, workload or object')
    return seen.why(kind, param(request, 'name'))
  })
  app.get('/v1/asks/:id', async (request, reply) => {
    const answers = query(request)['answers'] === undefined ? 'counts' : 'answers'
    return reply.send(await api.asked(caller(api, request), param(request, 'id'), answers))
  })
  get('/v1/freezes', (seen) => seen.freezes())
  get('/v1/audit', (seen, request) => {
    const { after, limit } = query(request)
    return seen.audit(count(after, 0, 'after'), count(limit, DEFAULT_LIMIT, 'limit'))
  })
  get('/v1/batch', (seen, request) => {
    const { sites, cursor, limit } = query(request)
    return seen.batch({
      ...(sites === undefined ? {} : { sites: sites.split(',') }),
      ...(cursor === undefined ? {} : { cursor }),
      limit: count(limit, DEFAULT_LIMIT, 'limit'),
    })
  })
  get('/v1/events', (seen, request) => {
    const { after, limit } = query(request)
    return seen.events(count(after, 0, 'after'), count(limit, DEFAULT_LIMIT, 'limit'))
  })
}

function registerWords(app: FastifyInstance, { api, nowMs, log }: ApiServerOptions): void {
  const word = (
    method: 'POST' | 'DELETE',
    path: string,
    say: (actor: Actor, body: JsonObject, request: FastifyRequest) => Promise<object | void>,
  ): void => {
    app.route({
      method,
      url: path,
      handler: async (request, reply) => {
        const actor = caller(api, request)
        const answer = await say(actor, bodyOf(request), request)
        log.info({ actor: actor.name, method, path: request.url }, 'a word of an operator')
        return reply.send(answer ?? {})
      },
    })
  }
  /** `untilMs`, or `forMs` from now. */
  const until = (body: JsonObject): number | null => {
    if (typeof body['untilMs'] === 'number') return body['untilMs']
    return typeof body['forMs'] === 'number' ? nowMs() + body['forMs'] : null
  }
  for (const verb of VERBS)
    word('POST', `/v1/rollouts/:workload/${verb}`, (actor, body, request) =>
      api.command(actor, param(request, 'workload'), verb, {
        ...text(body, 'why'),
        ...text(body, 'wave'),
        ...text(body, 'team'),
        ...text(body, 'id'),
        ...(typeof body['forMs'] === 'number' ? { forMs: body['forMs'] } : {}),
      }),
    )
  word('POST', '/v1/sites/:name/hold', (actor, body, request) =>
    api.hold(actor, param(request, 'name'), required(body, 'reason'), until(body)),
  )
  word('DELETE', '/v1/sites/:name/hold', (actor, _body, request) => api.release(actor, param(request, 'name')))
  word('POST', '/v1/freezes', (actor, body) => {
    const untilMs = until(body)
    if (untilMs === null) throw wrong('untilMs', null, 'untilMs, or forMs')
    return api.freeze(actor, { selector: selectorOf(body), reason: required(body, 'reason'), untilMs })
  })
  word('DELETE', '/v1/freezes/:id', (actor, _body, request) => api.thaw(actor, param(request, 'id')))
  word('POST', '/v1/asks', (actor, body) => api.ask(actor, askOf(body)))
  word('DELETE', '/v1/asks/:id', (actor, _body, request) => api.withdraw(actor, param(request, 'id')))
  word('POST', '/v1/sites/:name/reconcile', (actor, _body, request) => api.call(actor, param(request, 'name')))
  word('POST', '/v1/tokens', async (actor, body) => {
    const { role } = body
    if (role === undefined)
      return api.createToken(actor, required(body, 'site'), count(body['ttlMs'], 3_600_000, 'ttlMs'))
    const known = ROLES.find((name) => name === role)
    if (known === undefined) throw wrong('role', role, ROLES.join(', '))
    return api.createApiToken(required(body, 'name'), known, teamsOf(body), { by: actor, scope: selectorOf(body) })
  })
  word('POST', '/v1/sites/:name/retire', (actor, _body, request) => api.retire(actor, param(request, 'name')))
  word('POST', '/v1/statements', (actor, body) => api.sign(actor, statementsOf(body)))
  word('POST', '/v1/recover', (actor) => api.recover(actor))
  word('POST', '/v1/reconcile', (actor, body) => {
    const { accept } = text(body, 'accept')
    return accept === undefined ? api.reconcile(actor) : api.reconcile(actor, accept)
  })
}

/** Fault Unauthorized. */
function caller(api: HubApi, request: FastifyRequest): Actor {
  const header = request.headers.authorization ?? ''
  const bearer = /^Bearer ([A-Za-z0-9_-]{16,128})$/.exec(header)?.[1]
  const actor = bearer === undefined ? undefined : api.authenticate(bearer)
  if (actor === undefined)
    throw new Fault('Unauthorized', header === '' ? 'no token was given' : 'the token is not known')
  return actor
}

function bodyOf(request: FastifyRequest): JsonObject {
  const body = request.body
  if (body === undefined || body === null || body === '') return {}
  try {
    const parsed: unknown = JSON.parse(body as string)
    if (isObject(parsed)) return parsed
  } catch (error) {
    throw new Fault('InvalidInput', 'the body is not JSON', { cause: error })
  }
  throw new Fault('InvalidInput', 'the body is not a JSON object')
}

function param(request: FastifyRequest, name: string): string {
  return (request.params as Record<string, string | undefined>)[name] ?? ''
}

function text<K extends string>(body: JsonObject, name: K): { [P in K]?: string } {
  const value = body[name]
  if (value === undefined || value === null) return {}
  if (typeof value !== 'string') throw wrong(name, value, 'text')
  return { [name]: value } as { [P in K]?: string }
}

function required(body: JsonObject, name: string): string {
  const value = text(body, name)[name]
  if (value === undefined || value === '') throw wrong(name, null, 'text')
  return value
}

function count(value: unknown, none: number, name: string): number {
  if (value === undefined) return none
  const number = Number(value)
  if (!Number.isSafeInteger(number) || number < 0) throw wrong(name, value as Json, 'a whole number')
  return number
}

function statementsOf(body: JsonObject): readonly { payload: string; keyid: string; sig: string }[] {
  const { statements } = body
  if (!Array.isArray(statements)) throw wrong('statements', statements ?? null, 'a list of signed statements')
  return statements.map((statement, i) => {
    if (!isObject(statement)) throw wrong(`statements[${i}]`, statement as Json, 'payload, keyid and sig')
    return {
      payload: required(statement, 'payload'),
      keyid: required(statement, 'keyid'),
      sig: required(statement, 'sig'),
    }
  })
}

function teamsOf(body: JsonObject): readonly string[] {
  const teams = body['teams'] ?? []
  if (!Array.isArray(teams) || !teams.every((team) => typeof team === 'string'))
    throw wrong('teams', teams as Json, 'a list of names')
  return teams
}

function askOf(body: JsonObject): AskRequest {
  const { sites = null, args = {}, forMs } = body
  if (sites !== null && !(Array.isArray(sites) && sites.every((site) => typeof site === 'string')))
    throw wrong('sites', sites, 'a list of names')
  if (!isObject(args)) throw wrong('args', args, 'an object')
  return {
    verb: required(body, 'verb'),
    args,
    sites,
    selector: selectorOf(body),
    ...(forMs === undefined ? {} : { forMs: count(forMs, 0, 'forMs') }),
  }
}

/** null where none is given: all sites. */
function selectorOf(body: JsonObject): LabelSelector | null {
  const selector = body['selector']
  if (selector === undefined || selector === null) return null
  if (isObject(selector) && Object.keys(selector).length > 0) return selector
  throw wrong('selector', selector, 'matchLabels or matchExpressions; leave it out to mean all sites')
}

/** What a caller wrote that cannot be meant. */
function wrong(name: string, found: Json | undefined, expected: string): Fault {
  const shown = (JSON.stringify(found ?? null) ?? 'null').slice(0, 200)
  return new Fault('InvalidInput', `${name}: found ${shown}, expected ${expected}`, {
    facts: { found: shown, expected },
  })
}

function fromFastify(error: unknown): Fault {
  const code = (error as { code?: unknown }).code
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE')
    return new Fault('TooLarge', `a body above ${BODY_MAX_BYTES} bytes`, { cause: error })
  if (typeof code === 'string' && code.startsWith('FST_'))
    return new Fault('InvalidInput', error instanceof Error ? error.message : code, { cause: error })
  return asFault(error)
}

function refuse(reply: FastifyReply, fault: Fault): FastifyReply {
  const status = STATUS[fault.reason] ?? (fault.retry === 'backoff' ? 503 : 422)
  const next = NEXT[fault.reason]
  return reply.code(status).send({
    code: fault.reason,
    message: fault.message,
    ...fault.facts,
    ...(next === undefined ? {} : { next }),
  })
}
