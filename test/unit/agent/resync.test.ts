/** The slow comparison by dry-run: of a workload with an account of its own it is made as that account. */
import { expect, test } from 'vitest'
import type { Cluster } from '../../../src/core/kube/cluster.ts'
import type { Manifest } from '../../../src/core/model/object.ts'
import { configMap, createSite } from './site.ts'

const RBAC = 'rbac.authorization.k8s.io'
const mayDoAll: readonly Manifest[] = [
  {
    apiVersion: `${RBAC}/v1`,
    kind: 'ClusterRole',
    metadata: { name: 'tenant' },
    rules: [{ apiGroups: ['*'], resources: ['*'], verbs: ['*'] }],
  },
  {
    apiVersion: `${RBAC}/v1`,
    kind: 'ClusterRoleBinding',
    metadata: { name: 'tenant' },
    roleRef: { apiGroup: RBAC, kind: 'ClusterRole', name: 'tenant' },
    subjects: [{ kind: 'ServiceAccount', name: 'tenant', namespace: 'shop' }],
  },
]

/** Notes who asked for which dry-run. */
function noting(cluster: Cluster, who: string, asked: string[]): Cluster {
  return new Proxy(cluster, {
    get(target, name) {
      if (name === 'as')
        return (account: { user: string; groups: string[] }) => noting(target.as(account), account.user, asked)
      if (name === 'apply')
        return (...args: Parameters<Cluster['apply']>) => {
          if (args[1].dryRun === true) asked.push(`${who} ${args[0].metadata.name}`)
          return target.apply(...args)
        }
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
}

test('each object is compared once a period, by the account that applies it', async () => {
  const asked: string[] = []
  const site = createSite({ agent: { resyncMs: 60_000 }, clusterOf: (cluster) => noting(cluster, 'agent', asked) })
  for (const object of mayDoAll)
    await site.cluster.create(object, { fieldManager: 'admin' }, new AbortController().signal)
  site.hub.publish({
    own: { objects: [configMap('mine')], rules: { serviceAccount: 'tenant' } },
    plain: { objects: [configMap('ours')] },
  })
  const stop = new AbortController()
  const done = site.agent.run(stop.signal)
  await site.clock.advance(70_000)
  asked.length = 0
  await site.clock.advance(60_000)
  expect(asked.toSorted()).toEqual(['agent ours', 'system:serviceaccount:shop:tenant mine'])
  expect(site.agent.status().workloads.map(({ sync }) => sync)).toEqual(['Synced', 'Synced'])
  stop.abort()
  await done
})
