/** A whole site in one process, cluster, hub and clock simulated, the disk real: for a test that breaks its system calls. */
import { configMap, createSite } from '../../unit/agent/site.ts'

const [dir = ''] = process.argv.slice(2)
const site = createSite({ dir, agent: { pollMs: 5_000 } })
const stop = new AbortController()
const done = site.agent.run(stop.signal)
for (let word = 1; word <= 12; word++) {
  site.hub.publish({ till: { objects: [configMap('a', { a: String(word) })] } })
  await site.clock.advance(20_000)
}
await site.clock.advance(700_000)
stop.abort()
await done
const live = await site.cluster.list(
  { apiVersion: 'v1', kind: 'ConfigMap', namespace: 'shop' },
  new AbortController().signal,
)
const said = site.hub.heard.flatMap(({ conditions }) => conditions.map(({ type, reason }) => `${type} ${reason}`))
const at = site.store.manifests()[0]?.generation.counter
site.store.close()
process.stdout.write(
  JSON.stringify({ said: [...new Set(said)], last: site.hub.heard.at(-1)?.conditions, a: live.items[0]?.['data'], at }),
)
