/**
 * `confirm: uplink` where the link is a real one: the agent is a process in a network namespace of its own, with one wire to its API
 * server and another to the hub. What is applied says whether the second one is up, as a router's configuration would. The tests
 * are one story, in order.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import fs from 'node:fs'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readCredentials } from '../../src/adapters/cluster/credentials.ts'
import { clusterOver } from '../../src/adapters/cluster/kube-cluster.ts'
import type { RolloutView, SiteView, StatusView } from '../../src/core/api/types.ts'
import type { Cluster } from '../../src/core/kube/cluster.ts'
import { isObject } from '../../src/core/model/json.ts'
import { type GitServer, startGitServer } from '../git/http-server.ts'
import { type ControlPlane, startControlPlane } from '../kube/control-plane.ts'
import { buildCli, eventually, FleetRepo, freePort, type HubUnderTest, ROOT, startHub } from './fleet.ts'

/** T: an answer of the hub counts from a tenth of it on, and until then the wire must be down. */
const CONFIRM_MS = 12_000
const API = 'apiVersion: flotilla.dev/v1alpha1'
/** A /30 each of what RFC 2544 keeps for tests. */
const SUBNET = process.pid % 256
const UPLINK = {
  hub: `198.18.${SUBNET}.1`,
  site: `198.18.${SUBNET}.2`,
  out: `fu${process.pid}`,
  in: `fv${process.pid}`,
}
const LOCAL = { hub: `198.19.${SUBNET}.1`, site: `198.19.${SUBNET}.2`, out: `fk${process.pid}`, in: `fl${process.pid}` }
const SPACE = `flotilla-${process.pid}`

let dir: string
let plane: ControlPlane
let git: GitServer
let repo: FleetRepo
let hub: HubUnderTest
let cluster: Cluster
let relay: net.Server
let agent: ChildProcess | undefined
let line = ''
let outage = false
let route = ''
/** What the wire did, for whoever reads a failure. */
const wire: string[] = []
const stop = new AbortController()

const ip = (...args: string[]): string =>
  execFileSync('ip', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })

function connect({ hub: outside, site, out, in: inside }: typeof UPLINK): void {
  ip('link', 'add', out, 'type', 'veth', 'peer', 'name', inside, 'netns', SPACE)
  ip('addr', 'add', `${outside}/30`, 'dev', out)
  ip('link', 'set', out, 'up')
  ip('-n', SPACE, 'addr', 'add', `${site}/30`, 'dev', inside)
  ip('-n', SPACE, 'link', 'set', inside, 'up')
}

/** The rig is the router: it does what the applied configuration says, unless the road is dug up. */
function obey(): void {
  const up = route !== 'none' && !outage
  ip('-n', SPACE, 'link', 'set', UPLINK.in, up ? 'up' : 'down')
  wire.push(`${new Date().toISOString().slice(11, 23)} ${up ? 'up' : 'down'} for ${route}${outage ? ', outage' : ''}`)
}

async function followRoute(): Promise<void> {
  const kind = { apiVersion: 'v1', kind: 'ConfigMap', namespace: 'net' }
  while (!stop.signal.aborted) {
    try {
      const { items, resourceVersion } = await cluster.list(kind, stop.signal)
      for (const item of items) saw(item['data'])
      for await (const event of cluster.watch(kind, resourceVersion, stop.signal))
        if (event.type !== 'bookmark') saw(event.object['data'])
    } catch (error) {
      if (!stop.signal.aborted) wire.push(`watch: ${String(error)}`)
    }
  }
}

function saw(data: unknown): void {
  if (!isObject(data) || typeof data['route'] !== 'string' || data['route'] === route) return
  route = data['route']
  obey()
}

function startAgentProcess(...extra: string[]): void {
  const log = fs.openSync(path.join(dir, 'agent.log'), 'a')
  const args = ['agent', '--data', path.join(dir, 'agent'), '--kubeconfig', path.join(dir, 'site.kubeconfig')]
  agent = spawn(
    'ip',
    ['netns', 'exec', SPACE, process.execPath, path.join(ROOT, 'dist/flotilla.js'), ...args, ...extra,
      '--poll-ms', '500', '--confirm-ms', String(CONFIRM_MS)], // prettier-ignore
    { cwd: dir, stdio: ['ignore', log, log] },
  )
  fs.closeSync(log)
}

async function killAgent(): Promise<void> {
  const child = agent
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGKILL')
  await ended
}

const config = (to: string): string =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: router }\ndata: { route: "${to}" }\n`
const site = (): Promise<SiteView> => hub.get('/v1/sites/s1')
const entry = async () => (await site()).workloads.find(({ workload }) => workload === 'net')
const taken = (revision: string) =>
  eventually('the hub takes it', async () => (await hub.get<StatusView>('/v1/status')).source.revision === revision)
const applied = (to: string, ms: number) =>
  eventually(
    `the site has the route ${to}`,
    async () => {
      if (route === to) return true
      const log = fs.readFileSync(path.join(dir, 'agent.log'), 'utf8').slice(-1_000)
      throw new Error([`it has ${route}`, ...wire, JSON.stringify(await site()), log].join('\n'))
    },
    ms,
  )

beforeAll(async () => {
  // No namespaces, no test: that is a failure and not a reason to leave it out.
  ip('netns', 'add', SPACE)
  ip('-n', SPACE, 'link', 'set', 'lo', 'up')
  connect(UPLINK)
  connect(LOCAL)
  buildCli()
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'flotilla-uplink-'))
  plane = await startControlPlane()
  const kubeconfig = fs.readFileSync(plane.kubeconfig, 'utf8')
  const [, apiPort = ''] = /https:\/\/127\.0\.0\.1:(\d+)/.exec(kubeconfig) ?? []
  relay = net.createServer((socket) => {
    const there = net.connect(Number(apiPort), '127.0.0.1')
    socket.on('error', () => there.destroy())
    there.on('error', () => socket.destroy())
    socket.pipe(there).pipe(socket)
  })
  const port = await freePort()
  await new Promise<void>((resolve) => relay.listen(port, LOCAL.hub, resolve))
  const server = `https://${LOCAL.hub}:${port}", tls-server-name: "localhost`
  fs.writeFileSync(path.join(dir, 'site.kubeconfig'), kubeconfig.replace(`https://127.0.0.1:${apiPort}`, server))
  cluster = clusterOver(await readCredentials({ from: 'kubeconfig', path: plane.kubeconfig }))
  void followRoute()
  repo = new FleetRepo(dir)
  repo.write('flotilla.yaml', `${API}\nkind: Fleet\nmetadata: { name: shops }\nspec:\n  layers: [country]\n`)
  repo.write(
    'policy.yaml',
    `${API}\nkind: RolloutPolicy\nmetadata: { name: waves }\nspec:\n  waves: [{ name: all, maxConcurrent: 100%, soak: 1s }]\n  maxUnavailable: 100%\n`,
  )
  repo.write(
    'sites/s1.yaml',
    `${API}\nkind: Site\nmetadata: { name: s1, labels: { open: "yes" } }\nspec: { location: { timeZone: Europe/Copenhagen } }\n`,
  )
  repo.write(
    'apps/net/workload.yaml',
    `${API}\nkind: Workload\nmetadata: { name: net }\nspec:\n  source: { path: ./base }\n  namespace: net\n  targets: [{ selector: { matchLabels: { open: "yes" } } }]\n  rollout: waves\n  confirm: uplink\n`,
  )
  repo.write('apps/net/base/router.yaml', config('first'))
  const first = repo.push('A route')
  git = await startGitServer(dir)
  const link = `${UPLINK.hub}:${await freePort()}`
  hub = await startHub(dir, `${git.url}/fleet.git`, ['--sync-ms', '1000', '--listen', link, '--advertise', link])
  await taken(first)
  const given = hub.cli('token', 'create', '--site', 's1', '-o', 'json')
  line = (JSON.parse(given.out) as { line: string }).line
  startAgentProcess('--join', line)
  await applied('first', 60_000)
  // What completed here is what a later change may go back to.
  await eventually('the first route is complete', async () => {
    const { phase } = await hub.get<RolloutView>('/v1/rollouts/net')
    return phase === 'Completed'
  })
}, 300_000)

afterAll(async () => {
  stop.abort()
  await killAgent()
  await hub?.program.stop('SIGKILL')
  await git?.[Symbol.asyncDispose]()
  relay?.close()
  await cluster?.close()
  await plane?.stop()
  ip('netns', 'del', SPACE)
  if (dir !== undefined) fs.rmSync(dir, { recursive: true, force: true, maxRetries: 5 })
})

test('a route that cuts the site off is taken back by the site, told with its reason, and tried once more', async () => {
  repo.write('apps/net/base/router.yaml', config('none'))
  await taken(repo.push('A route that leads nowhere'))
  await applied('none', 30_000)
  // Killed in the middle: what it had begun is on its disk.
  await killAgent()
  startAgentProcess()
  await applied('first', CONFIRM_MS + 30_000)
  const told = await eventually('the hub hears of it', async () => {
    const found = await entry()
    return found?.waiting?.detail?.startsWith('RevertedUnconfirmed: the hub was not heard for 12 s') === true && found
  })
  expect(told.failure ?? null).toBeNull()
  await applied('none', CONFIRM_MS + 30_000)
  await applied('first', CONFIRM_MS + 30_000)
})

test('an ordinary outage after a good route reverts nothing, over a restart too', async () => {
  repo.write('apps/net/base/router.yaml', config('second'))
  await taken(repo.push('A good route'))
  // The connection that was open when the wire was cut is given up first.
  await applied('second', 90_000)
  const good = await eventually('the hub hears that it is well', async () => {
    const found = await entry()
    return found?.sync === 'Synced' && found.health === 'Healthy' && found
  })
  // An answer counts a while after the change, so that what it set off had its time.
  const sinceMs = (await site()).lastContactMs ?? Infinity
  await eventually('the site is heard some more', async () => ((await site()).lastContactMs ?? 0) > sinceMs + 3_000)
  outage = true
  obey()
  await killAgent()
  startAgentProcess()
  const endMs = Date.now() + 1.5 * CONFIRM_MS
  await eventually('the outage is longer than T', () => Date.now() > endMs, 2 * CONFIRM_MS)
  expect(route).toBe('second')
  outage = false
  obey()
  await eventually('the hub hears the site', async () => {
    const found = await entry()
    return found?.sync === 'Synced' && found.applied === good.applied && (await site()).link === 'Online'
  })
  expect(route).toBe('second')
})
