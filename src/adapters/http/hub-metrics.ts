import type { FastifyInstance } from 'fastify'
import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client'
import type { HubApi, HubMeasures } from '../../hub/api.ts'

/** Series by state, never by site: their number does not grow with the fleet. */
export function registerMetrics(app: FastifyInstance, api: HubApi): void {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const axes = ['link', 'sync', 'health', 'rollouts'] as const
  const help: Readonly<Record<(typeof axes)[number], string>> = {
    link: 'Sites by state of their link',
    sync: 'Sites by worst sync of their workloads',
    health: 'Sites by worst health of their workloads',
    rollouts: 'Rollouts by phase',
  }
  const gauges = axes.map((axis) => {
    const name = axis === 'rollouts' ? 'flotilla_rollouts' : `flotilla_sites_${axis}`
    return [axis, new Gauge({ name, help: help[axis], labelNames: ['state'], registers: [registry] })] as const
  })
  const source = new Gauge({
    name: 'flotilla_source_fault',
    help: '1 while Git cannot be followed, or a revision or a workload is held back',
    registers: [registry],
  })
  const writes = new Counter({
    name: 'flotilla_store_transactions_total',
    help: 'Transactions written since the start; an idle fleet adds none',
    registers: [registry],
  })
  let written = 0
  const measure = (now: HubMeasures): void => {
    for (const [axis, gauge] of gauges) {
      gauge.reset()
      for (const [state, count] of Object.entries(now[axis])) gauge.set({ state }, count)
    }
    source.set(now.sourceFault)
    writes.inc(now.storeWrites - written)
    written = now.storeWrites
  }
  app.get('/metrics', async (_request, reply) => {
    measure(api.measure())
    return reply.type(registry.contentType).send(await registry.metrics())
  })
}
