/**
 * The program as an image, on a real kubelet: bundled, not root, its root file system read only. It enrols at a hub outside the
 * cluster, runs what it is told, and is killed. `../shared/kube` says which Debian packages a machine needs for this.
 */
import { execFile, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openPki } from '../../src/adapters/link/pki.ts'
import { startLinkServer } from '../../src/adapters/link/server.ts'
import type { LinkServer } from '../../src/adapters/link/types.ts'
import { agentManifests } from '../../src/cli/agent/manifests.ts'
import { canonicalJson, type JsonObject } from '../../src/core/model/json.ts'
import { refOf, type Manifest } from '../../src/core/model/object.ts'
import type { Release } from '../../src/core/model/release.ts'
import { kubeScripts, startControlPlane, type ControlPlane } from '../kube/control-plane.ts'
import { RULES } from '../unit/agent/site.ts'
import { HubTwin, MANIFEST } from '../unit/link/hub-twin.ts'
import { buildCli, eventually, ROOT } from './fleet.ts'

const PROGRAMS = ['containerd', 'runc', 'ctr', 'busybox', 'iptables', 'conntrack', 'ip']
const CNI = '/usr/lib/cni/bridge'
/** The bridge of `up.sh --kubelet`, as pods reach the machine. */
const GATEWAY = '10.254.0.1'
const IMAGE = 'docker.io/library/flotilla:test'
const SITE = 'box-1'

const missing = PROGRAMS.filter((name) => spawnSync('which', [name]).status !== 0)
if (!fs.existsSync(CNI)) missing.push(CNI)
if (process.getuid?.() !== 0) missing.push('root')
const why = `a kubelet cannot run here; missing: ${missing.join(', ')}. apt-get install -y containerd runc busybox-static containernetworking-plugins iptables conntrack`
const here = missing.length === 0
if (!here) console.warn(why)

let dir: string
let plane: ControlPlane
let hub: HubTwin
let server: LinkServer

beforeAll(async () => {
  if (!here) return
  buildCli()
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'flotilla-image-'))
  plane = await startControlPlane(['--kubelet'])
  await makeImage()
  hub = new HubTwin(await openPki(path.join(dir, 'pki'), Date.now()))
  hub.bend = (reply) => ({ ...reply, head: { ...reply.head, nextDueMs: 5_000 } })
  server = await startLinkServer({ pki: hub.pki, handler: hub, host: GATEWAY })
}, 20 * 60_000)

afterAll(async () => {
  await server?.close(0)
  await plane?.stop()
  if (dir !== undefined) fs.rmSync(dir, { recursive: true, force: true })
})

/** What the Dockerfile copies, and this machine's node. */
async function makeImage(tag = 'test', change: (text: string) => string = (text) => text): Promise<void> {
  const root = path.join(dir, `root-${tag}`)
  const app = path.join(root, 'app')
  fs.mkdirSync(app, { recursive: true })
  for (const part of ['package.json', 'dist', 'schemas'])
    fs.cpSync(path.join(ROOT, part), path.join(app, part), { recursive: true })
  const main = path.join(app, 'dist/flotilla.js')
  fs.writeFileSync(main, change(fs.readFileSync(main, 'utf8')))
  const script = path.join(kubeScripts(), 'image.sh')
  const parts = [`${root}/`, `${process.execPath}=/bin/node`]
  await promisify(execFile)(script, [plane.dir, `flotilla:${tag}`, ...parts, '--', 'node', '/app/dist/flotilla.js'])
}

async function apply(...manifests: readonly Manifest[]): Promise<void> {
  const file = path.join(dir, 'apply.json')
  fs.writeFileSync(file, JSON.stringify({ apiVersion: 'v1', kind: 'List', items: manifests }))
  await plane.kubectl('apply', '-f', file)
}

/** image.sh knows no entry point, and no registry is asked. */
function onThisNode(manifest: Manifest): Manifest {
  if (manifest.kind !== 'Deployment') return manifest
  const text = JSON.stringify(manifest, (_key, value: unknown) => {
    const container = value as { image?: string; command?: unknown } | null
    if (typeof container !== 'object' || container?.image === undefined) return value
    const command = container.command ?? ['node', '/app/dist/flotilla.js']
    return { ...container, command, imagePullPolicy: 'Never' }
  })
  return JSON.parse(text) as Manifest
}

function publish(counter: number, objects: readonly Manifest[]): void {
  const made: Release = {
    format: 1,
    workload: 'web',
    namespace: 'default',
    objects: objects.map((object) => ({
      ref: refOf(object),
      apiVersion: object.apiVersion,
      blob: hub.put('object', Buffer.from(canonicalJson(object))),
    })),
    dependsOn: [],
    rules: RULES,
  }
  const release = hub.put('release', Buffer.from(canonicalJson(made as unknown as JsonObject)))
  const generation = { epoch: 1, counter }
  const nowMs = Date.now()
  const at = (ms: number): string => new Date(nowMs + ms).toISOString()
  hub.nowMs = nowMs
  hub.publish({
    ...MANIFEST,
    site: SITE,
    siteId: [...hub.keys.values()][0]?.siteId ?? '',
    generation,
    issued: at(0),
    expires: at(86_400_000),
    entries: [
      {
        workload: 'web',
        since: generation,
        release,
        order: 0,
        startAfter: at(-60_000),
        startBy: at(86_400_000),
        gates: [],
      },
    ],
  })
}

const web = (word: string): readonly Manifest[] => [
  {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'page', namespace: 'default' },
    data: { 'index.html': word },
  },
  {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web', namespace: 'default' },
    spec: {
      replicas: 1,
      selector: { matchLabels: { app: 'web' } },
      template: {
        metadata: { labels: { app: 'web' }, annotations: { word } },
        spec: {
          terminationGracePeriodSeconds: 0,
          containers: [
            {
              name: 'web',
              image: 'docker.io/library/busybox:test',
              imagePullPolicy: 'Never',
              command: ['httpd', '-f', '-p', '8080', '-h', '/page'],
              readinessProbe: { httpGet: { path: '/index.html', port: 8080 }, periodSeconds: 1 },
              volumeMounts: [{ name: 'page', mountPath: '/page' }],
            },
          ],
          volumes: [{ name: 'page', configMap: { name: 'page' } }],
        },
      },
    },
  },
]

const get = (...args: string[]): Promise<string> => plane.kubectl('get', ...args)
const served = async (): Promise<string> => {
  const ip = await get('pod', '-l', 'app=web', '-o', 'jsonpath={.items[0].status.podIP}')
  return (await fetch(`http://${ip}:8080/index.html`)).text()
}

test('this machine can run a kubelet', () => {
  if (process.env['CI'] === 'true' && !here) throw new Error(why)
})

test.runIf(here)(
  'the bundle runs with nothing but itself: version, help, and a lint that reads its schemas',
  async () => {
    const container = (name: string, ...args: string[]): JsonObject => ({
      name,
      image: IMAGE,
      imagePullPolicy: 'Never',
      command: ['node', '/app/dist/flotilla.js', ...args],
      securityContext: {
        readOnlyRootFilesystem: true,
        allowPrivilegeEscalation: false,
        capabilities: { drop: ['ALL'] },
      },
      // As a file: a folder of a ConfigMap is made of symlinks, which no fleet may have.
      volumeMounts: [{ name: 'fleet', mountPath: '/fleet/flotilla.yaml', subPath: 'flotilla.yaml' }],
    })
    const fleet = [
      'apiVersion: flotilla.dev/v1alpha1\nkind: Fleet\nmetadata: { name: shops }\nspec: { layers: [country] }\n---',
      'apiVersion: flotilla.dev/v1alpha1\nkind: Site\nmetadata: { name: a, labels: { country: dk } }\nspec: {}\n',
    ].join('\n')
    await apply(
      {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'fleet', namespace: 'default' },
        data: { 'flotilla.yaml': fleet },
      },
      {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'once', namespace: 'default' },
        spec: {
          restartPolicy: 'Never',
          securityContext: { runAsNonRoot: true, runAsUser: 65_532 },
          initContainers: [container('version', 'version'), container('help', '--help')],
          containers: [container('lint', 'lint', '/fleet')],
          volumes: [
            { name: 'fleet', configMap: { name: 'fleet', items: [{ key: 'flotilla.yaml', path: 'flotilla.yaml' }] } },
          ],
        },
      },
    )
    const log = (name: string): Promise<string> => plane.kubectl('logs', 'once', '-c', name)
    const phase = await eventually('the pod ends', async () => {
      const now = await get('pod', 'once', '-o', 'jsonpath={.status.phase}')
      return (now === 'Succeeded' || now === 'Failed') && now
    })
    expect(await log('version')).toMatch(/^flotilla \d+\.\d+\.\d+ {2}node \d+/)
    expect(await log('help')).toContain('agent [options]')
    expect({ phase, lint: await log('lint') }).toMatchObject({ phase: 'Succeeded' })
  },
)

test.runIf(here)(
  'as a pod it enrols, serves its health, and runs a workload whose containers serve',
  async () => {
    const join = hub.pki.joinLine(server.url, SITE, hub.token(SITE))
    const store = { kind: 'hostPath', path: path.join(plane.dir, 'agent-store') } as const
    await apply(
      ...agentManifests({
        namespace: 'flotilla-system',
        image: IMAGE,
        join,
        store,
        accounts: [],
        ownWrites: 'all',
      }).map(onThisNode),
    )
    await eventually(
      'the agent is ready',
      async () => {
        const ready = await get(
          'deployment',
          'flotilla-agent',
          '-n',
          'flotilla-system',
          '-o',
          'jsonpath={.status.readyReplicas}',
        )
        return ready === '1'
      },
      120_000,
    )
    publish(1, web('one'))
    await eventually('the site calls again', () => hub.seen.some(({ have }) => have?.generation.counter === 1), 120_000)
    await eventually('the page is served', async () => (await served()).includes('one'), 120_000)
    const ip = await get(
      'pod',
      '-n',
      'flotilla-system',
      '-l',
      'app.kubernetes.io/name=flotilla-agent',
      '-o',
      'jsonpath={.items[0].status.podIP}',
    )
    expect((await fetch(`http://${ip}:9090/healthz`)).status).toBe(200)
    expect(await (await fetch(`http://${ip}:9090/metrics`)).text()).toContain('flotilla_agent_inventory_objects 2')
  },
  300_000,
)

test.runIf(here)(
  'a changed template is rolled out once, and what serves is the new one',
  async () => {
    publish(2, web('two'))
    await eventually('the new page is served', async () => (await served()).includes('two'), 180_000)
    await eventually(
      'the old pod is gone',
      async () => (await get('pod', '-l', 'app=web', '-o', 'name')).trim().split('\n').length === 1,
    )
    expect(await get('deployment', 'web', '-o', 'jsonpath={.metadata.generation}')).toBe('2')
  },
  300_000,
)

test.runIf(here)(
  'another version of it: one that crashes is started beside it and leaves it the work; a good one takes over; no pod of a workload is touched',
  async () => {
    const web = (): Promise<string> =>
      get(
        'pod',
        '-l',
        'app=web',
        '-o',
        'jsonpath={range .items[*]}{.metadata.uid} {.status.containerStatuses[0].restartCount}{end}',
      )
    const agents = async (): Promise<{ image: string; ready: boolean; restarts: number }[]> => {
      const list = JSON.parse(
        await get('pod', '-n', 'flotilla-system', '-l', 'app.kubernetes.io/name=flotilla-agent', '-o', 'json'),
      ) as {
        items: {
          spec: { containers: { image: string }[] }
          status: { containerStatuses?: { ready: boolean; restartCount: number }[] }
        }[]
      }
      return list.items.map(({ spec, status }) => ({
        image: spec.containers[0]?.image ?? '',
        ready: status.containerStatuses?.[0]?.ready ?? false,
        restarts: status.containerStatuses?.[0]?.restartCount ?? 0,
      }))
    }
    const upgrade = (tag: string): Promise<string> =>
      plane.kubectl(
        'set',
        'image',
        'deploy/flotilla-agent',
        '-n',
        'flotilla-system',
        `*=docker.io/library/flotilla:${tag}`,
      )
    const works = async (): Promise<void> => {
      await plane.kubectl('delete', 'configmap', 'page')
      await eventually('what was deleted is made again', async () => (await get('configmap', 'page')).includes('page'))
    }
    const version = (text: string, tag: string): string => {
      const next = text.replace(/const VERSION = "[^"]*"/, `const VERSION = "0.9.0-${tag}"`)
      if (next === text) throw new Error('the bundle says its version in another way now')
      return next
    }
    await makeImage('next', (text) => version(text, 'next'))
    await makeImage('broken', (text) => `if (process.argv[2] === 'agent') process.exit(7);\n${text}`)
    const before = await web()
    await upgrade('broken')
    await eventually(
      'the new one crashed, and the old one is ready',
      async () => {
        const now = await agents()
        const old = now.find(({ image }) => image.endsWith(':test'))
        if (old?.ready === true && now.some(({ image, restarts }) => image.endsWith(':broken') && restarts > 0))
          return true
        throw new Error(JSON.stringify(now))
      },
      120_000,
    )
    await works()
    await upgrade('next')
    await eventually(
      'the new one is ready, and alone',
      async () => {
        const now = await agents()
        if (now.length === 1 && now[0]?.ready === true && now[0].image.endsWith(':next')) return true
        throw new Error(JSON.stringify(now))
      },
      180_000,
    )
    await works()
    expect(await web()).toBe(before)
    await eventually('the hub knows it', () => hub.seen.at(-1)?.agent === '0.9.0-next', 120_000)
  },
  600_000,
)

test.runIf(here)(
  'killed, with the hub away, it goes on from its store, and no container is started again',
  async () => {
    const pods = (): Promise<string> =>
      get(
        'pod',
        '-l',
        'app=web',
        '-o',
        'jsonpath={range .items[*]}{.metadata.uid} {.status.containerStatuses[0].restartCount}{"\\n"}{end}',
      )
    const before = await pods()
    await server.close(0)
    const agents = ['-n', 'flotilla-system', '-l', 'app.kubernetes.io/name=flotilla-agent']
    await plane.kubectl('delete', 'pod', ...agents, '--grace-period=0', '--force')
    await eventually(
      'a new agent is ready',
      async () => {
        return (await get('pod', ...agents, '-o', 'jsonpath={.items[*].status.containerStatuses[0].ready}')) === 'true'
      },
      120_000,
    )
    await plane.kubectl('delete', 'configmap', 'page')
    await eventually('what was deleted is made again', async () => (await get('configmap', 'page')).includes('page'))
    expect(await pods()).toBe(before)
    // Somebody at the box, the hub still away.
    const said = await plane.kubectl(
      'exec', 'deploy/flotilla-agent', '-n', 'flotilla-system', '-c', 'agent',
      '--', 'node', '/app/dist/flotilla.js', 'agent', 'status', '-o', 'json',
    ) // prettier-ignore
    expect(JSON.parse(said)).toMatchObject({
      site: SITE,
      agent: { state: 'running', confirmed: true },
      hub: { link: 'Away' },
      workloads: [{ workload: 'web', sync: 'Synced' }],
    })
  },
  300_000,
)

test.runIf(here)(
  'after a power cut, with the hub away, the same pods serve again: each container once more, and nothing is rolled out',
  async () => {
    const state = async (): Promise<{ uid: string; restarts: number }[]> => {
      const { items } = JSON.parse(await get('pod', '-l', 'app=web', '-o', 'json')) as {
        items: { metadata: { uid: string }; status: { containerStatuses?: { restartCount: number }[] } }[]
      }
      return items.map(({ metadata, status }) => ({
        uid: metadata.uid,
        restarts: status.containerStatuses?.[0]?.restartCount ?? 0,
      }))
    }
    const rollout = (): Promise<string> =>
      get('deployment', 'web', '-o', 'jsonpath={.metadata.uid} {.metadata.generation} {.spec.template}')
    const [pods, deployment] = [await state(), await rollout()]
    await plane.cut()
    await expect(served()).rejects.toThrow()
    await plane.restore()
    await eventually('the page is served again', async () => (await served()).includes('two'), 180_000)
    await plane.kubectl('delete', 'configmap', 'page')
    await eventually('the agent works again', async () => (await get('configmap', 'page')).includes('page'), 180_000)
    expect(await state()).toEqual(pods.map(({ uid, restarts }) => ({ uid, restarts: restarts + 1 })))
    expect(await rollout()).toBe(deployment)
  },
  600_000,
)
