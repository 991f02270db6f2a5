/** `/healthz`, `/readyz` and `/metrics` of an agent: three GETs, nothing else is answered, no request has a body. */
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { Gauge, Registry } from 'prom-client'

export interface Health {
  readonly ok: boolean
  readonly because: string
}

/** A number of the process, read when it is asked for. */
export interface Measure {
  readonly name: string
  readonly help: string
  read(): number
}

export interface HealthServer extends AsyncDisposable {
  readonly port: number
}

/** `live`: it need not be started again. `ready`: it does the work of this site. */
export interface Probes {
  live(): Health
  ready(): Health
}

/** `listen`: `host:port`, port 0 for any free one. */
export async function startHealthServer(
  listen: string,
  probes: Probes,
  measures: readonly Measure[],
): Promise<HealthServer> {
  const registry = new Registry()
  for (const measure of measures) {
    const gauge = new Gauge({
      name: measure.name,
      help: measure.help,
      registers: [],
      collect() {
        this.set(measure.read())
      },
    })
    registry.registerMetric(gauge)
  }
  const server = http.createServer((request, response) => {
    void answer(request.method === 'GET' ? (request.url ?? '') : '').then(({ status, text }) => {
      response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(text)
    })
  })
  const answer = async (url: string): Promise<{ readonly status: number; readonly text: string }> => {
    if (url === '/metrics') return { status: 200, text: await registry.metrics() }
    if (url !== '/healthz' && url !== '/readyz') return { status: 404, text: 'not here\n' }
    const { ok, because } = url === '/readyz' ? probes.ready() : probes.live()
    return { status: ok ? 200 : 503, text: `${because}\n` }
  }
  const colon = listen.lastIndexOf(':')
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(Number(listen.slice(colon + 1)), listen.slice(0, colon), resolve)
  })
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
