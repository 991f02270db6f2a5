/**
 * Pods bound through a real API server, by the peers' own script: all pods are there first, then the scheduler starts. Ours,
 * kube-scheduler, and a client that does not think, each on a control plane of its own, one after the other. Each as it is installed:
 * ours one bundled file with the token of the account of `agent manifests`, kube-scheduler with the certificate that kubeadm gives it.
 * An API server checks a certificate anew at every request, so ours is run with one too.
 *   npm run bench -- bound-pods [--nodes=5000] [--pods=10000]
 */
import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { rolldown } from 'rolldown'
import { openCluster } from '../src/adapters/cluster/kube-cluster.ts'
import { AGENT_NAME, AGENT_NAMESPACE, agentManifests } from '../src/cli/agent/manifests.ts'
import { startControlPlane, type ControlPlane } from '../test/kube/control-plane.ts'
import type { Row } from './row.ts'

const run_ = promisify(execFile)
const SCRIPT = process.env['PEERS_DIR'] ?? path.resolve(import.meta.dirname, '../../shared/peers')
const CONTENDER = path.join(import.meta.dirname, 'bound-pods-contender.ts')

interface Figures {
  readonly perS: number
  readonly cpuMs: number
  readonly peakMiB: number
  /** Share of pods whose Scheduled event was written when the last pod was bound. */
  readonly events: number
  readonly serverCpuMs: number
}

export async function run(args: readonly string[]): Promise<readonly Row[]> {
  const number = (flag: string, fallback: number): number =>
    Number(args.find((arg) => arg.startsWith(`--${flag}=`))?.split('=')[1] ?? fallback)
  const nodes = number('nodes', 5_000)
  const pods = number('pods', 10_000)
  const kube = await race(nodes, pods, 'default-scheduler', (plane) => [
    path.join(path.dirname(plane.kubectlPath), 'kube-scheduler'),
    '--kubeconfig', path.join(plane.dir, 'scheduler.kubeconfig'), '--leader-elect=false', '--secure-port', '0',
    '--kube-api-qps', '5000', '--kube-api-burst', '5000',
  ]) // prettier-ignore
  const own = (who: string, as: string) => async (plane: ControlPlane) => [process.execPath, await contender(plane), who, plane.dir, as] // prettier-ignore
  const ours = await race(nodes, pods, 'flotilla', own('flotilla', 'account'))
  const certified = await race(nodes, pods, 'flotilla', own('flotilla', 'certificate'))
  const ceiling = await race(nodes, pods, 'nobody', own('thoughtless', 'account'))
  const shape = `${nodes} nodes, ${pods} pods`
  const percent = (share: number): string => `${Math.round(share * 100)} %`
  return [
    {
      case: `bound pods, ${shape}, against kube-scheduler`,
      value: ours.perS,
      unit: 'pods/s',
      goal: 2 * kube.perS,
      better: 'min',
      peer: kube.perS,
      ratio: ours.perS / kube.perS,
      note: `events written by the last bind: ours ${percent(ours.events)}, kube-scheduler ${percent(kube.events)}; the API server limits: ${ours.serverCpuMs.toFixed(1)} ms of its and etcd's CPU a pod under ours, ${kube.serverCpuMs.toFixed(1)} ms under kube-scheduler`,
    },
    {
      case: 'the same, ours with a certificate as kube-scheduler has one',
      value: certified.perS,
      unit: 'pods/s',
      better: 'min',
      peer: kube.perS,
      ratio: certified.perS / kube.perS,
      note: `${certified.serverCpuMs.toFixed(1)} ms of the API server's and etcd's CPU a pod`,
    },
    {
      case: 'the same, against a client that does not think',
      value: ours.perS,
      unit: 'pods/s',
      goal: 0.75 * ceiling.perS,
      better: 'min',
      peer: ceiling.perS,
      ratio: ours.perS / ceiling.perS,
      note: `one bind and one event a pod; its events ${percent(ceiling.events)}`,
    },
    {
      case: 'CPU of the scheduler a pod',
      value: ours.cpuMs,
      unit: 'ms',
      goal: kube.cpuMs / 3,
      peer: kube.cpuMs,
      ratio: ours.cpuMs / kube.cpuMs,
      note: `starting and reading all nodes and pods included; the thoughtless client: ${ceiling.cpuMs.toFixed(2)} ms`,
    },
    {
      case: 'memory of the scheduler, peak',
      value: ours.peakMiB,
      unit: 'MiB',
      peer: kube.peakMiB,
      ratio: ours.peakMiB / kube.peakMiB,
      note: `the thoughtless client: ${Math.round(ceiling.peakMiB)} MiB`,
    },
  ]
}

async function race(
  nodes: number,
  pods: number,
  schedulerName: string,
  start: (plane: ControlPlane) => readonly string[] | Promise<readonly string[]>,
): Promise<Figures> {
  await using plane = await startControlPlane()
  // The script starts one command and tells nobody its process: the command notes it, and is then replaced.
  const pid = path.join(plane.dir, 'contender.pid')
  const wrapper = path.join(plane.dir, 'contender.sh')
  await writeFile(wrapper, `#!/bin/sh\necho $$ > ${pid}\nexec "$@"\n`, { mode: 0o755 })
  let peakMiB = 0
  let serverStart: number | null = null
  const look = setInterval(() => {
    if (!existsSync(pid)) return
    serverStart ??= serverCpuMs(plane)
    peakMiB = Math.max(peakMiB, peakOf(readFileSync(pid, 'utf8').trim()))
  }, 200)
  try {
    const script = path.join(SCRIPT, 'bound-pods.mjs')
    const args = [script, plane.dir, String(nodes), String(pods), schedulerName, wrapper, ...(await start(plane))]
    const { stdout } = await run_(process.execPath, args, { maxBuffer: 1 << 24 })
    const serverMs = serverCpuMs(plane) - (serverStart ?? 0)
    const said = JSON.parse(stdout.trim().split('\n').at(-1) ?? '{}') as { boundS: number; schedulerCpuS: number }
    return {
      perS: pods / said.boundS,
      cpuMs: (said.schedulerCpuS * 1000) / pods,
      peakMiB,
      events: (await eventsOf(plane)) / pods,
      serverCpuMs: serverMs / pods,
    }
  } finally {
    clearInterval(look)
  }
}

/** The program as it is shipped: bundled, so that no time goes into reading sources; its account's files beside it. */
async function contender(plane: ControlPlane): Promise<string> {
  const bundle = await rolldown({ input: { contender: CONTENDER }, platform: 'node', external: [/^node:/] })
  await bundle.write({ dir: path.join(plane.dir, 'program'), format: 'esm', entryFileNames: '[name].mjs', chunkFileNames: 'chunks/[name]-[hash].mjs' }) // prettier-ignore
  await bundle.close()
  const manifests = agentManifests({
    namespace: AGENT_NAMESPACE,
    image: 'none',
    join: undefined,
    store: { kind: 'hostPath', path: '/none' },
    accounts: [],
    ownWrites: 'none',
  })
  const file = path.join(plane.dir, 'agent.json')
  const items = manifests.filter(({ kind }) => kind !== 'Deployment')
  await writeFile(file, JSON.stringify({ apiVersion: 'v1', kind: 'List', items }))
  await plane.kubectl('apply', '-f', file)
  const account = path.join(plane.dir, 'account')
  await mkdir(account)
  await copyFile(path.join(plane.dir, 'pki', 'ca.crt'), path.join(account, 'ca.crt'))
  await writeFile(path.join(account, 'token'), await plane.kubectl('create', 'token', AGENT_NAME, '-n', AGENT_NAMESPACE)) // prettier-ignore
  return path.join(plane.dir, 'program', 'contender.mjs')
}

async function eventsOf(plane: ControlPlane): Promise<number> {
  const cluster = await openCluster({ from: 'kubeconfig', path: plane.kubeconfig })
  try {
    const query = { apiVersion: 'v1', kind: 'Event', fieldSelector: 'reason=Scheduled', metadataOnly: true }
    return (await cluster.list(query, new AbortController().signal)).items.length
  } finally {
    await cluster.close()
  }
}

function peakOf(pid: string): number {
  try {
    return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024
  } catch {
    return 0
  }
}

function serverCpuMs(plane: ControlPlane): number {
  return ['kube-apiserver', 'etcd'].reduce((sum, name) => {
    const pid = readFileSync(path.join(plane.dir, 'run', `${name}.pid`), 'utf8').trim()
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(' ')
    return sum + (Number(fields[13]) + Number(fields[14])) * 10
  }, 0)
}
