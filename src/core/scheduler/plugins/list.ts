/** The plugins there are, by the name a configuration uses. */
import type { PluginFactory } from '../plugin.ts'
import { capacity } from './capacity.ts'
import { drf } from './drf.ts'
import { gang } from './gang.ts'
import { networkTopologyAware } from './network.ts'
import { binpack, nodeorder } from './nodeorder.ts'
import { tdm } from './tdm.ts'
import { nodegroup, resourceQuota, resourceStrategyFit, usage } from './volcano.ts'
import { proportion } from './proportion.ts'
import { backfill, conformance, overcommit, predicates, priority, scarce, sla } from './simple.ts'

export const PLUGINS: Readonly<Record<string, PluginFactory>> = {
  gang,
  priority,
  scarce,
  conformance,
  capacity,
  proportion,
  drf,
  predicates,
  nodeorder,
  binpack,
  overcommit,
  sla,
  backfill,
  'network-topology-aware': networkTopologyAware,
  nodegroup,
  resourcequota: resourceQuota,
  'resource-strategy-fit': resourceStrategyFit,
  tdm,
  usage,
}
