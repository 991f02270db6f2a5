/** Slurm's hands: sbatch and scancel, at the box of a site. */
import os from 'node:os'
import type { Command, Flag } from '../command.ts'
import { EXIT } from '../exit.ts'
import type { CliPorts } from '../ports.ts'
import { BATCH_FLAGS, batchAt } from './batch-views.ts'

export const CHOICE_FLAGS = {
  partition: { type: 'string', short: 'p', placeholder: 'QUEUES', help: 'of these queues only' },
  user: { type: 'string', short: 'u', placeholder: 'USERS', help: 'of these people only; git: what Git brought' },
  jobs: { type: 'string', short: 'j', placeholder: 'JOBS', help: 'these jobs only' },
  name: { type: 'string', short: 'n', placeholder: 'NAMES', help: 'jobs of these names only' },
} as const

const sbatch: Command<CliPorts> = {
  name: 'sbatch',
  group: 'Batch',
  summary: 'Submit a batch script at this box; its #SBATCH lines are read as Slurm reads them',
  words: { name: 'OPTIONS, SCRIPT and ARGUMENTS', help: 'as of sbatch; --data DIR for the store of the agent' },
  async run(words, _flags, ports, io) {
    const own = ownWords(words)
    const { file, options, args } = splitSbatch(own.rest)
    const script = await ports.script(file)
    const name = file === undefined ? 'sbatch' : (file.split('/').at(-1) ?? file)
    const user = os.userInfo().username
    await using site = await batchAt(own.data, ports)
    const answer = await site.ask({ op: 'submit', script, name, options, args, user })
    const refused = answer['refused'] as readonly string[] | undefined
    if (refused !== undefined) {
      for (const because of refused) io.err(`sbatch: error: ${because}`)
      io.err('sbatch: error: Batch job submission failed')
      return EXIT.failed
    }
    for (const note of answer['notes'] as readonly string[]) io.err(`sbatch: ${note}`)
    const isBare = options.includes('--parsable')
    const job = answer['job'] as string
    io.out(isBare ? job : `Submitted batch job ${job}`)
    return EXIT.ok
  },
}

/** `--data DIR` and `--data=DIR` are ours and not sbatch's. */
function ownWords(words: readonly string[]): { readonly data: string | undefined; readonly rest: readonly string[] } {
  const at = words.findIndex((word) => word === '--data' || word.startsWith('--data='))
  const script = words.findIndex((word, i) => !word.startsWith('-') && !takesValue(words[i - 1]))
  if (at < 0 || (script >= 0 && script < at)) return { data: undefined, rest: words }
  const [, attached] = (words[at] as string).split('=', 2)
  const count = attached === undefined ? 2 : 1
  return { data: attached ?? words[at + 1], rest: [...words.slice(0, at), ...words.slice(at + count)] }
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
  summary: 'End jobs at this box: by name, element of an array, user, queue or state',
  words: { name: 'JOBS', help: 'train, sweep_3, sweep_[1-4]' },
  flags: {
    user: CHOICE_FLAGS.user,
    partition: CHOICE_FLAGS.partition,
    name: CHOICE_FLAGS.name,
    state: { type: 'string', short: 't', placeholder: 'STATE', help: 'PENDING, RUNNING or SUSPENDED' },
    verbose: { type: 'switch', short: 'v', help: 'say which were ended' },
    data: DATA_FLAG,
  },
  async run(jobs, flags, ports, io) {
    const text = (name: string): string | null => {
      const value = flags[name]
      return typeof value === 'string' ? value : null
    }
    await using site = await batchAt(text('data') ?? undefined, ports)
    const answer = await site.ask({
      op: 'cancel',
      jobs,
      user: text('user'),
      partition: text('partition'),
      state: text('state'),
      name: text('name'),
    })
    const unknown = answer['unknown'] as readonly string[]
    for (const job of unknown) io.err(`scancel: error: Kill job error on job id ${job}: Invalid job id specified`)
    if (flags['verbose'] === true)
      for (const job of answer['cancelled'] as readonly string[]) io.err(`scancel: Terminating job ${job}`)
    return unknown.length > 0 ? EXIT.difference : EXIT.ok
  },
}

export const SLURM_WORDS: readonly Command<CliPorts>[] = [sbatch, scancel]
