/** Looks into one site, or many, as they are now: asked there, through the hub or at the box. */
import { API_FORMAT, type SiteView } from '../../core/api/types.ts'
import { parseDuration } from '../../core/calendar/duration.ts'
import type { BatchView } from '../../core/batch/view.ts'
import { Fault } from '../../core/model/fault.ts'
import type { JsonObject } from '../../core/model/json.ts'
import { formatWaiting } from '../../core/model/state.ts'
import { ASK_FLAGS, type Asked, askSites, named, TIMEOUT_FLAG, whomOf, whose } from '../asking.ts'
import { type Command, type Io, OUTPUT_FLAG, type Values } from '../command.ts'
import { type DiffSaid, diffText, hasDifference } from '../diff-text.ts'
import { EXIT } from '../exit.ts'
import { formatOf, print } from '../output.ts'
import type { CliPorts } from '../ports.ts'
import { BATCH_FLAGS, batchAt } from './batch-views.ts'
import { connect, HUB_FLAGS } from './observe.ts'

const MOST_NAMED = 5
const BOX_FLAG = { ...BATCH_FLAGS.data, help: 'ask the agent of this box, by its store, and no hub' } as const

const diff: Command<CliPorts> = {
  name: 'diff',
  group: 'Observe',
  summary:
    'What differs at a site between desired and actual, now; exit 0: nothing, 1: something, 7: it did not answer',
  arguments: [{ name: 'SITE', help: 'site name', optional: true }],
  flags: {
    selector: ASK_FLAGS.selector,
    timeout: TIMEOUT_FLAG,
    output: OUTPUT_FLAG,
    data: BOX_FLAG,
    ...HUB_FLAGS,
  },
  async run([site], flags, ports, io) {
    const format = formatOf(flags, io)
    const found = format === undefined ? undefined : await looked('diff', {}, site, flags, ports, io)
    if (format === undefined || found === undefined) return EXIT.failed
    const all = found.done.map(({ sites, count, said }) => ({ sites, count, diff: said as unknown as DiffSaid }))
    if (all.length > 0)
      await print({ formatVersion: API_FORMAT, items: all }, format, io, {
        text: ({ items }) => items.map((one) => diffText(whose(one), one.diff)).join('\n\n'),
        name: ({ items }) => items.filter((one) => hasDifference(one.diff)).map((one) => named(one.sites, one.count)),
      })
    if (found.code !== EXIT.ok) return found.code
    const [one] = all
    if (flags['data'] === undefined && all.length === 1 && one?.count === 1) await sayAhead(one.sites[0] ?? '', flags, ports, io) // prettier-ignore
    return all.some((each) => hasDifference(each.diff)) ? EXIT.difference : EXIT.ok
  },
}

/** What Git means for the site and the hub did not tell it yet is no difference there: whoever looks for it is told where it waits. */
async function sayAhead(site: string, flags: Values, ports: CliPorts, io: Io): Promise<void> {
  const { workloads } = await (await connect(ports, flags)).get<SiteView>(`/v1/sites/${encodeURIComponent(site)}`)
  const ahead = workloads.filter(({ target, desired }) => target !== null && target !== desired)
  if (ahead.length === 0) return
  const names = ahead.slice(0, MOST_NAMED).map(({ workload, waiting }) => `${workload}${waiting === null ? '' : ` ${formatWaiting(waiting)}`}`) // prettier-ignore
  const more = ahead.length > names.length ? ` … and ${ahead.length - names.length} more` : ''
  io.err(`Git means another release there of ${names.join(', ')}${more}: flotilla why site/${site}`)
}

type Found = Pick<Asked, 'done' | 'code'>

/** undefined after saying what is wrong. */
async function looked(
  verb: 'diff' | 'logs' | 'exec',
  args: JsonObject,
  site: string | undefined,
  flags: Values,
  ports: CliPorts,
  io: Io,
): Promise<Found | undefined> {
  const { data } = flags
  if (typeof data === 'string') {
    await using box = await batchAt(data, ports)
    const view = (await box.ask({ op: 'view' })) as unknown as BatchView
    const name = site?.replace(/^site\//, '') ?? view.site
    if (name !== view.site) throw new Fault('NotFound', `this is the box of ${view.site}, not of ${name}`)
    return { done: [{ sites: [name], count: 1, said: await box.askSite(verb, args) }], code: EXIT.ok }
  }
  const whom = whomOf(flags, io, site)
  if (whom === undefined) return undefined
  if (whom === null) {
    io.err('error: name a site, or give --data at its box')
    return undefined
  }
  if (verb !== 'diff' && whom.sites?.length !== 1) {
    io.err(`error: ${verb} is asked of one site`)
    return undefined
  }
  return askSites(await connect(ports, flags), verb, args, whom, io)
}

interface LogsSaid {
  readonly logs: readonly {
    readonly pod: string
    readonly container: string
    readonly text: string
    readonly cutBytes: number
    readonly because: string | null
  }[]
  readonly leftOut: number
}

const logs: Command<CliPorts> = {
  name: 'logs',
  group: 'Observe',
  summary: 'The newest lines of what runs at a site: of a workload, a batch job, or one pod',
  arguments: [
    { name: 'SITE', help: 'site name' },
    { name: 'NAME', help: 'a workload, a batch job, POD or NAMESPACE/POD' },
  ],
  flags: {
    container: { type: 'string', short: 'c', help: 'of this container; the first, or the one that the pod names' },
    tail: { type: 'number', placeholder: 'LINES', help: 'so many lines of each pod', default: 100 },
    since: { type: 'string', placeholder: 'DURATION', help: 'not older than this: 10m' },
    previous: { type: 'switch', short: 'p', help: 'of the container before this one, which ended' },
    timeout: TIMEOUT_FLAG,
    data: BOX_FLAG,
    ...HUB_FLAGS,
  },
  async run([site = '', name = ''], flags, ports, io) {
    const { container, tail, since, previous } = flags
    const sinceMs = typeof since === 'string' ? parseDuration(since) : null
    if (sinceMs === undefined) {
      io.err(`error: --since found ${String(since)}, expected a duration such as 90s, 10m or 2h`)
      return EXIT.failed
    }
    const args = {
      of: name,
      container: typeof container === 'string' ? container : null,
      tail: Number(tail),
      previous: previous === true,
      sinceSeconds: sinceMs === null ? null : Math.max(1, Math.floor(sinceMs / 1_000)),
    }
    const found = await looked('logs', args, site, flags, ports, io)
    if (found === undefined) return EXIT.failed
    for (const { said } of found.done) logText(said as unknown as LogsSaid, io)
    return found.code
  },
}

/** One pod as it stands; of several each line under its pod's name, as kubectl's --prefix has it. */
function logText(said: LogsSaid, io: Io): void {
  if (said.logs.length === 0) io.err('no pod of it is there')
  for (const { pod, container, text, cutBytes, because } of said.logs) {
    if (because !== null) io.err(`${pod} ${container}: ${because}`)
    if (cutBytes > 0) io.err(`${pod} ${container}: ${cutBytes} older bytes are left out: --tail, or -c, asks for less`)
    const lines = text.replace(/\n$/, '')
    if (lines === '') continue
    io.out(said.logs.length === 1 ? lines : lines.replaceAll(/^/gm, `[${pod} ${container}] `))
  }
  if (said.leftOut > 0) io.err(`${said.leftOut} more pods are left out: name one`)
}

const exec: Command<CliPorts> = {
  name: 'exec',
  group: 'Operate',
  summary:
    'Run one command in a container at a site, without input, for a minute at most (role admin; the site must take it)',
  arguments: [
    { name: 'SITE', help: 'site name' },
    { name: 'NAME', help: 'a workload, a batch job, POD or NAMESPACE/POD' },
  ],
  flags: {
    container: { type: 'string', short: 'c', help: 'in this container; the first, or the one that the pod names' },
    timeout: TIMEOUT_FLAG,
    data: BOX_FLAG,
    ...HUB_FLAGS,
  },
  words: { name: 'COMMAND', help: 'after --' },
  async run([site = '', name = '', ...command], flags, ports, io) {
    if (command.length === 0) {
      io.err('error: give the command after --')
      return EXIT.failed
    }
    const { container } = flags
    const args = { of: name, container: typeof container === 'string' ? container : null, command }
    const found = await looked('exec', args, site, flags, ports, io)
    const [done] = found?.done ?? []
    if (found === undefined || done === undefined) return found?.code ?? EXIT.failed
    const said = done.said as unknown as ExecSaid
    if (said.stdout !== '') io.out(said.stdout.replace(/\n$/, ''))
    if (said.stderr !== '') io.err(said.stderr.replace(/\n$/, ''))
    if (said.cutBytes > 0) io.err(`${said.cutBytes} more bytes are left out`)
    if (said.exitCode === 0) return EXIT.ok
    io.err(`the command ended with exit code ${said.exitCode} in ${said.pod} ${said.container}`)
    return EXIT.difference
  },
}

interface ExecSaid {
  readonly pod: string
  readonly container: string
  readonly stdout: string
  readonly stderr: string
  readonly exitCode: number
  readonly cutBytes: number
}

export const SITE_LOOKS: readonly Command<CliPorts>[] = [diff, logs, exec]
