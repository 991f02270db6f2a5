/** For somebody who stands at the box, or is in the agent's pod by `kubectl exec`, with the hub away. */
import os from 'node:os'
import type { BoxView, BoxWord, BoxWorkload } from '../../core/api/box.ts'
import { parseDuration } from '../../core/calendar/duration.ts'
import { shortDigest } from '../../core/model/digest.ts'
import type { Generation } from '../../core/model/observation.ts'
import { formatWaiting } from '../../core/model/state.ts'
import { type Command, type Flag, type Io, OUTPUT_FLAG, type Values } from '../command.ts'
import { EXIT, type ExitCode } from '../exit.ts'
import { age, formatOf, print, table, when } from '../output.ts'
import type { CliPorts } from '../ports.ts'
import { whyText } from './observe.ts'

const DATA_FLAG: Flag = {
  type: 'string',
  placeholder: 'DIR',
  help: 'the store of the agent; else FLOTILLA_DATA, else .flotilla/agent',
}
const BY_FLAG: Flag = { type: 'string', placeholder: 'NAME', help: 'who says so, for the audit; else the user' }
const REASON_FLAG: Flag = {
  type: 'string',
  placeholder: 'TEXT',
  help: 'why, for whoever finds it',
  default: 'no reason given',
}

const status: Command<CliPorts> = {
  name: 'agent status',
  group: 'Run',
  summary: 'At the box: what runs here, what the hub said last, and how every workload is',
  flags: { output: OUTPUT_FLAG, data: DATA_FLAG },
  async run(_args, flags, ports, io) {
    const format = formatOf(flags, io)
    if (format === undefined) return EXIT.failed
    await using box = await ports.box(flags['data'] as string | undefined)
    return print(await box.view(), format, io, { text: boxText, name: ({ site }) => [`site/${site ?? ''}`] })
  },
}

const why: Command<CliPorts> = {
  name: 'agent why',
  group: 'Run',
  summary: 'At the box: why a workload or an object is not as it should be',
  arguments: [{ name: 'WORKLOAD|OBJECT', help: 'pos, deployment/pos, or Deployment/shop/pos' }],
  flags: { output: OUTPUT_FLAG, data: DATA_FLAG },
  async run([subject = ''], flags, ports, io) {
    const format = formatOf(flags, io)
    if (format === undefined) return EXIT.failed
    await using box = await ports.box(flags['data'] as string | undefined)
    return print(await box.why(subject), format, io, { text: whyText, name: (view) => [view.subject] })
  },
}

const pause: Command<CliPorts> = {
  name: 'agent pause',
  group: 'Run',
  summary: 'At the box: start nothing new and correct nothing; what runs goes on, and the hub is told',
  flags: {
    reason: REASON_FLAG,
    for: { type: 'string', placeholder: 'DURATION', help: 'ends by itself, 2h or 1h30m' },
    by: BY_FLAG,
    output: OUTPUT_FLAG,
    data: DATA_FLAG,
  },
  async run(_args, flags, ports, io) {
    const reason = String(flags['reason'])
    const forMs = typeof flags['for'] === 'string' ? parseDuration(flags['for']) : null
    if (forMs === undefined) io.err(`error: --for found ${String(flags['for'])}, expected such as 90s, 2h or 1h30m`)
    if (forMs === undefined) return EXIT.failed
    const word: BoxWord = { kind: 'pause', by: whoSays(flags), reason, forMs }
    return say(word, flags, ports, io, (view) => {
      const ends = view.paused?.leftMs == null ? 'until `agent resume`' : `for ${age(view.paused.leftMs)}`
      return `site/${view.site ?? ''} is paused ${ends}: ${reason}`
    })
  },
}

const rollback: Command<CliPorts> = {
  name: 'agent rollback',
  group: 'Run',
  summary: 'At the box: put a workload back to the release before, until the hub says something newer about it',
  arguments: [{ name: 'WORKLOAD', help: 'as `agent status` names it' }],
  flags: { reason: REASON_FLAG, by: BY_FLAG, output: OUTPUT_FLAG, data: DATA_FLAG },
  async run([workload = ''], flags, ports, io) {
    const reason = String(flags['reason'])
    return say({ kind: 'rollback', by: whoSays(flags), reason, workload }, flags, ports, io, (view) => {
      const waits = view.paused === null ? '' : '; it waits until the pause ends'
      return `workload/${bare(workload)} goes back, until the hub's next word about it or \`agent resume ${bare(workload)}\`${waits}`
    })
  },
}

const resume: Command<CliPorts> = {
  name: 'agent resume',
  group: 'Run',
  summary: 'At the box: end the pause, or the rollback of one workload',
  arguments: [{ name: 'WORKLOAD', help: 'whose rollback ends; without it the pause does', optional: true }],
  flags: { by: BY_FLAG, output: OUTPUT_FLAG, data: DATA_FLAG },
  run: ([workload = null], flags, ports, io) =>
    say({ kind: 'resume', by: whoSays(flags), workload }, flags, ports, io, (view) =>
      workload === null ? `site/${view.site ?? ''} goes on` : `workload/${bare(workload)} is as the hub says again`,
    ),
}

async function say(
  word: BoxWord,
  flags: Values,
  ports: CliPorts,
  io: Io,
  text: (view: BoxView) => string,
): Promise<ExitCode> {
  const format = formatOf(flags, io)
  if (format === undefined) return EXIT.failed
  await using box = await ports.box(flags['data'] as string | undefined)
  const view = await box.say(word)
  return print(view, format, io, {
    text: (value) =>
      value.agent.state === 'stopped' ? `${text(value)} (from the agent's next start on)` : text(value),
    name: ({ site }) => [`site/${site ?? ''}`],
  })
}

function whoSays(flags: Values): string {
  if (typeof flags['by'] === 'string') return flags['by']
  try {
    return os.userInfo().username
  } catch {
    // The user of an image has no name.
    return `uid ${process.getuid?.() ?? ''}`
  }
}

const bare = (workload: string): string => workload.replace(/^workload\//, '')

/** One screen; the worst first is the reader's to find: the columns are those of `get sites`. */
export function boxText(view: BoxView): string {
  const { agent, hub, paused, asOfMs, acceptedAtMs } = view
  const running = agent.state === 'running' ? `agent ${agent.version ?? ''}` : `NO AGENT RUNS: ${agent.because}`
  const told = view.generation === null ? 'no manifest yet' : `generation ${shown(view.generation)}`
  const revision = view.revision === null ? '' : ` (${view.revision.slice(0, 7)})`
  const accepted = acceptedAtMs === null ? '' : ` accepted ${when(acceptedAtMs, asOfMs)}`
  const floor = view.floor === null ? '' : `   floor ${shown(view.floor)}`
  const observes = view.mode === 'observe' ? '   OBSERVES ONLY' : ''
  const lines = [
    `site/${view.site ?? '(not enrolled)'}  ${running}   ${told}${revision}${accepted}${floor}${observes}   as of ${when(asOfMs, asOfMs)}`,
    `HUB     ${hub.link}${hubText(view)}`,
  ]
  if (paused !== null) {
    const left = paused.leftMs === null ? 'until `agent resume`' : `${age(paused.leftMs)} left`
    lines.push(`PAUSED  by ${paused.by} ${age(asOfMs - paused.sinceMs)} ago, ${left}: ${paused.reason}`)
  }
  for (const { type, reason, message } of view.conditions)
    if (type !== 'Link') lines.push(`${type.toUpperCase().padEnd(7)} ! ${reason}: ${message}`)
  const head = ['WORKLOAD', 'SYNC', 'HEALTH', 'HUB SAYS', 'APPLIED', 'HEALTHY', 'BACK TO', 'WHY']
  lines.push('', table(head, view.workloads.map(rowOf)))
  return lines.join('\n')
}

function hubText({ hub, asOfMs }: BoxView): string {
  const word = hub.lastWordMs === null ? 'it was never heard' : `last word ${when(hub.lastWordMs, asOfMs)} by its clock`
  const heard = hub.lastExchangeMs === null ? '' : `, ${age(asOfMs - hub.lastExchangeMs)} ago`
  const why =
    hub.fault === null ? '' : `   ! ${hub.fault.reason}: ${hub.fault.message} (${age(asOfMs - hub.fault.sinceMs)})`
  return `   ${word}${heard}   ${hub.url ?? ''}${why}`
}

function rowOf(it: BoxWorkload): string[] {
  const short = (digest: string | null): string => (digest === null ? '-' : shortDigest(digest))
  const [worst] = it.objects
  const why =
    it.rolledBack !== null
      ? `rolled back by ${it.rolledBack.by}: ${it.rolledBack.reason}`
      : it.failure !== null
        ? `${it.failure.reason}: ${it.failure.message}`
        : it.waiting !== null
          ? formatWaiting(it.waiting)
          : worst !== undefined
            ? `${worst.ref.kind} ${worst.ref.name}: ${worst.reason === '' ? worst.health : worst.reason} ${worst.message}`.trim()
            : '-'
  return [
    it.workload,
    it.sync,
    it.health,
    short(it.desired),
    short(it.applied),
    short(it.healthy),
    short(it.previous),
    why,
  ]
}

const shown = ({ epoch, counter }: Generation): string => `${epoch}.${counter}`

export const BOX: readonly Command<CliPorts>[] = [status, why, pause, resume, rollback]
