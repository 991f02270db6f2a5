/** Builds the shell's view of the commands with commander. Nothing heavy is imported here: `--help` must answer at once. */
import { Command as Commander, CommanderError, InvalidArgumentError, Option } from 'commander'
import { Fault } from '../core/model/fault.ts'
import type { Command, Flag, Io, Values } from './command.ts'
import { EXIT, type ExitCode } from './exit.ts'

const GROUPS = ['Try', 'Author', 'Observe', 'Operate', 'Batch', 'Sites', 'Run'] as const

/** Runs the command that `argv` (without node and script) names. */
export async function runProgram<P>(
  commands: readonly Command<P>[],
  argv: readonly string[],
  version: string,
  ports: P,
  io: Io,
): Promise<ExitCode> {
  let code: ExitCode = EXIT.ok
  const program = new Commander('flotilla')
    .description('GitOps fleet manager: one Git repository, thousands of Kubernetes sites')
    .version(version, '-V, --version')
    .exitOverride()
    .configureOutput({ writeOut: (text) => io.out(text.trimEnd()), writeErr: (text) => io.err(text.trimEnd()) })
    .helpCommand(false)
    // `agent` does something by itself and has commands below it: a flag belongs to the word before it.
    .enablePositionalOptions()
    .showHelpAfterError('(flotilla --help shows the commands)')
  for (const group of GROUPS) {
    for (const command of commands.filter((candidate) => candidate.group === group)) {
      add(program, group, command, async (args, flags) => {
        code = await command.run(args, flags, ports, io)
      })
    }
  }
  try {
    await program.parseAsync(argv, { from: 'user' })
    return code
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.failed
    io.err(describeFault(error))
    return EXIT.failed
  }
}

function add<P>(
  program: Commander,
  group: string,
  command: Command<P>,
  run: (args: string[], flags: Values) => Promise<void>,
): void {
  const words = command.name.split(' ')
  let parent = program
  for (const word of words.slice(0, -1)) {
    parent = parent.commands.find((candidate) => candidate.name() === word) ?? groupCommand(parent, word, group)
  }
  const made = parent
    .command(words.at(-1) as string)
    .description(command.summary)
    .helpGroup(`${group}:`)
    .exitOverride()
  made.configureOutput(program.configureOutput())
  made.enablePositionalOptions()
  for (const { name, help, optional } of command.arguments ?? [])
    made.argument(optional === true ? `[${name}]` : `<${name}>`, help)
  if (command.words !== undefined) {
    made.argument('[words...]', `${command.words.name}: ${command.words.help}`)
    if (command.flags === undefined) made.allowUnknownOption().passThroughOptions()
  }
  for (const [name, flag] of Object.entries(command.flags ?? {})) made.addOption(optionOf(name, flag))
  made.action(async (...all: unknown[]) => {
    const flags = flagsOf(command, made)
    const args = all
      .slice(0, -2)
      .flat()
      .filter((value) => typeof value === 'string')
    await run(args, flags)
  })
}

function groupCommand(parent: Commander, word: string, group: string): Commander {
  return parent
    .command(word)
    .description(WORDS[word] ?? word)
    .helpGroup(`${group}:`)
    .helpCommand(false)
    .enablePositionalOptions()
    .exitOverride()
}

/** First words of commands that are nothing by themselves. */
const WORDS: Readonly<Record<string, string>> = {
  get: 'List sites, workloads or rollouts',
  rollout: 'Look at and steer rollouts',
  token: 'Tokens for sites and people',
  queue: 'Batch queues',
  job: 'Batch jobs',
}

/** By the names that commands give them: commander answers in camel case. */
function flagsOf<P>(command: Command<P>, made: Commander): Values {
  return Object.fromEntries(
    Object.keys(command.flags ?? {}).map((name) => [
      name,
      made.getOptionValue(name.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())) as Values[string],
    ]),
  )
}

function optionOf(name: string, flag: Flag): Option {
  const short = flag.short === undefined ? '' : `-${flag.short}, `
  const placeholder = flag.type === 'switch' ? '' : ` <${flag.placeholder ?? name}>`
  const option = new Option(`${short}--${name}${placeholder}`, flag.help)
  if (flag.default !== undefined) option.default(flag.default)
  if (flag.type === 'number') {
    option.argParser((text) => {
      const value = Number(text)
      if (!Number.isFinite(value)) throw new InvalidArgumentError(`found ${text}, expected a number`)
      return value
    })
  }
  if (flag.type === 'list') option.argParser((text: string, before: string[] | undefined) => [...(before ?? []), text])
  return option
}

/** A fault for people: what, why it happened, what to do. */
export function describeFault(error: unknown): string {
  if (!(error instanceof Fault))
    return `error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`
  const next = NEXT[error.reason]
  return `error ${error.reason}: ${error.message}${next === undefined ? '' : `\n  next  ${next}`}`
}

const NEXT: Readonly<Partial<Record<Fault['reason'], string>>> = {
  Unreachable: 'is the hub running? give --hub URL, or set FLOTILLA_HUB',
  Unauthorized: 'give a token: --token, FLOTILLA_TOKEN, or the context file that `flotilla hub` writes',
  Forbidden: 'ask for a token with a role that may do this',
  NotFound: '`flotilla get sites` and `flotilla get workloads` list what there is',
}
