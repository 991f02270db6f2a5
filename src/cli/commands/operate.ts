import type { Page, RolloutOfHistory, RolloutView, SiteView } from '../../core/api/types.ts'
import { parseDuration } from '../../core/calendar/duration.ts'
import { type Command, type Io, OUTPUT_FLAG, SELECTOR_FLAG, type Values } from '../command.ts'
import { EXIT, type ExitCode } from '../exit.ts'
import { age, type Format, formatOf, print, when } from '../output.ts'
import type { CliPorts } from '../ports.ts'
import { labelSelector } from '../selectors.ts'
import { FLEET_LOOKS, FLEET_WORDS } from './fleet-words.ts'
import { connect, HUB_FLAGS, rolloutRows, rolloutText } from './observe.ts'

const WHY_FLAG = {
  type: 'string',
  placeholder: 'TEXT',
  help: 'the reason, kept in the audit log and shown to everyone',
} as const

/** `body` answers with text where a flag cannot be read. */
function verb(
  name: string,
  summary: string,
  flags: Command<CliPorts>['flags'],
  body: (flags: Values) => Record<string, string | number> | string,
): Command<CliPorts> {
  return {
    name: `rollout ${name}`,
    group: 'Operate',
    summary,
    arguments: [{ name: 'WORKLOAD', help: 'whose rollout' }],
    flags: { ...flags, output: OUTPUT_FLAG, ...HUB_FLAGS },
    async run([workload = ''], values, ports, io) {
      const format = formatOf(values, io)
      if (format === undefined) return EXIT.failed
      const said = body(values)
      if (typeof said === 'string') {
        io.err(`error: ${said}`)
        return EXIT.failed
      }
      const hub = await connect(ports, values)
      const view = await hub.send<RolloutView>(
        'POST',
        `/v1/rollouts/${encodeURIComponent(bare(workload))}/${name}`,
        said,
      )
      return print(view, format, io, {
        text: (value) => rolloutRows([value], false, io.nowMs()),
        name: (value) => [`rollout/${value.workload}`],
      })
    },
  }
}

/** People paste `rollout/pos` as `why` prints it. */
function bare(name: string): string {
  return name.replace(/^(rollout|workload)\//, '')
}

const because = (flags: Values): Record<string, string> =>
  typeof flags['reason'] === 'string' ? { why: flags['reason'] } : {}

const badDuration = (found: unknown): string =>
  `--for found ${String(found)}, expected a duration such as 90s, 2h or 1h30m`

const rolloutStatus: Command<CliPorts> = {
  name: 'rollout status',
  group: 'Operate',
  summary: 'One rollout, wave by wave',
  arguments: [{ name: 'WORKLOAD', help: 'whose rollout' }],
  flags: { output: OUTPUT_FLAG, ...HUB_FLAGS },
  async run([workload = ''], flags, ports, io) {
    const format = formatOf(flags, io)
    if (format === undefined) return EXIT.failed
    const view = await (
      await connect(ports, flags)
    ).get<RolloutView>(`/v1/rollouts/${encodeURIComponent(bare(workload))}`)
    return print(view, format, io, {
      text: (value) => rolloutText(value, io.nowMs()),
      name: (value) => [`rollout/${value.workload}`],
    })
  },
}

const history: Command<CliPorts> = {
  name: 'rollout history',
  group: 'Operate',
  summary: 'Earlier rollouts of a workload',
  arguments: [{ name: 'WORKLOAD', help: 'whose rollouts' }],
  flags: { output: OUTPUT_FLAG, ...HUB_FLAGS },
  async run([workload = ''], flags, ports, io) {
    const format = formatOf(flags, io)
    if (format === undefined) return EXIT.failed
    const page = await (
      await connect(ports, flags)
    ).get<Page<RolloutOfHistory>>(`/v1/rollouts/${encodeURIComponent(bare(workload))}/history`)
    return print(page, format, io, {
      text: (value) => rolloutRows(value.items, false, value.asOfMs),
      name: (value) => value.items.map((item) => item.id),
    })
  },
}

const hold: Command<CliPorts> = {
  name: 'hold',
  group: 'Operate',
  summary: 'Keep a site as it is until it is released',
  arguments: [{ name: 'SITE', help: 'site name' }],
  flags: {
    reason: WHY_FLAG,
    for: { type: 'string', placeholder: 'DURATION', help: 'ends by itself, 2h or 1h30m' },
    ...HUB_FLAGS,
  },
  async run([site = ''], flags, ports, io) {
    const reason = flags['reason']
    if (typeof reason !== 'string' || reason === '') {
      io.err('error: --reason is missing: whoever finds the site on hold must see why')
      return EXIT.failed
    }
    const text = flags['for']
    const ms = typeof text === 'string' ? parseDuration(text) : null
    if (ms === undefined) {
      io.err(`error: ${badDuration(text)}`)
      return EXIT.failed
    }
    const hub = await connect(ports, flags)
    const view = await hub.send<SiteView>('POST', `/v1/sites/${encodeURIComponent(site.replace(/^site\//, ''))}/hold`, {
      reason,
      ...(ms === null ? {} : { forMs: ms }),
    })
    io.out(
      `site/${view.name} is on hold${view.hold?.untilMs == null ? '' : ` until ${when(view.hold.untilMs, io.nowMs())}`}: ${reason}`,
    )
    return EXIT.ok
  },
}

const release: Command<CliPorts> = {
  name: 'release',
  group: 'Operate',
  summary: 'End the hold of a site',
  arguments: [{ name: 'SITE', help: 'site name' }],
  flags: HUB_FLAGS,
  async run([site = ''], flags, ports, io) {
    const view = await (
      await connect(ports, flags)
    ).send<SiteView>('DELETE', `/v1/sites/${encodeURIComponent(site.replace(/^site\//, ''))}/hold`)
    io.out(`site/${view.name} is released`)
    return EXIT.ok
  },
}

const tokenCreate: Command<CliPorts> = {
  name: 'token create',
  group: 'Sites',
  summary: 'With --site a single-use token by which it joins; with --role one for a person or a program',
  flags: {
    site: { type: 'string', placeholder: 'NAME', help: 'the site it is for; prints the one line to run there' },
    role: { type: 'string', help: 'viewer, operator, approver or admin' },
    name: { type: 'string', help: 'with --role: whose it is, for the audit log' },
    team: { type: 'list', help: 'with --role approver: the team it speaks for; several times for several' },
    selector: { ...SELECTOR_FLAG, help: 'with --role: the sites that it may read and speak of; default: all' },
    ttl: { type: 'string', placeholder: 'DURATION', help: 'at most 1h', default: '1h' },
    output: OUTPUT_FLAG,
    ...HUB_FLAGS,
  },
  async run(_args, flags, ports, io) {
    const format = formatOf(flags, io)
    const ttlMs = parseDuration(String(flags['ttl']))
    if (format === undefined) return EXIT.failed
    if (typeof flags['role'] === 'string') return createRoleToken(flags, flags['role'], format, ports, io)
    if (typeof flags['site'] !== 'string' || ttlMs === undefined) {
      io.err(
        ttlMs === undefined
          ? `error: --ttl found ${String(flags['ttl'])}, expected a duration such as 30m or 1h`
          : 'error: give --site for a site, or --role for a person',
      )
      return EXIT.failed
    }
    const given = await (
      await connect(ports, flags)
    ).send<{ token: string; line: string; expiresAtMs: number }>('POST', '/v1/tokens', { site: flags['site'], ttlMs })
    return print(given, format, io, {
      text: (value) => `flotilla join ${value.line}\n# works once, for ${age(value.expiresAtMs - io.nowMs())}`,
      name: (value) => [value.token],
    })
  },
}

async function createRoleToken(
  flags: Values,
  role: string,
  format: Format,
  ports: CliPorts,
  io: Io,
): Promise<ExitCode> {
  const { name, team, selector: text } = flags
  const scope = typeof text === 'string' ? labelSelector(text) : null
  const problem =
    typeof name !== 'string'
      ? '--name is missing: the audit log says who'
      : typeof scope === 'string'
        ? `-l ${scope}`
        : ''
  if (problem !== '') {
    io.err(`error: ${problem}`)
    return EXIT.failed
  }
  const hub = await connect(ports, flags)
  const given = await hub.send<{ secret: string }>('POST', '/v1/tokens', {
    name: String(name),
    role,
    ...(Array.isArray(team) ? { teams: team as string[] } : {}),
    ...(scope === null ? {} : { selector: scope as unknown as Record<string, never> }),
  })
  return print(given, format, io, {
    text: ({ secret }) => `${secret}\n# role ${role}; it is shown once`,
    name: ({ secret }) => [secret],
  })
}

export const OPERATE: readonly Command<CliPorts>[] = [
  rolloutStatus,
  verb('pause', 'Start nothing more; what runs goes on', { reason: WHY_FLAG }, because),
  verb('resume', 'Go on after a pause', {}, () => ({})),
  verb(
    'promote',
    'Let the next wave begin without waiting for soak or coverage',
    { wave: { type: 'string', help: 'only this wave' } },
    (flags) => (typeof flags['wave'] === 'string' ? { wave: flags['wave'] } : {}),
  ),
  verb(
    'approve',
    'Open the gate of a wave',
    {
      wave: { type: 'string', help: 'the wave' },
      id: { type: 'string', help: 'the rollout that is meant, as status shows it' },
    },
    (flags) => ({
      ...(typeof flags['wave'] === 'string' ? { wave: flags['wave'] } : {}),
      ...(typeof flags['id'] === 'string' ? { id: flags['id'] } : {}),
    }),
  ),
  verb(
    'break-glass',
    'Let it go in spite of the windows that yield to a team',
    {
      team: { type: 'string', help: 'in whose name; the only one that may where there is one' },
      id: { type: 'string', help: 'the rollout that is meant, as status shows it' },
      for: {
        type: 'string',
        placeholder: 'DURATION',
        help: 'ends by itself, 2h or 1h30m; at most 7 days',
        default: '24h',
      },
      reason: WHY_FLAG,
    },
    (flags) => {
      const forMs = parseDuration(String(flags['for']))
      if (forMs === undefined) return badDuration(flags['for'])
      return {
        ...because(flags),
        forMs,
        ...(typeof flags['team'] === 'string' ? { team: flags['team'] } : {}),
        ...(typeof flags['id'] === 'string' ? { id: flags['id'] } : {}),
      }
    },
  ),
  verb('abort', 'End it: nothing starts beyond the permits that are out', { reason: WHY_FLAG }, because),
  verb('undo', 'Withdraw the release: each site goes to its own last good one', { reason: WHY_FLAG }, because),
  verb('readmit', 'Let a withdrawn release back in', { id: { type: 'string', help: 'its digest' } }, (flags) =>
    typeof flags['id'] === 'string' ? { id: flags['id'] } : {},
  ),
  history,
  hold,
  release,
  tokenCreate,
  ...FLEET_WORDS,
  ...FLEET_LOOKS,
]
