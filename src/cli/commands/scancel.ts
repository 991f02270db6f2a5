/** scancel, at the box of a site, or at sites through the hub. */
import os from 'node:os'
import type { JsonObject } from '../../core/model/json.ts'
import { ASK_FLAGS, askSites, whomOf, whose } from '../asking.ts'
import type { Command, Io, Values } from '../command.ts'
import { EXIT, type ExitCode } from '../exit.ts'
import type { CliPorts } from '../ports.ts'
import { BATCH_FLAGS, batchAt } from './batch-views.ts'
import { connect, HUB_FLAGS } from './observe.ts'
import { CHOICE_FLAGS } from './slurm-flags.ts'

export const scancel: Command<CliPorts> = {
  name: 'scancel',
  group: 'Batch',
  summary: 'End jobs at this box, or with -M at sites: by name, element of an array, user, queue or state',
  words: { name: 'JOBS', help: 'train, sweep_3, sweep_[1-4]' },
  flags: {
    user: CHOICE_FLAGS.user,
    partition: CHOICE_FLAGS.partition,
    name: CHOICE_FLAGS.name,
    me: { type: 'switch', help: 'what I submitted' },
    state: { type: 'string', short: 't', placeholder: 'STATES', help: 'PENDING, RUNNING or SUSPENDED' },
    nodelist: { type: 'string', short: 'w', placeholder: 'NODES', help: 'jobs on these nodes only' },
    signal: { type: 'string', short: 's', placeholder: 'SIGNAL', help: 'TERM or KILL: pods are told to end, and end' },
    batch: { type: 'switch', short: 'b', help: 'taken; a job has no steps' },
    full: { type: 'switch', short: 'f', help: 'taken; a job has no steps' },
    quiet: { type: 'switch', short: 'Q', help: 'say nothing of jobs that are not there' },
    verbose: { type: 'switch', short: 'v', help: 'say which were ended' },
    data: BATCH_FLAGS.data,
    ...ASK_FLAGS,
    ...HUB_FLAGS,
  },
  async run(jobs, flags, ports, io) {
    const text = (name: string): string | null => {
      const value = flags[name]
      return typeof value === 'string' ? value : null
    }
    const signal = text('signal')
    if (signal !== null && !/^(?:SIG)?(?:TERM|KILL)$|^(?:9|15)$/i.test(signal)) {
      io.err(`scancel: error: ${signal} cannot be sent: pods are told to end, or are stopped by flotilla job suspend`)
      return EXIT.failed
    }
    const whom = whomOf(flags, io)
    if (whom === undefined) return EXIT.failed
    const cancel = {
      jobs,
      nodes: text('nodelist'),
      user: flags['me'] === true ? os.userInfo().username : text('user'),
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
  if (flags['quiet'] !== true)
    for (const job of unknown)
      io.err(`scancel: error: Kill job error on job id ${job}${where}: Invalid job id specified`)
  if (flags['verbose'] === true)
    for (const job of answer['cancelled'] as readonly string[]) io.err(`scancel: Terminating job ${job}${where}`)
  return unknown.length > 0 ? EXIT.difference : EXIT.ok
}
