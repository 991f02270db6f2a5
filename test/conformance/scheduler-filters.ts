import { createScheduler } from '../../src/core/scheduler/scheduler.ts'
import type { Refusal, Verdict } from '../../src/core/scheduler/types.ts'
import { type Adapter, all, failed, type Outcome, PASSED, same } from './adapter.ts'

type Case = Record<string, any>
const OF: Readonly<Record<string, readonly Refusal[]>> = {
  hostPorts: ['Ports'],
  nodeAffinity: ['NodeAffinity'],
  nodeName: ['NodeName'],
  podAffinity: ['Affinity', 'AntiAffinity', 'ExistingAntiAffinity'],
  resources: ['Resources', 'Pods'],
  taints: ['Taint'],
  topologySpread: ['Spread', 'SpreadLabel'],
  unschedulable: ['Unschedulable'],
}

function check(verdict: Verdict, filter: string, expected: Case, others: readonly string[]): Outcome {
  const own = verdict.refusals.flatMap((refusal, k) =>
    refusal === 'Invalid' || OF[filter]?.includes(refusal) ? [verdict.reasons[k] as string] : [],
  )
  const parsed = !verdict.refusals.includes('Invalid')
  const wanted = expected['reasons'] as string[] | undefined
  return all(
    same(own.length === 0, expected['fits'], 'fits'),
    // The text of a refusal to parse is the original's own; the spread table gives none.
    wanted === undefined || !parsed ? PASSED : same(own, wanted, 'reasons'),
    expected['fits'] || others.length > 0
      ? PASSED
      : same(verdict.evictionCannotHelp, expected['evictionCannotHelp'] ?? false, 'eviction cannot help'),
    ...others.map((other) =>
      verdict.refusals.some((refusal) => OF[other]?.includes(refusal)) ? PASSED : failed(`${other} should refuse too`),
    ),
  )
}

export const adapter: Adapter = {
  kind: (row) => String(row['filter']),
  check(row) {
    const { pod, nodes, pods = [], namespaces = [], expected, filter, othersReject = {} } = row as Case
    const name = pod.metadata?.name ?? 'incoming'
    const incoming = {
      ...pod,
      metadata: { ...pod.metadata, name, uid: 'incoming' },
      spec: { ...pod.spec, schedulerName: 'flotilla' },
    }
    const scheduler = createScheduler({ seed: 'table' }, { nodes, namespaces, pods: [...pods, incoming] })
    const key = { namespace: pod.metadata?.namespace ?? 'default', name }
    return all(
      ...Object.entries(expected as Case).map(([node, wanted]) =>
        check(scheduler.verdict(key, node), filter, wanted, othersReject[node] ?? []),
      ),
    )
  },
}
