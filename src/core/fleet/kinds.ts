/** The kinds of our apiVersion, and which of them this build acts on. */
import batchjob from '../../../schemas/batchjob.json' with { type: 'json' }
import batchqueue from '../../../schemas/batchqueue.json' with { type: 'json' }
import common from '../../../schemas/common.json' with { type: 'json' }
import cronbatchjob from '../../../schemas/cronbatchjob.json' with { type: 'json' }
import edgeconfig from '../../../schemas/edgeconfig.json' with { type: 'json' }
import fleet from '../../../schemas/fleet.json' with { type: 'json' }
import maintenancewindow from '../../../schemas/maintenancewindow.json' with { type: 'json' }
import reserved from '../../../schemas/reserved.json' with { type: 'json' }
import rolloutpolicy from '../../../schemas/rolloutpolicy.json' with { type: 'json' }
import site from '../../../schemas/site.json' with { type: 'json' }
import sitegroup from '../../../schemas/sitegroup.json' with { type: 'json' }
import team from '../../../schemas/team.json' with { type: 'json' }
import workload from '../../../schemas/workload.json' with { type: 'json' }

export const API_GROUP = 'flotilla.dev'
/** Newest first; the hub reads the current and the two before it, and there is only one so far. */
export const API_VERSIONS = ['flotilla.dev/v1alpha1'] as const

/** Definitions that the kinds refer to by `common.json#/$defs/…`. */
export const COMMON_SCHEMA: object = common

export interface KindRule {
  readonly schema: object
  readonly acted: 'now' | 'later'
  /** Only files of the root team may hold it (FLEET-REPO.md, Who may say what). */
  readonly owner: 'root' | 'any'
}

export const KINDS: ReadonlyMap<string, KindRule> = new Map<string, KindRule>([
  ['Fleet', { schema: fleet, acted: 'now', owner: 'root' }],
  ['Team', { schema: team, acted: 'now', owner: 'root' }],
  ['Site', { schema: site, acted: 'now', owner: 'root' }],
  ['SiteGroup', { schema: sitegroup, acted: 'now', owner: 'root' }],
  ['Workload', { schema: workload, acted: 'now', owner: 'any' }],
  ['RolloutPolicy', { schema: rolloutpolicy, acted: 'now', owner: 'root' }],
  ['MaintenanceWindow', { schema: maintenancewindow, acted: 'now', owner: 'any' }],
  ['EdgeConfig', { schema: edgeconfig, acted: 'later', owner: 'any' }],
  ['BatchQueue', { schema: batchqueue, acted: 'now', owner: 'any' }],
  ['BatchJob', { schema: batchjob, acted: 'now', owner: 'any' }],
  ['CronBatchJob', { schema: cronbatchjob, acted: 'now', owner: 'any' }],
  ...['Policy', 'DeviceModel', 'Device', 'Model', 'FederatedJob', 'NotificationProvider', 'Alert'].map(
    (kind): [string, KindRule] => [kind, { schema: reserved, acted: 'later', owner: 'any' }],
  ),
])
