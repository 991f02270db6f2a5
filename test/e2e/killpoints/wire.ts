/** The cluster and the hub of a process that may be killed live in another one: calls and watches over Node's own channel. */
import type { ChildProcess } from 'node:child_process'
import type { Cluster, ListQuery, WatchEvent } from '../../../src/core/kube/cluster.ts'
import { asFault, Fault, type FaultReason } from '../../../src/core/model/fault.ts'
import type { HubLink } from '../../../src/core/protocol/ports.ts'
import type { Steps } from './steps.ts'

type Port = 'cluster' | 'link' | 'time'
interface Ask {
  readonly id: number
  readonly port: Port
  readonly method: string
  readonly args: readonly unknown[]
}
type Answer =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly event: WatchEvent }
  | { readonly id: number; readonly fault: { readonly reason: FaultReason; readonly message: string } }

export interface Served {
  readonly cluster: Cluster
  readonly link: HubLink
  pass(ms: number): Promise<void>
}

const NEVER = new AbortController().signal

/** The side that stays. What a killed process asked for and was sent is done all the same. */
export function serve(child: ChildProcess, { cluster, link, ...served }: Served): void {
  const watches = new Map<number, AbortController>()
  child.on('exit', () => {
    for (const watch of watches.values()) watch.abort()
  })
  const answer = (it: Answer): void => {
    if (child.connected) child.send(it, () => undefined)
  }
  const carryOut = async ({ id, port, method, args }: Ask): Promise<unknown> => {
    if (port === 'time') return served.pass(Number(args[0]))
    if (port === 'cluster' && method === 'unwatch') return watches.get(Number(args[0]))?.abort()
    if (port === 'cluster' && method === 'watch') {
      const stop = new AbortController()
      watches.set(id, stop)
      const [query, from] = args as [ListQuery, string]
      for await (const event of cluster.watch(query, from, stop.signal)) answer({ id, event })
      return undefined
    }
    const target = (port === 'cluster' ? cluster : link) as unknown as Record<string, (...args: unknown[]) => unknown>
    return target[method]?.(...args, NEVER)
  }
  child.on('message', (ask: Ask) => {
    carryOut(ask).then(
      (value) => answer({ id: ask.id, value }),
      (error: unknown) => {
        const { reason, message } = asFault(error)
        answer({ id: ask.id, fault: { reason, message } })
      },
    )
  })
}

interface Waiting {
  done(value: unknown): void
  failed(fault: Fault): void
  event?(event: WatchEvent): void
}

const CLUSTER_CALLS = ['list', 'get', 'apply', 'create', 'patch', 'delete', 'kind', 'preferred', 'kinds'] as const

/** The side that may be killed: each call is a step. */
export function connect(steps: Steps): Served {
  const waiting = new Map<number, Waiting>()
  let ids = 0
  const ask = (port: Port, method: string, args: readonly unknown[], waits: Waiting): number => {
    const id = ++ids
    waiting.set(id, waits)
    process.send?.({ id, port, method, args } satisfies Ask)
    return id
  }
  process.on('message', (answer: Answer) => {
    const waits = waiting.get(answer.id)
    if ('event' in answer) return waits?.event?.(answer.event)
    waiting.delete(answer.id)
    if ('fault' in answer) waits?.failed(new Fault(answer.fault.reason, answer.fault.message))
    else waits?.done(answer.value)
  })
  const call = (port: Port, method: string, args: readonly unknown[]): Promise<unknown> =>
    new Promise((done, failed) => void ask(port, method, args, { done, failed }))
  const stepped = (port: Port, method: string) => {
    return (...all: unknown[]) => {
      const args = all.slice(0, -1).filter((it) => !hasFunction(it))
      return steps.call(`${port} ${method} ${subject(args)}`.trim(), () => call(port, method, args))
    }
  }
  async function* watch(query: ListQuery, from: string, signal: AbortSignal): AsyncGenerator<WatchEvent> {
    const events: WatchEvent[] = []
    let end: { readonly fault?: Fault } | undefined
    let ring = Promise.withResolvers<void>()
    const id = ask('cluster', 'watch', [query, from], {
      done: () => ((end = {}), ring.resolve()),
      failed: (fault) => ((end = { fault }), ring.resolve()),
      event: (event) => (events.push(event), ring.resolve()),
    })
    signal.addEventListener('abort', () => {
      ask('cluster', 'unwatch', [id], { done: () => undefined, failed: () => undefined })
      end ??= {}
      ring.resolve()
    })
    for (;;) {
      for (let event = events.shift(); event !== undefined; event = events.shift()) yield event
      if (end?.fault !== undefined) throw end.fault
      if (end !== undefined) return
      await ring.promise
      ring = Promise.withResolvers<void>()
    }
  }
  const cluster = Object.fromEntries(CLUSTER_CALLS.map((method) => [method, stepped('cluster', method)]))
  async function* pages(query: ListQuery, signal: AbortSignal): AsyncGenerator {
    yield { ...((await cluster['list']?.(query, signal)) as object), begins: true }
  }
  return {
    cluster: { ...cluster, watch, pages, as: () => cluster, close: async () => undefined } as unknown as Cluster,
    link: { sync: stepped('link', 'sync'), blob: stepped('link', 'blob'), close: async () => undefined } as unknown as HubLink, // prettier-ignore
    pass: async (ms) => void (await call('time', 'pass', [ms])),
  }
}

function hasFunction(it: unknown): boolean {
  return typeof it === 'object' && it !== null && Object.values(it).some((value) => typeof value === 'function')
}

/** What a call is about, so that writes of two runs can be told apart and compared. */
function subject(args: readonly unknown[]): string {
  const [first, second] = args as [{ kind?: string; metadata?: { name?: string } }?, { name?: string }?]
  return [first?.kind, first?.metadata?.name ?? second?.name].filter((it) => it !== undefined).join(' ')
}
