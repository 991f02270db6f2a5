/** Slurm's hands: sbatch and scancel, at the box of a site, or at sites through the hub. */
import os from 'node:os'
import type { JsonObject } from '../../core/model/json.ts'
import { ASK_FLAGS, askSites, type Whom, whomOf, whose } from '../asking.ts'
import type { Command, Flag, Io, Values } from '../command.ts'
import { EXIT, type ExitCode } from '../exit.ts'
import type { CliPorts } from '../ports.ts'
import { BATCH_FLAGS, batchAt } from './batch-views.ts'
import { connect, HUB_FLAGS } from './observe.ts'

export const CHOICE_FLAGS = {
  partition: { type: 'string', short: 'p', placeholder: 'QUEUES', help: 'of these queues only' },
  user: { type: 'string', short: 'u', placeholder: 'USERS', help: 'of these people only; git: what Git brought' },
  jobs: { type: 'string', short: 'j', placeholder: 'JOBS', help: 'these jobs only' },
  name: { type: 'string', short: 'n', placeholder: 'NAMES', help: 'jobs of these names only' },
} as const

const sbatch: Command<CliPorts> = {
  name: 'sbatch',
  group: 'Batch',
  summary:
    'Submit a batch script at this box, or with -M SITE at a site; its #SBATCH lines are read as Slurm reads them',
  words: {
    name: 'OPTIONS, SCRIPT and ARGUMENTS',
    help: 'as of sbatch; -M SITE, or --selector LABELS for each of many, --timeout, --hub and --token for a site through the hub; --data DIR for the store of the agent',
  },
  async run(words, _flags, ports, io) {
    const own = ownWords(words)
    const { file, options, args } = splitSbatch(own.rest)
    const script = await ports.script(file)
    const name = file === undefined ? 'sbatch' : (file.split('/').at(-1) ?? file)
    const isBare = options.includes('--parsable')
    const whom = whomOf(own.flags, io)
    if (whom === undefined) return EXIT.failed
    if (whom !== null) return submitThere({ script, name, options, args }, whom, own.flags, isBare, ports, io)
    const user = os.userInfo().username
    await using site = await batchAt(own.flags['data'], ports)
    const answer = await site.ask({ op: 'submit', script, name, options, args, user })
    const job = submitted(answer, io)
    if (job === undefined) return EXIT.failed
    io.out(isBare ? job : `Submitted batch job ${job}`)
    return EXIT.ok
  },
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

/** Slurm's -M takes the one cluster of several that would begin first: here one is named, and labels mean each. */
async function submitThere(
  script: JsonObject,
  whom: Whom,
  flags: Values,
  isBare: boolean,
  ports: CliPorts,
  io: Io,
): Promise<ExitCode> {
  if ((whom.sites?.length ?? 1) > 1) {
    io.err('sbatch: error: -M names one site; --selector LABELS submits it at each')
    return EXIT.failed
  }
  const { done, code } = await askSites(await connect(ports, flags), 'sbatch', script, whom, io)
  let failed = false
  for (const { sites, count, said } of done) {
    const job = submitted(said, io)
    if (job === undefined) failed = true
    else if (isBare) for (const site of sites) io.out(`${job};${site}`)
    else io.out(`Submitted batch job ${job} on ${count === 1 ? `cluster ${sites[0]}` : whose({ sites, count })}`)
  }
  return code === EXIT.ok && failed ? EXIT.failed : code
}

/** Options that are ours and not sbatch's, as far as they stand before the script. */
const OWN: Readonly<Record<string, string>> = {
  '--data': 'data',
  '-M': 'clusters',
  '--clusters': 'clusters',
  '--selector': 'selector',
  '--timeout': 'timeout',
  '--hub': 'hub',
  '--token': 'token',
}

function ownWords(words: readonly string[]): {
  readonly flags: Readonly<Record<string, string>>
  readonly rest: readonly string[]
} {
  const flags: Record<string, string> = {}
  const rest: string[] = []
  let i = 0
  while (i < words.length) {
    const word = words[i] as string
    if (!word.startsWith('-')) break
    const [name, attached] = word.startsWith('--') ? splitOnce(word) : [word.slice(0, 2), word.slice(2) || undefined]
    const own = OWN[name]
    const takes = own === undefined ? takesValue(word) : attached === undefined
    const next = words[i + 1]
    if (own !== undefined) flags[own] = attached ?? next ?? ''
    else rest.push(word, ...(takes && next !== undefined ? [next] : []))
    i += takes ? 2 : 1
  }
  return { flags, rest: [...rest, ...words.slice(i)] }
}

function splitOnce(word: string): readonly [string, string | undefined] {
  const at = word.indexOf('=')
  return at < 0 ? [word, undefined] : [word.slice(0, at), word.slice(at + 1)]
}

/** Options that stand alone; all others of sbatch take the word that follows, unless they carry their value. */
const ALONE =
  /^(?:--(?:hold|no-kill|overcommit|quiet|oversubscribe|verbose|wait|exclusive|requeue|no-requeue|parsable|test-only|contiguous|spread-job|use-min-nodes|reboot|ignore-pbs|get-user-env|nice)|-[HkOQsvW]|-[A-Za-z].+|--[^=]+=.*)$/

function takesValue(word: string | undefined): boolean {
  return word !== undefined && word.startsWith('-') && !ALONE.test(word)
}

function splitSbatch(words: readonly string[]): {
  readonly file: string | undefined
  readonly options: readonly string[]
  readonly args: readonly string[]
} {
  const at = words.findIndex((word, i) => !word.startsWith('-') && !takesValue(words[i - 1]))
  if (at < 0) return { file: undefined, options: words, args: [] }
  return { file: words[at], options: words.slice(0, at), args: words.slice(at + 1) }
}

const DATA_FLAG: Flag = BATCH_FLAGS.data

const scancel: Command<CliPorts> = {
  name: 'scancel',
  group: 'Batch',
  summary: 'End jobs at this box, or with -M at sites: by name, element of an array, user, queue or state',
  words: { name: 'JOBS', help: 'train, sweep_3, sweep_[1-4]' },
  flags: {
    user: CHOICE_FLAGS.user,
    partition: CHOICE_FLAGS.partition,
    name: CHOICE_FLAGS.name,
    state: { type: 'string', short: 't', placeholder: 'STATE', help: 'PENDING, RUNNING or SUSPENDED' },
    verbose: { type: 'switch', short: 'v', help: 'say which were ended' },
    data: DATA_FLAG,
    ...ASK_FLAGS,
    ...HUB_FLAGS,
  },
  async run(jobs, flags, ports, io) {
    const text = (name: string): string | null => {
      const value = flags[name]
      return typeof value === 'string' ? value : null
    }
    const whom = whomOf(flags, io)
    if (whom === undefined) return EXIT.failed
    const cancel = {
      jobs,
      user: text('user'),
      partition: text('partition'),
      state: text('state'),
      name: text('name'),
    }
    if (whom === null) {
      await using site = await batchAt(text('data') ?? undefined, ports)
      return cancelled(await site.ask({ op: 'cancel', ...cancel }), '', flags, io)
    }
    const { done, code } = await askSites(await connect(ports, flags), 'scancel', cancel, whom, io)
    const codes = done.map((one) => cancelled(one.said, ` on ${whose(one)}`, flags, io))
    return code === EXIT.ok ? (codes.find((one) => one !== EXIT.ok) ?? EXIT.ok) : code
  },
}

function cancelled(answer: JsonObject, where: string, flags: Values, io: Io): ExitCode {
  const unknown = answer['unknown'] as readonly string[]
  for (const job of unknown) io.err(`scancel: error: Kill job error on job id ${job}${where}: Invalid job id specified`)
  if (flags['verbose'] === true)
    for (const job of answer['cancelled'] as readonly string[]) io.err(`scancel: Terminating job ${job}${where}`)
  return unknown.length > 0 ? EXIT.difference : EXIT.ok
}

export const SLURM_WORDS: readonly Command<CliPorts>[] = [sbatch, scancel]
