import { createScheduler } from '../../src/core/scheduler/scheduler.ts'
import type { ActionName, Options, Snapshot } from '../../src/core/scheduler/types.ts'
import { type Adapter, all, failed, type Outcome, PASSED, same } from './adapter.ts'

type Case = Record<string, any>
const NOW_MS = Date.UTC(2026, 0, 1, 12)
const manifest = ({ objectMeta, ...rest }: Case): any => ({ metadata: objectMeta, ...rest })
const pod = (p: Case): any => ({
  metadata: {
    namespace: p['namespace'],
    name: p['name'],
    uid: p['uid'],
    labels: p['labels'],
    annotations: {
      'scheduling.k8s.io/group-name': p['group'],
      'volcano.sh/preemptable': String(p['preemptable']),
      ...p['annotations'],
    },
  },
  spec: {
    schedulerName: 'volcano',
    nodeName: p['node'],
    nodeSelector: p['nodeSelector'],
    affinity: p['affinity'],
    priority: p['priority'] ?? 1,
    preemptionPolicy: p['preemptionPolicy'],
    containers: [{ resources: { requests: p['requests'] } }],
    volumes: p['pvcs']?.map((claimName: string) => ({ persistentVolumeClaim: { claimName } })),
    resourceClaims: p['resourceClaims']?.map((c: any) => (typeof c === 'string' ? { resourceClaimName: c } : c)),
  },
  status: { phase: p['phase'], nominatedNodeName: p['nominatedNodeName'] },
})
const snapshot = (c: Case): Snapshot => ({
  nodes: c['nodes'].map((n: Case) => ({
    metadata: n,
    spec: { taints: n['taints'] },
    status: { allocatable: n['allocatable'] },
  })),
  pods: c['pods'].map((p: Case) => pod(JSON.parse(JSON.stringify(p)) as Case)),
  jobs: c['podGroups'],
  queues: c['queues'].map((q: Case) => ({
    ...q,
    guarantee: q['guarantee']?.resource ?? q['guarantee'],
    affinity: q['affinity'],
  })),
  hyperNodes: c['hyperNodes'] ?? [],
  ...(c['shard'] === undefined ? {} : { shard: c['shard'] }),
  resourceQuotas: (c['resourceQuotas'] ?? []).map(manifest),
  persistentVolumeClaims: (c['persistentVolumeClaims'] ?? []).map(manifest),
  persistentVolumes: (c['persistentVolumes'] ?? []).map(manifest),
  storageClasses: (c['storageClasses'] ?? []).map(manifest),
  deviceClasses: (c['deviceClasses'] ?? []).map(manifest),
  resourceClaims: (c['resourceClaims'] ?? []).map(manifest),
  resourceSlices: (c['resourceSlices'] ?? []).map(manifest),
})
export const adapter: Adapter = {
  kind: (row) => (row['expectsNothing'] === true ? 'expects nothing' : 'expects something'),
  check(row) {
    const c = row as Case
    const tiers = c['tiers'].map((t: Case) => t['plugins'].filter((p: Case) => c['registeredPlugins'].includes(p['name'])).map((p: Case) => ({ enabled: [], ...p }))) // prettier-ignore
    const simulate = (c['actionConfig'] ?? []).some((a: Case) => a['arguments']?.enableTopologyAwarePreemption === true)
    const actions: ActionName[] = c['actions'].length > 0 || c['expectEvictedCount'] === 0 ? c['actions'] : ['shuffle']
    const options: Options = { profile: 'volcano', schedulerNames: ['volcano'], nowMs: NOW_MS, tiers, actions, preemption: simulate ? 'simulate' : 'by-resources' } // prettier-ignore
    const result = createScheduler(options, snapshot(c)).cycle(NOW_MS)
    const binds = Object.fromEntries(result.binds.map((b) => [`${b.namespace}/${b.name}`, b.node]))
    const evicted = result.evictions.map((e) => `${e.namespace}/${e.name}`).toSorted()
    const phases = new Map(c['podGroups'].map((g: Case) => [`${g['namespace']}/${g['name']}`, g['phase']]))
    for (const p of result.phases) phases.set(`${p.namespace}/${p.name}`, p.phase)
    const pipelined = Object.entries((c['expectPipelined'] ?? {}) as Case).map(([group, nodes]): Outcome => {
      const of = result.nominations.filter((n) =>
        c['pods'].some((p: Case) => p['name'] === n.name && `${n.namespace}/${p['group']}` === group),
      )
      return of.length > 0 && of.every((n) => nodes.includes(n.node))
        ? PASSED
        : failed(`${group} pipelined on ${of.map((n) => n.node).join()}`)
    })
    return all(
      c['bindsCheck'] === 'exact'
        ? same(binds, c['expectBinds'], 'binds')
        : same(result.binds.length, c['expectBindsCount'], 'number of binds'),
      c['expectEvicted'].length > 0 || c['expectEvictedCount'] === 0 ? same(evicted, c['expectEvicted'].toSorted(), 'evicted') : same(evicted.length, c['expectEvictedCount'], 'number evicted'), // prettier-ignore
      ...Object.entries((c['expectPodGroupPhase'] ?? {}) as Case).map(([group, phase]) =>
        same(phases.get(group), phase, `phase of ${group}`),
      ),
      ...pipelined,
    )
  },
}
