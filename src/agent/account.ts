/** On whose behalf a workload's objects are handled: every verb of it, comparisons too. */
import type { Cluster } from '../core/kube/cluster.ts'
import type { Release } from '../core/model/release.ts'

/** The account is `name` in the release's namespace, or `namespace/name`; without one it is the agent itself. */
export function clusterFor(cluster: Cluster, release: Release | undefined): Cluster {
  if (release?.rules.serviceAccount === undefined) return cluster
  const { serviceAccount } = release.rules
  const slash = serviceAccount.indexOf('/')
  const namespace = slash < 0 ? release.namespace : serviceAccount.slice(0, slash)
  const name = serviceAccount.slice(slash + 1)
  return cluster.as({
    user: `system:serviceaccount:${namespace}:${name}`,
    groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
  })
}
