/**
 * Which nodes a real kube-scheduler would let each pod have. It runs with an extender, which is asked after its own filters with the
 * nodes that are left; the extender notes them and lets none through, so no pod is ever bound and all see the same cluster.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { openSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import type { ControlPlane } from './control-plane.ts'

export interface Feasible extends AsyncDisposable {
  /** By UID of a pod whose `schedulerName` is `asked`; a pod that never came here has none. */
  readonly nodes: ReadonlyMap<string, readonly string[]>
}

export async function startFeasible(plane: ControlPlane): Promise<Feasible> {
  const nodes = new Map<string, readonly string[]>()
  const server = createServer((request, response) => {
    let text = ''
    request.on('data', (chunk: Buffer) => (text += chunk.toString()))
    request.on('end', () => {
      const args = JSON.parse(text) as { Pod: { metadata: { uid: string } }; NodeNames: string[] | null }
      nodes.set(args.Pod.metadata.uid, args.NodeNames ?? [])
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify({ NodeNames: [], FailedNodes: {}, Error: '' }))
    })
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const config = {
    apiVersion: 'kubescheduler.config.k8s.io/v1',
    kind: 'KubeSchedulerConfiguration',
    leaderElection: { leaderElect: false },
    clientConnection: { kubeconfig: join(plane.dir, 'scheduler.kubeconfig'), qps: 5000, burst: 5000 },
    profiles: [{ schedulerName: 'asked' }],
    extenders: [
      {
        urlPrefix: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
        filterVerb: 'filter',
        nodeCacheCapable: true,
        enableHTTPS: false,
      },
    ],
  }
  const file = join(plane.dir, 'feasible.json')
  await writeFile(file, JSON.stringify(config))
  const log = openSync(join(plane.dir, 'log', 'feasible.log'), 'w')
  const child: ChildProcess = spawn(
    join(dirname(plane.kubectlPath), 'kube-scheduler'),
    ['--config', file, '--secure-port', '0'],
    { stdio: ['ignore', log, log] },
  )
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => resolve())
  })
  return {
    nodes,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await ended
      server.closeAllConnections()
      await new Promise((resolve) => {
        server.close(resolve)
      })
    },
  }
}
