/** What sinfo can show of nodes, each under the name and heading that Slurm gives it. A line stands for nodes that are alike in what is shown. */
import type { Column, SlurmNodes } from './slurm-columns.ts'
import { hostList } from './slurm-hosts.ts'
import { formatMoment, formatUsed } from './slurm-time.ts'

type Alike = readonly SlurmNodes[]

export interface NodeColumn extends Column<Alike> {
  /** apart: other values are other lines. sum: of all in the line. least: the smallest, with a + where they differ. */
  readonly over: 'apart' | 'sum' | 'least'
}

const SHORT: Readonly<Record<SlurmNodes['state'], string>> = {
  idle: 'idle',
  mixed: 'mix',
  allocated: 'alloc',
  down: 'down',
  drained: 'drain',
  draining: 'drng',
}

export function nodeColumns(zone: string): Readonly<Record<string, NodeColumn>> {
  return {
    allocmem: sum('ALLOCMEM', (rows) => String(total(rows, (row) => row.memoryAllocatedMiB ?? 0))),
    available: apart('AVAIL', (row) => row.available),
    cpus: least('CPUS', (row) => row.cpus),
    cpusstate: sum('CPUS(A/I/O/T)', cpusText),
    disk: least('TMP_DISK', () => 0),
    features: apart('AVAIL_FEATURES', () => '(null)'),
    freemem: sum('FREE_MEM', (rows) =>
      String(total(rows, (row) => row.memoryMiB * row.nodes.length - (row.memoryAllocatedMiB ?? 0))),
    ),
    gres: apart('GRES', (row) => (row.gres === '' ? '(null)' : row.gres)),
    groups: apart('GROUPS', () => 'all'),
    memory: least('MEMORY', (row) => row.memoryMiB),
    nodeai: sum('NODES(A/I)', (rows) => `${busy(rows)}/${idle(rows)}`),
    nodeaiot: sum('NODES(A/I/O/T)', (rows) => {
      const all = count(rows)
      return `${busy(rows)}/${idle(rows)}/${all - busy(rows) - idle(rows)}/${all}`
    }),
    nodelist: sum('NODELIST', (rows) => hostList(rows.flatMap(({ nodes }) => nodes))),
    nodehost: apart('HOSTNAMES', (row) => hostList(row.nodes)),
    nodes: sum('NODES', (rows) => String(count(rows))),
    oversubscribe: apart('OVERSUBSCRIBE', () => 'YES'),
    partition: apart('PARTITION', (row) => `${row.partition}${row.isDefault ? '*' : ''}`),
    partitionname: apart('PARTITION', (row) => row.partition),
    reason: apart('REASON', (row) => (row.reason === '' ? 'none' : row.reason)),
    root: apart('ROOT', () => 'no'),
    size: apart('JOB_SIZE', () => '1-infinite'),
    socketcorethread: apart('S:C:T', (row) => `1:${row.cpus}:1`),
    statecompact: apart('STATE', (row) => `${SHORT[row.state]}${star(row)}`),
    statelong: apart('STATE', (row) => `${row.state}${star(row)}`),
    time: apart('TIMELIMIT', (row) => (row.timeLimitMs === null ? 'infinite' : formatUsed(row.timeLimitMs))),
    timestamp: apart('TIMESTAMP', (row) => (row.reasonMs === undefined ? 'Unknown' : formatMoment(row.reasonMs, zone))),
    user: apart('USER', (row) => (row.reason === '' ? 'Unknown' : 'root')),
    weight: least('WEIGHT', () => 1),
  }
}

export const SINFO_CODES: Readonly<Record<string, string>> = {
  a: 'available', A: 'nodeai', c: 'cpus', C: 'cpusstate', d: 'disk', D: 'nodes', e: 'freemem', E: 'reason', f: 'features', F: 'nodeaiot',
  g: 'groups', G: 'gres', h: 'oversubscribe', H: 'timestamp', l: 'time', m: 'memory', n: 'nodehost', N: 'nodelist', P: 'partition',
  r: 'root', R: 'partitionname', s: 'size', t: 'statecompact', T: 'statelong', u: 'user', w: 'weight', z: 'socketcorethread',
} // prettier-ignore

function apart(head: string, value: (row: SlurmNodes) => string): NodeColumn {
  return { head, over: 'apart', value: ([first]) => (first === undefined ? '' : value(first)) }
}

function sum(head: string, value: (rows: Alike) => string): NodeColumn {
  return { head, over: 'sum', value }
}

function least(head: string, value: (row: SlurmNodes) => number): NodeColumn {
  return {
    head,
    over: 'least',
    value: (rows) => {
      const values = rows.map(value)
      const lowest = Math.min(...values)
      return values.some((one) => one > lowest) ? `${lowest}+` : String(lowest)
    },
  }
}

function total(rows: Alike, value: (row: SlurmNodes) => number): number {
  return rows.reduce((all, row) => all + value(row), 0)
}

function count(rows: Alike): number {
  return total(rows, ({ nodes }) => nodes.length)
}

function isBusy({ state }: SlurmNodes): boolean {
  return state === 'allocated' || state === 'mixed'
}

function busy(rows: Alike): number {
  return count(rows.filter(isBusy))
}

function idle(rows: Alike): number {
  return count(rows.filter(({ state }) => state === 'idle'))
}

function cpusText(rows: Alike): string {
  const all = total(rows, ({ cpus, nodes }) => cpus * nodes.length)
  const allocated = total(rows, ({ cpusAllocated }) => cpusAllocated)
  const open = rows.filter((row) => isBusy(row) || row.state === 'idle')
  const free = total(open, ({ cpus, nodes, cpusAllocated }) => cpus * nodes.length - cpusAllocated)
  return `${allocated}/${free}/${all - allocated - free}/${all}`
}

/** A node that nobody hears of carries a star. */
function star({ responding }: SlurmNodes): string {
  return responding === false ? '*' : ''
}
