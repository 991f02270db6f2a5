import { systemClock } from '../../src/runtime/clock.ts'
import { SimCluster } from '../../src/sim/cluster.ts'
import { clusterContract } from './cluster.contract.ts'

clusterContract('the simulated cluster', async () => {
  const cluster = new SimCluster({ clock: systemClock, seed: 1 })
  return {
    cluster,
    forgetHistory: async () => cluster.server.storage.forgetHistory(),
    close: () => cluster.close(),
  }
})
