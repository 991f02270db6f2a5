/** The scheduler of a site on a real control plane: what the suites about it share. */
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Credentials } from '../../src/adapters/cluster/credentials.ts'
import { clusterOver, openCluster } from '../../src/adapters/cluster/kube-cluster.ts'
import { createSchedulingRoom } from '../../src/agent/scheduling/room.ts'
import type { SchedulingOptions, SchedulingPorts, SchedulingRoom } from '../../src/agent/scheduling/ports.ts'
import type { JsonObject } from '../../src/core/model/json.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import type { Logger } from '../../src/runtime/logger.ts'
import type { ControlPlane } from '../kube/control-plane.ts'

const run = promisify(execFile)

export interface RunningRoom extends AsyncDisposable {
  readonly room: SchedulingRoom
  /** What it logged, newest last, for the message of a test that fails. */
  readonly said: string[]
  stop(): Promise<void>
}

/** Starts it, on the plane or on what stands before it. */
export async function startRoom(
  plane: ControlPlane,
  options: Partial<SchedulingOptions> = {},
  more: Partial<Pick<SchedulingPorts, 'mayWrite' | 'batch'>> & { readonly through?: Credentials } = {},
): Promise<RunningRoom> {
  const { through, ...ports } = more
  const cluster =
    through === undefined
      ? await openCluster({ from: 'kubeconfig', path: plane.kubeconfig }, { connections: 32 })
      : clusterOver(through, { connections: 32, timeoutMs: 5_000 })
  const said: string[] = []
  const log = loggerInto(said)
  const room = createSchedulingRoom(
    { cluster, clock: systemClock, log, random: Math.random, mayWrite: () => true, ...ports },
    { seed: 'test', ...options },
  )
  const end = new AbortController()
  const running = room.run(end.signal)
  const stop = async (): Promise<void> => {
    end.abort()
    await running
    await cluster.close()
  }
  return { room, said, stop, [Symbol.asyncDispose]: stop }
}

function loggerInto(said: string[]): Logger {
  const at =
    (level: string): Logger['info'] =>
    (facts, message) =>
      void said.push(`${level} ${message} ${JSON.stringify(facts)}`)
  const log: Logger = {
    debug: () => undefined,
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: () => log,
  }
  return log
}

/** Creates or replaces all of them in one call. */
export async function put(plane: ControlPlane, ...objects: readonly JsonObject[]): Promise<void> {
  const file = join(plane.dir, `objects-${process.hrtime.bigint()}.json`)
  await writeFile(file, JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }))
  await run(plane.kubectlPath, ['--kubeconfig', plane.kubeconfig, 'apply', '--server-side', '-f', file], {
    maxBuffer: 64 * 1024 * 1024,
  })
}

export async function read(plane: ControlPlane, ...args: readonly string[]): Promise<any> {
  return JSON.parse(await plane.kubectl('get', ...args, '-o', 'json'))
}

/** A pod of ours, or with `schedulerName` of another's. */
export function pod(name: string, cpu: string, spec: JsonObject = {}, metadata: JsonObject = {}): JsonObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default', ...metadata },
    spec: {
      schedulerName: 'flotilla',
      terminationGracePeriodSeconds: 1,
      containers: [{ name: 'c', image: 'none', resources: { requests: { cpu } } }],
      ...spec,
    },
  }
}
