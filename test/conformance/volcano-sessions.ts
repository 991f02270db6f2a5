import { createScheduler } from '../../src/core/scheduler/scheduler.ts'
import type { PluginFactory } from '../../src/core/scheduler/plugin.ts'
import type { ActionName, Options, Snapshot } from '../../src/core/scheduler/types.ts'
import { type Adapter, all, failed, type Outcome, PASSED, same } from './adapter.ts'

type Case = Record<string, any>
const NOW_MS = Date.UTC(2026, 0, 1, 12)
const manifests = (list: Case[] = []): any[] =>
  list.map(({ objectMeta, ...rest }) => ({ metadata: objectMeta, ...rest }))
const TEST_PLUGINS: Record<string, PluginFactory> = {
  'test-rejecter': () => ({ jobEnqueueable: (job) => (job.name === 'pgA' ? -1 : 1) }),
  fake: (cycle) => ({ victims: () => cycle.jobs.flatMap((job) => [...job.tasks].filter((task) => cycle.state.taskPriority[task] === 10)) }), // prettier-ignore
}
// prettier-ignore
const podOf = (p: Case): any => ({
  metadata: { ...p, annotations: { 'scheduling.k8s.io/group-name': p['group'], 'volcano.sh/preemptable': String(p['preemptable']), ...p['annotations'] } },
  spec: { ...p, schedulerName: 'volcano', nodeName: p['node'], priority: p['priority'] ?? 1, containers: [{ resources: { requests: p['requests'] } }],
    volumes: p['pvcs']?.map((claimName: string) => ({ persistentVolumeClaim: { claimName } })) },
  status: p,
})
// prettier-ignore
const snapshotOf = (c: Case): Snapshot => ({
  nodes: c['nodes'].map((n: Case) => ({ metadata: n, spec: n, status: n })),
  pods: c['pods'].map((p: Case) => JSON.parse(JSON.stringify(podOf(p)))),
  jobs: c['podGroups'],
  queues: c['queues'].map((q: Case) => ({ ...q, guarantee: q['guarantee']?.resource ?? q['guarantee'] })),
  ...(c['shard'] === undefined ? {} : { shard: c['shard'] }),
  hyperNodes: c['hyperNodes'] ?? [], resourceQuotas: manifests(c['resourceQuotas']), storageClasses: manifests(c['storageClasses']),
  persistentVolumeClaims: manifests(c['persistentVolumeClaims']), persistentVolumes: manifests(c['persistentVolumes']),
  deviceClasses: manifests(c['deviceClasses']), resourceClaims: manifests(c['resourceClaims']), resourceSlices: manifests(c['resourceSlices']),
})
const keyOf = (one: { namespace: string; name: string }): string => `${one.namespace}/${one.name}`
// prettier-ignore
export const adapter: Adapter = {
  kind: (row) => (row['expectsNothing'] === true ? 'expects nothing' : 'expects something'),
  check(row) {
    const c = row as Case
    const tiers = c['tiers'].map((t: Case) => t['plugins'].filter((p: Case) => c['registeredPlugins'].includes(p['name'])).map((p: Case) => ({ enabled: [], ...p })))
    const simulate = (c['actionConfig'] ?? []).some((a: Case) => a['arguments']?.enableTopologyAwarePreemption === true)
    const actions: ActionName[] = c['actions'].length > 0 || c['expectEvictedCount'] === 0 ? c['actions'] : ['shuffle']
    const options: Options = { profile: 'volcano', schedulerNames: ['volcano'], tiers, actions, preemption: simulate ? 'simulate' : 'by-resources' }
    const result = createScheduler(options, snapshotOf(c), TEST_PLUGINS).cycle(NOW_MS)
    const groupOf = new Map(c['pods'].map((p: Case) => [`${p['namespace']}/${p['name']}`, `${p['namespace']}/${p['group']}`]))
    const phases = new Map(c['podGroups'].map((g: Case) => [`${g['namespace']}/${g['name']}`, g['phase']]))
    for (const phase of result.phases) phases.set(keyOf(phase), phase.phase)
    const binding = Object.entries((c['expectTaskStatusCounts'] ?? {}) as Case).map(([group, counts]) =>
      same(result.binds.filter((bind) => groupOf.get(keyOf(bind)) === group).length, counts.Binding ?? 0, `binding of ${group}`))
    const pipelined = Object.entries((c['expectPipelined'] ?? {}) as Case).map(([group, nodes]): Outcome => {
      const of = result.nominations.filter((one) => groupOf.get(keyOf(one)) === group)
      return of.length > 0 && of.every(({ node }) => nodes.includes(node)) ? PASSED : failed(`${group} pipelined on ${of.map(({ node }) => node).join()}`)
    })
    const binds = c['bindsCheck'] === 'exact' ? same(Object.fromEntries(result.binds.map((b) => [keyOf(b), b.node])), c['expectBinds'], 'binds') : same(result.binds.length, c['expectBindsCount'], 'number of binds')
    return all(
      binding.length > 0 || c['enforced'] === false ? PASSED : binds,
      c['expectEvicted'].length < c['expectEvictedCount'] ? same(result.evictions.length, c['expectEvictedCount'], 'number evicted') : same(result.evictions.map(keyOf).toSorted(), c['expectEvicted'].toSorted(), 'evicted'),
      ...Object.entries((c['expectPodGroupPhase'] ?? {}) as Case).map(([group, phase]) => same(phases.get(group), phase, `phase of ${group}`)),
      ...binding, ...pipelined,
    )
  },
}
