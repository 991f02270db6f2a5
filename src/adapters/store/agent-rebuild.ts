/** Opening a site's database: one that is damaged, or older than what was kept before, is set aside or looked after, and what is lost is named. */
import { existsSync, renameSync, rmSync } from 'node:fs'
import { Fault } from '../../core/model/fault.ts'
import { onFiles } from './agent-files.ts'
import type { Head } from './agent-head.ts'
import { openAgentRows, type AgentRows } from './agent-rows.ts'

export const GROUPS = ['meta', 'manifest', 'workload', 'inventory', 'outbox', 'note', 'batch', 'blob'] as const
/** The agent's note that it looked for its inventory in the cluster: without it, it does. */
const LOOKED_FOR = 'recovered'

export function openOrRebuild(
  file: string,
  head: Head,
  format?: number,
): { readonly rows: AgentRows; readonly rebuilt: readonly string[] } {
  let rows: AgentRows
  const open = (): AgentRows => openAgentRows(file, format, (commits) => head.moved(commits))
  try {
    rows = open()
  } catch (error) {
    if (!(error instanceof Fault) || error.reason !== 'StoreCorrupt') throw error
    setAside(file)
    return { rows: open(), rebuilt: GROUPS }
  }
  const read = new Map<string, { readonly rows: ReadonlyMap<string, Uint8Array>; readonly damaged: boolean }>()
  // Blobs name their own bytes and are checked when they are read: reading all of them at each start would cost too much.
  for (const group of GROUPS) if (group !== 'blob') read.set(group, rows.read(group))
  const rebuilt = GROUPS.filter((group) => read.get(group)?.damaged === true)
  if (rebuilt.length === 0) return rows.commits() < head.atLeast ? goneBack(rows) : { rows, rebuilt }
  const blobs = rows.read('blob').rows
  rows.close()
  setAside(file)
  const fresh = open()
  const kept = [...read, ['blob', { rows: blobs }] as const].flatMap(([group, found]) =>
    [...found.rows].map(([key, value]) => ({ group, key, value })),
  )
  const again = rebuilt.includes('inventory') ? [{ group: 'note', key: LOOKED_FOR, value: null }] : []
  fresh.write([...kept, ...again])
  return { rows: fresh, rebuilt }
}

/** Whole, and of before what was once kept: what it says is a beginning, and the inventory is looked for in the cluster as well. */
function goneBack(rows: AgentRows): { readonly rows: AgentRows; readonly rebuilt: readonly string[] } {
  rows.write([{ group: 'note', key: LOOKED_FOR, value: null }])
  return { rows, rebuilt: GROUPS.filter((group) => group !== 'blob') }
}

/** Kept once for people to look at, not for ever. */
function setAside(file: string): void {
  onFiles(() => {
    for (const suffix of ['', '-wal', '-shm']) {
      rmSync(`${file}.damaged${suffix}`, { force: true })
      if (existsSync(file + suffix)) renameSync(file + suffix, `${file}.damaged${suffix}`)
    }
  })
}
