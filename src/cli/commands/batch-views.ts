/** Where batch commands look: at the agent of this box, or over the fleet by the hub. */
import type { Page } from '../../core/api/types.ts'
import type { BatchView } from '../../core/batch/view.ts'
import type { Flag, Values } from '../command.ts'
import type { BatchPort, CliPorts } from '../ports.ts'
import { connect, HUB_FLAGS } from './observe.ts'

export const BATCH_FLAGS = {
  clusters: { type: 'string', short: 'M', placeholder: 'SITES', help: 'these sites; all of them by itself' },
  limit: { type: 'number', help: 'so many sites at most', default: 50 },
  data: { type: 'string', placeholder: 'DIR', help: 'ask the agent of this box, by its store, and no hub' },
  ...HUB_FLAGS,
} as const satisfies Readonly<Record<string, Flag>>

export interface Views {
  readonly sites: readonly BatchView[]
  /** More than one was asked for: each is shown under its name. */
  readonly several: boolean
  /** Sites with something to show beyond the limit. */
  readonly more: number
}

export function batchAt(data: string | undefined, ports: CliPorts): Promise<BatchPort> {
  return ports.batch(data)
}

/** Of a whole fleet, the sites that have something to show. */
export async function batchViews(flags: Values, ports: CliPorts, shows: (view: BatchView) => boolean): Promise<Views> {
  const { data, clusters, limit } = flags
  if (typeof data === 'string') {
    await using site = await batchAt(data, ports)
    const view = (await site.ask({ op: 'view' })) as unknown as BatchView
    return { sites: [view], several: false, more: 0 }
  }
  const named = typeof clusters === 'string' && clusters !== 'all' ? clusters.split(',') : undefined
  const hub = await connect(ports, flags)
  const sites: BatchView[] = []
  for (let cursor: string | undefined; ;) {
    const page = await hub.get<Page<BatchView>>('/v1/batch', { sites: named?.join(','), cursor, limit: '200' })
    sites.push(...(named === undefined ? page.items.filter(shows) : page.items))
    if (page.next === null) break
    cursor = page.next
  }
  const most = typeof limit === 'number' ? limit : sites.length
  const several = named === undefined || named.length > 1
  return { sites: sites.slice(0, most), several, more: Math.max(0, sites.length - most) }
}
