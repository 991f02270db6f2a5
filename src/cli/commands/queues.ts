/** Queues and jobs in the words of Volcano's people. */
import type { BatchView, QueueRowView } from '../../core/batch/view.ts'
import { SLURM_STATES } from '../../core/batch/slurm-state.ts'
import { formatUsed } from '../../core/batch/slurm-time.ts'
import type { BatchAsk } from '../../core/batch/ask.ts'
import { ASK_FLAGS, askSites, whomOf, whose } from '../asking.ts'
import { type Command, type Io, OUTPUT_FLAG, type Values } from '../command.ts'
import { EXIT, type ExitCode } from '../exit.ts'
import { formatOf, print, table } from '../output.ts'
import type { CliPorts } from '../ports.ts'
import { BATCH_FLAGS, batchAt, batchViews } from './batch-views.ts'
import { connect, HUB_FLAGS } from './observe.ts'

type Row = QueueRowView & { readonly site: string }

function rowsOf(sites: readonly BatchView[]): readonly Row[] {
  return sites.flatMap(({ site, queues }) => queues.map((queue) => ({ ...queue, site })))
}

const list: Command<CliPorts> = {
  name: 'queue list',
  group: 'Batch',
  summary: 'Batch queues: their weight, state, and how many jobs wait and run',
  flags: { output: OUTPUT_FLAG, ...BATCH_FLAGS },
  async run(_args, flags, ports, io) {
    const format = formatOf(flags, io)
    if (format === undefined) return EXIT.failed
    const views = await batchViews(flags, ports, ({ queues }) => queues.length > 0)
    if (views.more > 0) io.err(`${views.more} more sites; name them with -M, or raise --limit`)
    return print(rowsOf(views.sites), format, io, {
      text: (rows) => listText(rows, views.several),
      name: (rows) => rows.map(({ name }) => `queue/${name}`),
    })
  },
}

function listText(rows: readonly Row[], several: boolean): string {
  const head = ['NAME', 'PARENT', 'WEIGHT', 'STATE', 'PENDING', 'RUNNING']
  const cells = rows.map((row) => [
    ...(several ? [row.site] : []),
    row.name,
    row.parent ?? '-',
    String(row.weight),
    stateText(row),
    String(row.pending),
    String(row.running),
  ])
  return table(several ? ['SITE', ...head] : head, cells)
}

function stateText({ state, by, because }: QueueRowView): string {
  const why = [...(by === null ? [] : [`by ${by}`]), ...(because === '' ? [] : [because])].join(', ')
  return why === '' ? state : `${state} (${why})`
}

const describe: Command<CliPorts> = {
  name: 'queue describe',
  group: 'Batch',
  summary: 'One queue: its shares, limits, and who holds it',
  arguments: [{ name: 'QUEUE', help: 'its name' }],
  flags: { output: OUTPUT_FLAG, ...BATCH_FLAGS },
  async run([name = ''], flags, ports, io) {
    const format = formatOf(flags, io)
    if (format === undefined) return EXIT.failed
    const views = await batchViews(flags, ports, ({ queues }) => queues.some((queue) => queue.name === name))
    const rows = rowsOf(views.sites).filter((row) => row.name === name)
    if (rows.length === 0) {
      io.err(`error NotFound: there is no queue ${name}`)
      return EXIT.failed
    }
    return print(rows, format, io, {
      text: (found) => found.map(describeText).join('\n\n'),
      name: (found) => found.map((row) => `queue/${row.name}`),
    })
  },
}

function describeText(row: Row): string {
  const amounts = (of: QueueRowView['deserved']): string =>
    Object.entries(of)
      .map(([resource, amount]) => `${resource} ${amount}`)
      .join(', ') || '-'
  const lines: readonly (readonly [string, string])[] = [
    ['Name', row.name],
    ['Site', row.site],
    ['Parent', row.parent ?? '-'],
    ['State', stateText(row)],
    ['Weight', String(row.weight)],
    ['Priority', String(row.priority)],
    ['Deserved', amounts(row.deserved)],
    ['Guarantee', amounts(row.guarantee)],
    ['Capability', amounts(row.capability)],
    ['Max running', row.maxRunning === null ? '-' : String(row.maxRunning)],
    ['Max time', row.maxTimeMs === null ? '-' : formatUsed(row.maxTimeMs)],
    ['Jobs', `${row.pending} pending, ${row.running} running`],
  ]
  return lines.map(([title, text]) => `${`${title}:`.padEnd(13)}${text}`).join('\n')
}

const WORD_FLAGS = { data: BATCH_FLAGS.data, ...ASK_FLAGS, ...HUB_FLAGS } as const

/** At this box, or at the sites that are named, through the hub. */
async function say(
  ask: Extract<BatchAsk, { op: 'queue' | 'job' }>,
  says: string,
  flags: Values,
  ports: CliPorts,
  io: Io,
): Promise<ExitCode> {
  const whom = whomOf(flags, io)
  if (whom === undefined) return EXIT.failed
  if (whom === null) {
    await using site = await batchAt(flags['data'] as string | undefined, ports)
    await site.ask(ask)
    io.out(says)
    return EXIT.ok
  }
  const { op, ...args } = ask
  const { done, code } = await askSites(await connect(ports, flags), op, args, whom, io)
  for (const one of done) io.out(`${whose(one)}: ${says}`)
  return code
}

function word(name: 'hold' | 'drain' | 'release', summary: string, says: string): Command<CliPorts> {
  return {
    name: `queue ${name}`,
    group: 'Batch',
    summary,
    arguments: [{ name: 'QUEUE', help: 'its name' }],
    flags: WORD_FLAGS,
    run: ([queue = ''], flags, ports, io) =>
      say({ op: 'queue', queue, word: name }, `queue ${queue} ${says}`, flags, ports, io),
  }
}

function jobWord(action: 'suspend' | 'resume', summary: string): Command<CliPorts> {
  return {
    name: `job ${action}`,
    group: 'Batch',
    summary,
    arguments: [{ name: 'JOB', help: 'its name' }],
    flags: WORD_FLAGS,
    run: ([job = ''], flags, ports, io) =>
      say({ op: 'job', job, action }, `job ${job} is told to ${action}`, flags, ports, io),
  }
}

const jobs: Command<CliPorts> = {
  name: 'get jobs',
  group: 'Batch',
  summary: 'Batch jobs of the fleet, those under way first',
  flags: { output: OUTPUT_FLAG, ...BATCH_FLAGS },
  async run(_args, flags, ports, io) {
    const format = formatOf(flags, io)
    if (format === undefined) return EXIT.failed
    const views = await batchViews(flags, ports, (view) => view.jobs.length > 0)
    if (views.more > 0) io.err(`${views.more} more sites; name them with -M, or raise --limit`)
    return print(
      views.sites.flatMap((view) => view.jobs),
      format,
      io,
      {
        text: (all) =>
          table(
            ['SITE', 'JOB', 'QUEUE', 'STATE', 'TIME', 'REASON'],
            all.map((job) => [
              job.cluster,
              job.arrayTask === null ? job.id : `${job.arrayJobId}_[${job.arrayTask}]`,
              job.partition,
              SLURM_STATES[job.code].toLowerCase(),
              formatUsed(job.usedMs),
              job.reason,
            ]),
          ),
        name: (all) => all.map(({ cluster, id }) => `${cluster}/${id}`),
      },
    )
  },
}

const release = word(
  'release',
  'At this box, or with -M at sites: take back hold and drain; what Git says of it stands',
  'is as Git says',
)

export const QUEUES: readonly Command<CliPorts>[] = [
  list,
  { ...list, name: 'get queues' },
  jobs,
  describe,
  word('hold', 'At this box, or with -M at sites: nothing new of the queue starts, what runs goes on', 'is held'),
  word(
    'drain',
    'At this box, or with -M at sites: nothing new starts, and what runs goes back to waiting',
    'is held and drained',
  ),
  release,
  { ...release, name: 'queue resume', summary: 'At this box, or with -M at sites: another word for `queue release`' },
  jobWord(
    'suspend',
    'At this box, or with -M at sites: end the pods of a job and keep it; `job resume` starts it again',
  ),
  jobWord('resume', 'At this box, or with -M at sites: let a suspended job start again'),
]
