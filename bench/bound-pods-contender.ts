/**
 * What `bound-pods` starts against a control plane, as a process of its own: `flotilla DIR AS`, the scheduler of a site with nothing
 * around it; `thoughtless DIR AS`, a client that binds round-robin and writes the same event, which is what the API server allows.
 * AS: `account`, with the files that a pod of the installed agent has, or `certificate`, with the admin's.
 */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { openCluster } from '../src/adapters/cluster/kube-cluster.ts'
import { createSchedulingRoom } from '../src/agent/scheduling/room.ts'
import type { Manifest } from '../src/core/model/object.ts'
import { systemClock } from '../src/runtime/clock.ts'
import { createLogger } from '../src/runtime/pino-logger.ts'

const [who, dir = '', as = 'account'] = process.argv.slice(2)
const never = new AbortController().signal
const CONNECTIONS = 64
if (who === 'flotilla') await flotilla()
else if (who === 'thoughtless') await thoughtless()

async function open(): ReturnType<typeof openCluster> {
  const kubeconfig = path.join(dir, 'admin.kubeconfig')
  if (as === 'certificate') return openCluster({ from: 'kubeconfig', path: kubeconfig }, { connections: CONNECTIONS })
  const server = new URL(/server: "([^"]+)"/.exec(readFileSync(kubeconfig, 'utf8'))?.[1] ?? '')
  const folder = path.join(dir, 'account')
  return openCluster(
    { from: 'in-cluster', host: server.hostname, port: Number(server.port), folder },
    { connections: CONNECTIONS },
  )
}

async function flotilla(): Promise<void> {
  const log = createLogger('bench', 'warn')
  const room = createSchedulingRoom(
    { cluster: await open(), clock: systemClock, log, random: Math.random, mayWrite: () => true },
    { seed: 'bench' },
  )
  await room.run(never)
}

async function thoughtless(): Promise<void> {
  const cluster = await open()
  const { items: nodes } = await cluster.list({ apiVersion: 'v1', kind: 'Node', metadataOnly: true }, never)
  const query = { apiVersion: 'v1', kind: 'Pod', fieldSelector: 'spec.nodeName=', metadataOnly: true }
  const { items: pods } = await cluster.list(query, never)
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < pods.length) {
      const at = next++
      const { namespace = '', name, uid = '' } = (pods[at] as Manifest).metadata
      const node = (nodes[at % nodes.length] as Manifest).metadata.name
      const ref = { group: '', kind: 'Pod', namespace, name }
      const target = { apiVersion: 'v1', kind: 'Node', name: node }
      await cluster.subresource({ apiVersion: 'v1', kind: 'Pod' }, ref, 'binding', { target }, never)
      const event = {
        apiVersion: 'v1',
        kind: 'Event',
        metadata: { name: `${name}.${randomBytes(6).toString('hex')}`, namespace },
        involvedObject: { apiVersion: 'v1', kind: 'Pod', namespace, name, uid },
        type: 'Normal',
        reason: 'Scheduled',
        message: `Successfully assigned ${namespace}/${name} to ${node}`,
        source: { component: 'thoughtless' },
        reportingComponent: 'thoughtless',
      }
      await cluster.create(event, {}, never)
    }
  }
  await Promise.all(Array.from({ length: CONNECTIONS }, worker))
  // Whoever started it reads its figures from the live process.
  await systemClock.sleep(2 ** 31 - 1, never)
}
