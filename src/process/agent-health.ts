/** What a cluster's probes and a Prometheus ask of an agent. */
import type { Health, Measure } from '../adapters/http/health-server.ts'
import type { Agent } from '../agent/agent.ts'

/** Alive: turns are made. A hub that is away is no illness. */
export function healthOf(agent: Agent): Health {
  const { conditions } = agent.status()
  const ill = conditions.find(({ type }) => type === 'Store')
  return ill === undefined
    ? { ok: true, because: 'ok' }
    : { ok: false, because: `${ill.type} ${ill.reason}: ${ill.message}` }
}

export function measuresOf(agent: Agent): readonly Measure[] {
  const gauge = (name: string, help: string, read: () => number) => ({ name: `flotilla_agent_${name}`, help, read })
  const count = (key: string): number => (agent.status().counts as Readonly<Record<string, number>>)[key] ?? 0
  return [
    gauge('inventory_objects', 'Objects this agent owns', () => agent.status().inventory),
    gauge('workloads', 'Workloads this site is told to run', () => agent.status().workloads.length),
    gauge(
      'workloads_healthy',
      'Workloads that are healthy',
      () => agent.status().workloads.filter(({ health }) => health === 'Healthy').length,
    ),
    gauge('conditions', 'Site conditions that are not fine', () => agent.status().conditions.length),
    gauge(
      'last_sync_timestamp_seconds',
      'When the hub was last reached, 0 for never',
      () => (agent.status().lastSyncMs ?? 0) / 1000,
    ),
    gauge(
      'generation_counter',
      'Counter of the generation this site acts on',
      () => agent.status().generation?.counter ?? 0,
    ),
    ...Object.keys(agent.status().counts).map((key) => gauge(snake(key), `${key} since the start`, () => count(key))),
    ...(['lists', 'gets', 'watches', 'events'] as const).map((key) =>
      gauge(key, `${key} of the cluster's objects since the start`, () => agent.status().requests[key]),
    ),
    ...Object.keys(agent.status().scheduling ?? {})
      .filter((key) => key !== 'trouble')
      .map((key) => gauge(`scheduler_${snake(key)}`, `${key} of the scheduler`, () => scheduled(agent, key))),
    gauge('scheduler_reads', '1 while its scheduler reads the cluster without trouble', () =>
      agent.status().scheduling?.trouble === null ? 1 : 0,
    ),
    gauge('socket', '1 while the hub can call this site, 0 while it polls', () =>
      agent.status().resting?.by === 'socket' ? 1 : 0,
    ),
    gauge('resident_bytes', 'Resident memory', () => process.memoryUsage.rss()),
  ]
}

function snake(key: string): string {
  return key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

function scheduled(agent: Agent, key: string): number {
  return (agent.status().scheduling as Readonly<Record<string, number>> | null)?.[key] ?? 0
}
