import type { Fleet, ParsedFleet, RenderedFleet, SourceTree } from '../../core/fleet/types.ts'
import { Fault } from '../../core/model/fault.ts'
import { formatProblem, type Problem } from '../../core/model/problem.ts'
import type { Command, Io, Values } from '../command.ts'
import { EXIT, type ExitCode } from '../exit.ts'
import { formatOf } from '../output.ts'
import type { CliPorts } from '../ports.ts'

export const ROOT_FLAG = {
  type: 'string',
  placeholder: 'DIR',
  help: 'folder of flotilla.yaml inside the repository',
  default: '',
} as const
/** Beyond this a list of errors helps nobody; the count says what is left. */
const MOST_PROBLEMS = 50

interface Read {
  readonly parsed: ParsedFleet
  readonly rendered: RenderedFleet | null
  readonly problems: readonly Problem[]
}

/** Parsers and schemas are loaded here and not with the command table: `--help` must not pay for them. */
export async function read(dir: string, root: string, ports: CliPorts): Promise<Read> {
  const { createFleetCache, parseFleet } = await import('../../core/fleet/parse.ts')
  const { renderFleet } = await import('../../core/fleet/render.ts')
  let tree: SourceTree
  try {
    tree = await ports.folder(dir)
  } catch (error) {
    return { parsed: { fleet: null, problems: [] }, rendered: null, problems: [problemOf(error)] }
  }
  const cache = createFleetCache()
  const parsed = parseFleet(tree, { root, revision: 'work tree', cache })
  const rendered = parsed.fleet === null ? null : renderFleet(parsed.fleet, tree, cache)
  return { parsed, rendered, problems: [...parsed.problems, ...(rendered?.problems ?? [])] }
}

/** What no hub takes of a folder, at its path. Other faults are thrown on. */
function problemOf(error: unknown): Problem {
  const { path, why } = error instanceof Fault ? (error.facts ?? {}) : {}
  if (!(error instanceof Fault) || typeof path !== 'string') throw error
  const place = { file: path, line: 1, column: 1 }
  return { code: error.reason, severity: 'error', place, path: '', message: String(why) }
}

const lint: Command<CliPorts> = {
  name: 'lint',
  group: 'Author',
  summary: 'Check a fleet folder: every error with its place and the next step',
  arguments: [{ name: 'DIR', help: 'the repository, the current folder by default', optional: true }],
  flags: {
    root: ROOT_FLAG,
    output: { type: 'string', short: 'o', help: 'text or json', default: 'text' },
    notices: { type: 'switch', help: 'show notices as well' },
  },
  async run([dir = '.'], flags, ports, io) {
    const format = formatOf(flags, io)
    if (format === undefined) return EXIT.failed
    const { parsed, rendered, problems } = await read(dir, String(flags['root'] ?? ''), ports)
    const errors = problems.filter(({ severity }) => severity === 'error')
    if (format === 'json') {
      io.out(JSON.stringify({ formatVersion: 1, problems }, null, 2))
    } else {
      const shown = problems.filter(({ severity }) => severity !== 'notice' || flags['notices'] === true)
      for (const problem of shown.slice(0, MOST_PROBLEMS)) io.out(`${formatProblem(problem)}\n`)
      if (shown.length > MOST_PROBLEMS) io.out(`… and ${shown.length - MOST_PROBLEMS} more\n`)
      io.out(summary(parsed.fleet, rendered, problems))
    }
    return errors.length > 0 ? EXIT.lint : EXIT.ok
  },
}

function summary(fleet: Fleet | null, rendered: RenderedFleet | null, problems: readonly Problem[]): string {
  const count = (severity: Problem['severity']): number =>
    problems.filter((problem) => problem.severity === severity).length
  const found = `${count('error')} errors, ${count('warning')} warnings, ${count('notice')} notices`
  if (fleet === null) return `${found}. No revision with these errors is ever taken: the previous one stays.`
  const releases = rendered === null ? 0 : rendered.releases.size
  return `${found}. ${fleet.sites.size} sites, ${fleet.workloads.size} workloads, ${releases} releases.`
}

const render: Command<CliPorts> = {
  name: 'render',
  group: 'Author',
  summary: 'The manifests that one site gets, as they would be applied',
  arguments: [{ name: 'SITE', help: 'site name' }],
  flags: {
    workload: { type: 'string', short: 'w', placeholder: 'WORKLOAD', help: 'only this workload' },
    dir: { type: 'string', placeholder: 'DIR', help: 'the repository', default: '.' },
    root: ROOT_FLAG,
    output: { type: 'string', short: 'o', help: 'yaml, json or name', default: 'yaml' },
  },
  async run([site = ''], flags, ports, io) {
    const format = formatOf(flags, io)
    if (format === undefined) return EXIT.failed
    const { parsed, rendered, problems } = await read(String(flags['dir']), String(flags['root'] ?? ''), ports)
    if (parsed.fleet === null || rendered === null) return failWith(problems, io)
    if (!parsed.fleet.sites.has(site)) {
      io.err(
        `error NotFound: no site ${site} in this fleet\n  next  \`flotilla lint\` counts the sites; names stand in metadata.name of the Site files`,
      )
      return EXIT.failed
    }
    return printSite(site, flags, format, rendered, problems, io)
  },
}

async function printSite(
  site: string,
  flags: Values,
  format: string,
  rendered: RenderedFleet,
  problems: readonly Problem[],
  io: Io,
): Promise<ExitCode> {
  const { renderSite } = await import('../../core/fleet/render.ts')
  const { stringify } = await import('yaml')
  const manifests = renderSite(rendered, site, flags['workload'] as string | undefined)
  for (const { workload, manifest, sealed } of manifests) {
    if (format === 'name') io.out(`${manifest.kind.toLowerCase()}/${manifest.metadata.name}`)
    else if (format === 'json') io.out(JSON.stringify(manifest))
    else
      io.out(
        `---\n# workload ${workload}${sealed ? ', encrypted: travels as its original bytes' : ''}\n${stringify(manifest).trimEnd()}`,
      )
  }
  const held = rendered.held.filter(({ sites }) => sites === null || sites.includes(site))
  for (const { problem } of held) io.err(formatProblem(problem))
  if (manifests.length === 0 && held.length === 0) io.err(`notice: no workload targets ${site}`)
  return held.length > 0 ? failWith(problems, io) : EXIT.ok
}

export function failWith(problems: readonly Problem[], io: Io): ExitCode {
  const errors = problems.filter(({ severity }) => severity === 'error')
  for (const problem of errors.slice(0, MOST_PROBLEMS)) io.err(formatProblem(problem))
  return EXIT.lint
}

const commit: Command<CliPorts> = {
  name: 'commit',
  group: 'Author',
  summary: 'Commit all changes of a folder, where the git program is not at hand',
  arguments: [{ name: 'DIR', help: 'the repository' }],
  flags: { message: { type: 'string', short: 'm', placeholder: 'TEXT', help: 'what and why' } },
  async run([dir = '.'], flags, ports, io) {
    if (typeof flags['message'] !== 'string') {
      io.err('error: -m is missing: say what changes and why')
      return EXIT.failed
    }
    io.out(await ports.commit(dir, flags['message']))
    return EXIT.ok
  },
}

export const AUTHOR: readonly Command<CliPorts>[] = [lint, render, commit]
