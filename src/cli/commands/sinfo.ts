/** sinfo: queues and nodes, with Slurm's options as far as they mean something here. */
import type { SlurmNodes } from '../../core/batch/slurm-columns.ts'
import {
  eachNode, type Formatted, formatSinfo, SINFO_DEFAULT, SINFO_LONG, SINFO_NODES, SINFO_NODES_LONG, SINFO_REASONS, SINFO_REASONS_LONG,
  SINFO_SUMMARY,
} from '../../core/batch/slurm-format.ts' // prettier-ignore
import { sinfoJson } from '../../core/batch/slurm-json.ts'
import { nodesInOrder } from '../../core/batch/slurm-sort.ts'
import { formatStamp } from '../../core/batch/slurm-time.ts'
import type { BatchView } from '../../core/batch/view.ts'
import type { Command, Io, Values } from '../command.ts'
import { EXIT } from '../exit.ts'
import type { CliPorts } from '../ports.ts'
import { BATCH_FLAGS, batchViews } from './batch-views.ts'
import { CHOICE_FLAGS, FORMAT_FLAGS, headerOf, hostsOf, layoutOf, listOf, printEach, printJson } from './slurm-flags.ts'

const { sort: _sort, ...SHOWN } = FORMAT_FLAGS

export const sinfo: Command<CliPorts> = {
  name: 'sinfo',
  group: 'Batch',
  summary: 'Queues and nodes, as Slurm shows them',
  flags: {
    partition: CHOICE_FLAGS.partition,
    states: { type: 'string', short: 't', placeholder: 'STATES', help: 'nodes in these states only' },
    nodes: { type: 'string', short: 'n', placeholder: 'NODES', help: 'these nodes only' },
    Node: { type: 'switch', short: 'N', help: 'a line for each node' },
    summarize: { type: 'switch', short: 's', help: 'a line for each queue' },
    'list-reasons': { type: 'switch', short: 'R', help: 'why nodes are down or drained' },
    exact: { type: 'switch', short: 'e', help: 'nodes of other sizes have lines of their own' },
    dead: { type: 'switch', short: 'd', help: 'only nodes that nobody hears of' },
    responding: { type: 'switch', short: 'r', help: 'only nodes that are heard of' },
    all: { type: 'switch', short: 'a', help: 'taken; no queue is hidden' },
    ...SHOWN,
    ...BATCH_FLAGS,
  },
  async run(_args, flags, ports, io) {
    const shown = choose(flags, io)
    if (shown === undefined) return EXIT.failed
    const rows = (view: BatchView): readonly SlurmNodes[] => nodesInOrder(view.nodes.flatMap(shown))
    const views = await batchViews(flags, ports, (view) => rows(view).length > 0)
    if (flags['json'] === true) return printJson(views, io, sinfoJson(views.sites.flatMap(rows)))
    return printEach(views, io, (view) => show(rows(view), view, flags))
  },
}

const WORDS: Readonly<Record<string, readonly SlurmNodes['state'][]>> = {
  idle: ['idle'],
  alloc: ['allocated', 'mixed'],
  allocated: ['allocated', 'mixed'],
  mix: ['mixed'],
  mixed: ['mixed'],
  down: ['down'],
  drain: ['drained', 'draining'],
  drained: ['drained'],
  drng: ['draining'],
  draining: ['draining'],
}

/** What of a row is shown; undefined after saying what is wrong. */
function choose(flags: Values, io: Io): ((row: SlurmNodes) => readonly SlurmNodes[]) | undefined {
  const hosts = hostsOf(flags, 'nodes', io)
  if (hosts === undefined) return undefined
  const partitions = listOf(flags, 'partition')
  const words = listOf(flags, 'states')?.map((word) => word.toLowerCase())
  const unknown = words?.find((word) => word !== 'all' && !Object.hasOwn(WORDS, word))
  if (unknown !== undefined) {
    io.err(`error: Bad state string: ${unknown}; states are ${Object.keys(WORDS).join(', ')}`)
    return undefined
  }
  const states =
    words === undefined || words.includes('all') ? null : new Set(words.flatMap((word) => WORDS[word] ?? []))
  const isReasons = flags['list-reasons'] === true
  return (row) => {
    const isShown =
      (partitions?.includes(row.partition) ?? true) &&
      (states?.has(row.state) ?? true) &&
      (!isReasons || row.reason !== '') &&
      (flags['dead'] !== true || row.responding === false) &&
      (flags['responding'] !== true || row.responding !== false)
    if (!isShown) return []
    return hosts === null ? [row] : eachNode(row).filter(({ nodes: [node = ''] }) => hosts.has(node))
  }
}

function show(rows: readonly SlurmNodes[], view: BatchView, flags: Values): Formatted {
  const { timeZone } = view
  const isEach = flags['Node'] === true
  const isLong = flags['long'] === true
  const layout = layoutOf(flags, { format: presetOf(flags, isEach, isLong) })
  const each = isEach ? rows.flatMap(eachNode).toSorted((a, b) => (a.nodes[0] ?? '').localeCompare(b.nodes[0] ?? '', 'en', { numeric: true })) : rows // prettier-ignore
  const shown = formatSinfo(each, layout, {
    timeZone,
    header: headerOf(flags),
    grouping: flags['exact'] === true ? 'exact' : 'loose',
    lines: isEach ? 'nodes' : 'groups',
  })
  return shown.ok && isLong ? { ok: true, text: `${formatStamp(view.asOfMs, timeZone)}\n${shown.text}` } : shown
}

function presetOf(flags: Values, isEach: boolean, isLong: boolean): string {
  if (flags['list-reasons'] === true) return isLong ? SINFO_REASONS_LONG : SINFO_REASONS
  if (flags['summarize'] === true) return SINFO_SUMMARY
  if (isEach) return isLong ? SINFO_NODES_LONG : SINFO_NODES
  return isLong ? SINFO_LONG : SINFO_DEFAULT
}
