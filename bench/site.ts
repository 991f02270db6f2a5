/**
 * What a site costs on a real kube-apiserver: 1,000 workloads of four objects from empty, beside kubectl and a bare client that
 * sends the same patches, each on a control plane of its own. `npm run bench -- site [--workloads N] [--flux] [--no-peers]`.
 */
import { execFile, spawn } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { Pool } from 'undici'
import { readCredentials } from '../src/adapters/cluster/credentials.ts'
import { openAgentStore } from '../src/adapters/store/agent-store.ts'
import { MEMORY_ENV, NODE_FLAGS } from '../src/cli/agent/manifests.ts'
import { marksOf, withMarks } from '../src/core/diff/marks.ts'
import type { JsonObject } from '../src/core/model/json.ts'
import type { Manifest } from '../src/core/model/object.ts'
import { counted, liveSite, type LiveSite } from '../test/e2e/site-rig.ts'
import { startControlPlane, type ControlPlane } from '../test/kube/control-plane.ts'
import { SIGNAL, type Told } from '../test/unit/agent/site.ts'
import type { Row } from './row.ts'

const run_ = promisify(execFile)
const CONNECTIONS = 16
const NAMESPACE = 'apps'
const IDLE_MS = 10_000
/** The agent's own default: the process that is measured alone must know the objects again. */
const SET = { namespace: 'flotilla-system', name: 'flotilla' }

export async function run(args: readonly string[]): Promise<Row[]> {
  const at = args.indexOf('--workloads')
  const workloads = at < 0 ? 1_000 : Number(args[at + 1])
  const objects = workloads * 4
  const apps = Array.from({ length: workloads }, (_, i) => app(i, 1))
  const beside = async (what: string, measure: (plane: ControlPlane) => Promise<number>): Promise<Row[]> =>
    args.includes('--no-peers') ? [] : [{ ...ms(`the same, beside ${what}`, 0), peer: await onFresh(measure) }]
  const bareRow = await beside('a bare client, 16 connections', (plane) => bare(plane, apps.flat()))
  const kubectlRow = await beside('kubectl apply --server-side', (plane) => kubectl(plane, apps.flat()))
  const [applied, ...rest] = await onFresh((plane) => ours(plane, apps))
  const flux = args.includes('--flux') ? await onFresh((plane) => fluxOf(plane, workloads)) : []
  const tookMs = applied?.value ?? NaN
  const compared = [...bareRow, ...kubectlRow, ...flux].map((row) => ({
    ...row,
    value: tookMs,
    ratio: tookMs / (row.peer ?? NaN),
  }))
  const [bareMs] = bareRow
  return [
    { ...ms(applied?.case ?? '', tookMs), ...(bareMs?.peer === undefined ? {} : { goal: bareMs.peer * 1.5 }) },
    ...compared,
    { case: 'objects applied a second', value: (objects / tookMs) * 1_000, unit: '1/s', better: 'min' },
    ...rest,
  ]
}

const ms = (text: string, value: number): Row => ({ case: text, value, unit: 'ms' })

async function onFresh<T>(work: (plane: ControlPlane) => Promise<T>): Promise<T> {
  await using plane = await startControlPlane()
  await plane.kubectl('create', 'namespace', NAMESPACE)
  // Awaited here, or it would end before the work does.
  return await work(plane)
}

/** As ../shared/peers/flux-apply.mjs makes them. */
function app(i: number, version: number): readonly Manifest[] {
  const name = `app-${i}`
  const metadata = { name, namespace: NAMESPACE, labels: { app: name } }
  const container = {
    name: 'app',
    image: `registry.example/app:${i}`,
    ports: [{ containerPort: 8080 }],
    envFrom: [{ configMapRef: { name } }],
    resources: { requests: { cpu: '10m', memory: '32Mi' } },
  }
  const template = { metadata: { labels: { app: name } }, spec: { serviceAccountName: name, containers: [container] } }
  const text = `id=${i}\nmode=store\nversion=${version}\n`
  return [
    { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { 'app.properties': text } },
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata,
      spec: { selector: { app: name }, ports: [{ name: 'http', port: 80, targetPort: 8080 }] },
    },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata,
      spec: { replicas: 2, selector: { matchLabels: { app: name } }, template },
    },
  ]
}

const PLURAL: Readonly<Record<string, string>> = {
  ConfigMap: '/api/v1/namespaces/apps/configmaps',
  ServiceAccount: '/api/v1/namespaces/apps/serviceaccounts',
  Service: '/api/v1/namespaces/apps/services',
  Deployment: '/apis/apps/v1/namespaces/apps/deployments',
}

/** The same bytes that the agent sends, and nothing else: what the API server allows. */
async function bare(plane: ControlPlane, objects: readonly Manifest[]): Promise<number> {
  const credentials = await readCredentials({ from: 'kubeconfig', path: plane.kubeconfig })
  const { tls } = await credentials.identity()
  const pool = new Pool(credentials.server.origin, { connections: CONNECTIONS, connect: tls, pipelining: 1 })
  const bodies = objects.map((object) => {
    const url = `${PLURAL[object.kind]}/${object.metadata.name}?fieldManager=flotilla&force=false`
    return { url, body: JSON.stringify(withMarks(object, object.metadata.name, marksOf(SET))) }
  })
  const headers = { 'content-type': 'application/apply-patch+yaml', accept: 'application/json' }
  const startMs = performance.now()
  let next = 0
  const worker = async (): Promise<void> => {
    for (let it = bodies[next++]; it !== undefined; it = bodies[next++]) {
      const answer = await pool.request({ method: 'PATCH', path: it.url, headers, body: it.body })
      await answer.body.json()
      if (answer.statusCode >= 300) throw new Error(`${it.url}: ${answer.statusCode}`)
    }
  }
  await Promise.all(Array.from({ length: CONNECTIONS }, worker))
  const tookMs = performance.now() - startMs
  await pool.close()
  return tookMs
}

async function kubectl(plane: ControlPlane, objects: readonly Manifest[]): Promise<number> {
  const file = path.join(plane.dir, 'all.json')
  fs.writeFileSync(file, JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }))
  const startMs = performance.now()
  await plane.kubectl('apply', '--server-side', '-f', file)
  return performance.now() - startMs
}

async function ours(plane: ControlPlane, apps: readonly (readonly Manifest[])[]): Promise<Row[]> {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'flotilla-bench-'))
  try {
    return await measured(plane, dir, apps)
  } finally {
    fs.rmSync(dir, { recursive: true, force: true })
  }
}

async function measured(plane: ControlPlane, dir: string, apps: readonly (readonly Manifest[])[]): Promise<Row[]> {
  const store = openAgentStore(path.join(dir, 'store'))
  const site = await liveSite(plane.kubeconfig, { set: SET.name, store, agent: { resyncMs: 6 * 3_600_000 } })
  const told = (changed: number): Readonly<Record<string, Told>> =>
    Object.fromEntries(apps.map((_, i) => [`app-${i}`, { objects: app(i, i === changed ? 2 : 1) }]))
  const objects = apps.length * 4
  const stagedMs = await timed(() => site.publish(told(-1)))
  const appliedMs = await timed(() => untilApplied(site, objects))
  const { failures } = site.agent.status().counts
  await settled(site)
  await played(site, apps.length)
  await settled(site)
  const from = site.requests.length
  const turnMs = await timed(() => site.agent.turn(SIGNAL))
  const { writes, reads } = counted(site.requests.slice(from))
  site.hub.publish(told(apps.length >> 1), { issued: new Date(0).toISOString() })
  const changedMs = await timed(async () => {
    await site.agent.exchange(SIGNAL)
    await site.agent.turn(SIGNAL)
  })
  const stop = site.run()
  const driftMs = await drifted(plane, site)
  await stop()
  await site[Symbol.asyncDispose]()
  store.close()
  const idle = await alone(plane, dir)
  return [
    ms(`${apps.length} workloads, ${objects} objects, from empty to all applied`, appliedMs),
    { case: 'writes that failed meanwhile', value: failures, unit: 'requests', goal: 0 },
    { ...ms('staging their releases and objects in the store', stagedMs), note: 'on the disk, blobs from memory' },
    { case: 'second turn: writes', value: writes, unit: 'requests', goal: 0 },
    { case: 'second turn: reads beyond open watches', value: reads, unit: 'requests', goal: 0 },
    ms('second turn', turnMs),
    { ...ms('one object changed in Git, from the hub to applied', changedMs), goal: 500 },
    { ...ms('one object changed in the cluster, until it is corrected', driftMs), goal: 500 },
    { case: 'restart: to the first turn that changes nothing', value: idle.readyMs, unit: 'ms' },
    { case: 'restart: requests', value: idle.requests, unit: 'requests', note: 'lists and watches' },
    { case: 'resident memory, idle', value: idle.rssMiB, unit: 'MiB', goal: 80, note: idle.made },
  ]
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now()
  await work()
  return performance.now() - startMs
}

async function untilApplied({ agent }: LiveSite, objects: number): Promise<void> {
  for (let i = 0; i < 20; i++) {
    const { nextMs } = await agent.turn(SIGNAL)
    const { workloads, inventory } = agent.status()
    if (inventory >= objects && workloads.every((it) => it.applied?.digest === it.desired?.digest)) return
    await sleep(Math.min(nextMs, 500))
  }
  const { conditions, workloads, counts } = agent.status()
  throw new Error(`not applied after 20 turns: ${JSON.stringify({ conditions, counts, first: workloads[0] })}`)
}

/** What controllers would say: nothing runs them here, and what is not healthy is looked into. */
async function played({ cluster }: LiveSite, workloads: number): Promise<void> {
  const replicas = { replicas: 2, updatedReplicas: 2, readyReplicas: 2, availableReplicas: 2 }
  const condition = (type: string, reason: string): JsonObject => ({ type, status: 'True', reason, message: '' })
  const conditions = [
    condition('Available', 'MinimumReplicasAvailable'),
    condition('Progressing', 'NewReplicaSetAvailable'),
  ]
  const status = { observedGeneration: 1, ...replicas, conditions }
  const name = { apiVersion: 'apps/v1', kind: 'Deployment' }
  let next = 0
  const worker = async (): Promise<void> => {
    for (let i = next++; i < workloads; i = next++) {
      const ref = { group: 'apps', kind: 'Deployment', namespace: NAMESPACE, name: `app-${i}` }
      await cluster.subresource(name, ref, 'status', { status }, SIGNAL)
    }
  }
  await Promise.all(Array.from({ length: CONNECTIONS }, worker))
}

/** Until the watches have told of everything that was written. */
async function settled({ agent }: LiveSite): Promise<void> {
  for (let before = -1; before !== agent.status().requests.events; await sleep(500))
    before = agent.status().requests.events
  await agent.turn(SIGNAL)
}

async function drifted(plane: ControlPlane, site: LiveSite): Promise<number> {
  const [object] = app(7, 1)
  const config = object as Manifest
  await sleep(1_000)
  const edit = { 'app.properties': 'edited' }
  const ref = { group: '', kind: 'ConfigMap', namespace: NAMESPACE, name: config.metadata.name }
  await site.cluster.patch(config, ref, { data: edit }, { fieldManager: 'kubectl-edit' }, SIGNAL)
  return timed(async () => {
    for (;;) {
      const live = await site.live(config)
      if ((live?.['data'] as typeof edit | undefined)?.['app.properties'] !== 'edited') return
      await sleep(5)
    }
  })
}

interface Alone {
  readonly readyMs: number
  readonly requests: number
  readonly rssMiB: number
  readonly made: string
}

/** The same store in a process that holds nothing but an agent, bundled as it is shipped, with a pod's credentials. */
async function alone(plane: ControlPlane, dir: string): Promise<Alone> {
  const { rolldown } = await import('rolldown')
  const input = { alone: path.join(import.meta.dirname, 'site-alone.ts') }
  const bundle = await rolldown({ input, platform: 'node', external: [/^node:/] })
  await bundle.write({ dir: path.join(dir, 'dist'), format: 'esm' })
  await plane.kubectl('create', 'serviceaccount', 'bench')
  await plane.kubectl(
    'create',
    'clusterrolebinding',
    'bench',
    '--clusterrole=cluster-admin',
    '--serviceaccount=default:bench',
  )
  fs.writeFileSync(path.join(dir, 'token'), await plane.kubectl('create', 'token', 'bench'))
  fs.copyFileSync(path.join(plane.dir, 'pki/ca.crt'), path.join(dir, 'ca.crt'))
  const { server } = await readCredentials({ from: 'kubeconfig', path: plane.kubeconfig })
  const argv = [path.join(dir, 'dist/alone.js'), path.join(dir, 'store'), server.hostname, server.port, dir]
  const env = { ...process.env, NODE_OPTIONS: NODE_FLAGS, ...MEMORY_ENV }
  const child = spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'inherit'], env })
  try {
    const startMs = performance.now()
    const port = await portOf(child)
    const measure = async (name: string): Promise<number> => {
      const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
      return Number(new RegExp(`^${name} (\\S+)`, 'm').exec(text)?.[1] ?? NaN)
    }
    while ((await measure('turns')) < 1) await sleep(20)
    const readyMs = performance.now() - startMs
    await sleep(IDLE_MS)
    const status = fs.readFileSync(`/proc/${child.pid}/status`, 'utf8')
    const mib = (name: string): number =>
      Math.round(Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0) / 1024)
    const heap = Math.round((await measure('heap')) / 1024 / 1024)
    const made = `anonymous ${mib('RssAnon')}, of it heap in use ${heap}; the program's own pages ${mib('RssFile')}`
    return { readyMs, requests: await measure('requests'), rssMiB: mib('VmRSS'), made }
  } finally {
    child.kill('SIGKILL')
  }
}

async function portOf(child: ReturnType<typeof spawn>): Promise<number> {
  let text = ''
  for await (const chunk of child.stdout ?? []) {
    text += String(chunk)
    const found = /"port":(\d+)/.exec(text)
    if (found !== null) {
      child.stdout?.resume()
      return Number(found[1])
    }
  }
  throw new Error(`the agent ended: ${text}`)
}

async function fluxOf(plane: ControlPlane, workloads: number): Promise<Row[]> {
  const script = path.resolve(import.meta.dirname, '../../shared/peers/flux-apply.mjs')
  const { stdout, stderr } = await run_('node', [script, plane.dir, String(workloads)], { maxBuffer: 64 * 1024 * 1024 })
  const { applyS, secondPassRequests } = JSON.parse(stdout.trim().split('\n').at(-1) ?? '{}') as Record<string, number>
  // It is given its own limit of time: where it was not done by then, its time is at least that.
  const short = /only (\d+) ready/.exec(stderr)?.[1]
  const note = `${short === undefined ? '' : `gave up with ${short} of ${workloads} ready; `}its second pass sends ${secondPassRequests} requests`
  return [{ ...ms('the same, beside Flux kustomize-controller', 0), peer: (applyS ?? NaN) * 1_000, note }]
}
