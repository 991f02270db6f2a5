/** sbatch, at the box of a site, or at sites through the hub. */
import os from 'node:os'
import { hostList } from '../../core/batch/slurm-hosts.ts'
import { formatMoment } from '../../core/batch/slurm-time.ts'
import type { BatchView, PredictedView } from '../../core/batch/view.ts'
import type { JsonObject } from '../../core/model/json.ts'
import { askSites, pause, type Whom, whomOf, whose } from '../asking.ts'
import type { Command, Io, Values } from '../command.ts'
import { EXIT, type ExitCode } from '../exit.ts'
import type { BatchPort, CliPorts } from '../ports.ts'
import { batchAt } from './batch-views.ts'
import { earliest } from './earliest.ts'
import { connect } from './observe.ts'
import { ownWords, splitSbatch, wrapOf } from './sbatch-words.ts'
import { OVER } from './slurm-flags.ts'

export const sbatch: Command<CliPorts> = {
  name: 'sbatch',
  group: 'Batch',
  summary:
    'Submit a batch script at this box, or with -M SITE at a site; its #SBATCH lines are read as Slurm reads them',
  words: {
    name: 'OPTIONS, SCRIPT and ARGUMENTS',
    help: 'as of sbatch; -M SITES: at the one that would begin it first, or --selector LABELS: at each, --timeout, --hub and --token for a site through the hub; --data DIR for the store of the agent',
  },
  async run(words, _flags, ports, io) {
    const own = ownWords(words)
    const { file, options: given, args } = splitSbatch(own.rest)
    const wrapped = wrapOf(given)
    if (wrapped !== undefined && file !== undefined) {
      io.err('sbatch: error: Script arguments not permitted with --wrap option')
      return EXIT.failed
    }
    const waits = given.some(isWait)
    const options = (wrapped?.rest ?? given).filter((word) => !isWait(word))
    const script = wrapped?.script ?? (await ports.script(file))
    const name = wrapped === undefined ? (file?.split('/').at(-1) ?? 'sbatch') : 'wrap'
    const isBare = options.includes('--parsable')
    const whom = whomOf(own.flags, io)
    if (whom === undefined) return EXIT.failed
    if (whom !== null && waits) {
      io.err('sbatch: error: --wait is for the box where the job runs; squeue -M shows it from here')
      return EXIT.failed
    }
    if (whom !== null) return submitThere({ script, name, options, args }, whom, own.flags, isBare, ports, io)
    const user = os.userInfo().username
    await using site = await batchAt(own.flags['data'], ports)
    const answer = await site.ask({ op: 'submit', script, name, options, args, user })
    const job = submitted(answer, io)
    if (job === undefined) return EXIT.failed
    if (answer['predictions'] !== undefined) return tested(answer, io)
    io.out(isBare ? job : `Submitted batch job ${job}`)
    return waits ? awaitEnd(site, job, io) : EXIT.ok
  },
}

function isWait(word: string): boolean {
  return word === '--wait' || word === '-W'
}

const LOOK_MS = 1_000

/** Until all of it is over: 0 where it completed, 1 where it did not. */
async function awaitEnd(site: BatchPort, job: string, io: Io): Promise<ExitCode> {
  while (!io.signal.aborted) {
    const { jobs } = (await site.ask({ op: 'view' })) as unknown as BatchView
    const rows = jobs.filter(({ arrayJobId }) => arrayJobId === job)
    if (rows.every(({ code }) => OVER.has(code)))
      return rows.length > 0 && rows.every(({ code }) => code === 'CD') ? EXIT.ok : EXIT.difference
    await pause(io, LOOK_MS)
  }
  return EXIT.timeout
}

/** What --test-only says: when it would start, and where. */
function tested(answer: JsonObject, io: Io): ExitCode {
  const [found] = answer['predictions'] as unknown as readonly PredictedView[]
  const zone = answer['timeZone'] as string
  const job = answer['job'] as string
  if (found === undefined || found.fit === 'never') {
    for (const because of found?.because ?? []) io.err(`sbatch: ${because}`)
    io.err('sbatch: error: allocation failure: Requested node configuration is not available')
    return EXIT.difference
  }
  const nodes = hostList(found.places.map(({ node }) => node))
  const evicts = found.evict.length === 0 ? '' : ` after ${found.evict.length} pods gave way`
  io.err(
    `sbatch: Job ${job} to start at ${formatMoment(found.atMs ?? (answer['nowMs'] as number), zone)} on nodes ${nodes}${evicts}`,
  )
  return EXIT.ok
}

/** undefined after saying why not. */
function submitted(answer: JsonObject, io: Io): string | undefined {
  const refused = answer['refused'] as readonly string[] | undefined
  if (refused !== undefined) {
    for (const because of refused) io.err(`sbatch: error: ${because}`)
    io.err('sbatch: error: Batch job submission failed')
    return undefined
  }
  for (const note of answer['notes'] as readonly string[]) io.err(`sbatch: ${note}`)
  return answer['job'] as string
}

/** Of several that are named it is the one that would begin it first, as Slurm has it; labels mean each. */
async function submitThere(
  script: JsonObject,
  whom: Whom,
  flags: Values,
  isBare: boolean,
  ports: CliPorts,
  io: Io,
): Promise<ExitCode> {
  const hub = await connect(ports, flags)
  const first = (whom.sites?.length ?? 1) > 1 ? await earliest(hub, script, whom, io) : undefined
  if (first?.site === null) return first.code
  const there = first === undefined ? whom : { ...whom, sites: [first.site] }
  const { done, code } = await askSites(hub, 'sbatch', script, there, io)
  let failed = false
  for (const { sites, count, said } of done) {
    const job = submitted(said, io)
    if (job === undefined) failed = true
    else if (said['predictions'] !== undefined) failed ||= tested(said, io) !== EXIT.ok
    else if (isBare) for (const site of sites) io.out(`${job};${site}`)
    else io.out(`Submitted batch job ${job} on ${count === 1 ? `cluster ${sites[0]}` : whose({ sites, count })}`)
  }
  return code === EXIT.ok && failed ? EXIT.failed : code
}
