/** A window with `overrun: stop` from the commit to the cluster: hub and agent are the real ones, and the line is cut when it matters. */
import { expect, test } from 'vitest'
import { openAgentStore } from '../../src/adapters/store/agent-store.ts'
import { createAgent } from '../../src/agent/agent.ts'
import { Fault } from '../../src/core/model/fault.ts'
import { isObject } from '../../src/core/model/json.ts'
import type { HubLink } from '../../src/core/protocol/ports.ts'
import { decodeDown, decodeUp, encodeDown, encodeUp, NEW_CONVERSATION } from '../../src/core/protocol/sync.ts'
import { SimCluster } from '../../src/sim/cluster.ts'
import type { Logger } from '../../src/runtime/logger.ts'
import { IDENTITY } from '../unit/agent/site.ts'
import { shops } from '../unit/hub/files.ts'
import { type LightSite, Rig } from '../unit/hub/rig.ts'

const MINUTE = 60_000
const silent: Logger = { info: () => {}, warn: () => {}, error: () => {}, debug: () => {}, child: () => silent }
const never = new AbortController().signal

/** A Deployment, and a ConfigMap that follows once that is ready. */
const files = (tag: string) => ({
  ...shops({
    sites: ['s1'],
    tag,
    policy: 'spec:\n  waves: [{ name: all, soak: 10m }]\n  maxUnavailable: 100%\n  progressDeadline: 3h\n',
  }),
  'apps/web/base/config.yaml': `apiVersion: v1
kind: ConfigMap
metadata: { name: web, annotations: { config.kubernetes.io/depends-on: apps/namespaces/web/Deployment/web } }
data: { tag: "${tag}" }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  replicas: 1
  selector: { matchLabels: { app: web } }
  template: { metadata: { labels: { app: web } }, spec: { containers: [{ name: main, image: "web:${tag}" }] } }
`,
})

const NIGHT = {
  'windows/night.yaml': `apiVersion: flotilla.dev/v1alpha1
kind: MaintenanceWindow
metadata: { name: night }
spec: { effect: allow, schedule: "0 3 * * *", duration: 2h, overrun: stop, targets: [{ workloads: [web] }] }
`,
}

function linkTo(rig: Rig, site: LightSite, isCut: () => boolean): HubLink {
  const cut = (): void => {
    if (isCut()) throw new Fault('Unreachable', 'the line is cut')
  }
  return {
    async sync(sent, bases, signal) {
      cut()
      const up = encodeUp({ ...sent, whole: true }, NEW_CONVERSATION)
      const read = decodeUp(up.bytes, NEW_CONVERSATION)
      const reply = await rig.hub.handler.sync(site.caller, read.up, signal)
      const down = encodeDown(reply, read.up, NEW_CONVERSATION)
      const { answer } = decodeDown(down.bytes, bases, NEW_CONVERSATION)
      return { ...answer, bytes: { up: up.bytes.length, down: down.bytes.length } }
    },
    async blob(domain, digest) {
      cut()
      const bytes = await rig.hub.handler.blob(site.caller, domain, digest)
      if (bytes === undefined) throw new Fault('NotFound', digest)
      return bytes
    },
    close: async () => undefined,
  }
}

test('what is half way when the window closes stands still in the dark, and is through the next night: no failure, no rollback', async () => {
  const rig = await Rig.open()
  await using _ = rig
  rig.clock.jump(Date.parse('2026-01-02T19:00:00Z') - rig.clock.nowMs())
  rig.git.commit(files('1'))
  await rig.settle()
  const site = await rig.join('s1')
  const cluster = new SimCluster({ clock: rig.clock, seed: 1, controllers: { delays: { readyMs: 130 * MINUTE } } })
  const store = openAgentStore(':memory:')
  store.saveIdentity({ ...IDENTITY, site: 's1', siteId: site.siteId })
  let isCut = false
  const machine = { bootId: 'boot', uptimeMs: () => rig.clock.monotonicMs() }
  const link = linkTo(rig, site, () => isCut)
  const agent = createAgent({ cluster, link, store, clock: rig.clock, log: silent, machine, random: () => 1 }, { version: '0.1.0' }) // prettier-ignore
  const stop = new AbortController()
  const running = agent.run(stop.signal)
  const until = async (iso: string): Promise<void> => {
    const endMs = Date.parse(iso)
    while (rig.clock.nowMs() < endMs) {
      await rig.clock.advance(Math.min(10 * MINUTE, endMs - rig.clock.nowMs()))
      await rig.decide()
    }
  }
  const tag = async (): Promise<unknown> => {
    const ref = { group: '', kind: 'ConfigMap', namespace: 'web', name: 'web' }
    const data = (await cluster.get({ apiVersion: 'v1', kind: 'ConfigMap' }, ref, never))?.['data']
    return isObject(data) ? data['tag'] : undefined
  }
  await until('2026-01-02T23:00:00Z')
  expect(await tag()).toBe('1')
  rig.git.commit({ ...files('2'), ...NIGHT })
  await rig.settle()
  // From 03:00 to 05:00 at the site. Its Deployment is not ready by then.
  await until('2026-01-03T03:55:00Z')
  const moved = (await rig.hub.api.site('s1')).workloads[0]
  expect(moved?.desired).toBe(moved?.target)
  isCut = true
  await until('2026-01-03T06:00:00Z')
  isCut = false
  await until('2026-01-03T07:00:00Z')
  expect(await tag()).toBe('1')
  const said = (await rig.hub.api.why('site', 's1')).causes.map(({ reason }) => reason)
  expect(said).toContain('WindowClosed(goes on 2026-01-04 03:00 Europe/Copenhagen, night)')
  expect((await rig.hub.api.rollout('web')).phase).toBe('Progressing')
  // The second night is dark from before it begins: it goes on all the same.
  isCut = true
  await until('2026-01-04T03:00:00Z')
  expect(await tag()).toBe('2')
  isCut = false
  await until('2026-01-04T06:00:00Z')
  expect(await rig.hub.api.rollout('web')).toMatchObject({ phase: 'Completed', counts: { done: 1, failed: 0 } })
  stop.abort()
  await running
}, 60_000)
