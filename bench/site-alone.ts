/** One agent over a store that is there, with a pod's credentials: what `flotilla agent` is in a cluster. `bench/site.ts` starts it. */
import { openCluster } from '../src/adapters/cluster/kube-cluster.ts'
import { startHealthServer } from '../src/adapters/http/health-server.ts'
import { startAgent, thisMachine } from '../src/process/agent.ts'
import { systemClock } from '../src/runtime/clock.ts'
import { createLogger } from '../src/runtime/pino-logger.ts'

const [data = '', host = '', port = '', folder = ''] = process.argv.slice(2)
const signal = new AbortController().signal
const { agent } = await startAgent(
  {
    data,
    join: undefined,
    cluster: await openCluster({ from: 'in-cluster', host, port: Number(port), folder }),
    clock: systemClock,
    machine: thisMachine(),
    log: createLogger('agent', 'warn'),
    options: { version: '0.1.0' },
  },
  signal,
)
const requests = (): number => {
  const { lists, gets, watches } = agent.status().requests
  return lists + gets + watches
}
const well = () => ({ ok: true, because: 'ok' })
const health = await startHealthServer('127.0.0.1:0', { live: well, ready: well }, [
  { name: 'turns', help: 'turns', read: () => agent.status().counts.turns },
  { name: 'requests', help: 'lists, gets and watches', read: requests },
  { name: 'heap', help: 'bytes in use', read: () => process.memoryUsage().heapUsed },
])
process.stdout.write(`{"port":${health.port}}\n`)
