import { openCluster } from '../../src/adapters/cluster/kube-cluster.ts'
import { startControlPlane } from '../kube/control-plane.ts'
import { clusterContract } from './cluster.contract.ts'

clusterContract('a real kube-apiserver', async () => {
  const plane = await startControlPlane(['--controller-manager'])
  const cluster = await openCluster({ from: 'kubeconfig', path: plane.kubeconfig })
  return {
    cluster,
    // A new API server knows what is, not what was.
    forgetHistory: async () => {
      await plane.cut()
      await plane.restore()
    },
    close: async () => {
      await cluster.close()
      await plane.stop()
    },
  }
})
