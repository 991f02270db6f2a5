/** Words about sites and the hub as a whole: each is in the hub's audit log before it is answered. */
import type {
  AuditHead,
  AuditView,
  EventView,
  FreezeView,
  Page,
  RolloutView,
  SiteView,
  WhyView,
  WorkloadView,
} from '../../core/api/types.ts'
import { parseDuration } from '../../core/calendar/duration.ts'
import { formatWaiting, type Waiting } from '../../core/model/state.ts'
import { ASK_FLAGS, askSites, whomOf, whose } from '../asking.ts'
import { type Command, type Io, OUTPUT_FLAG, SELECTOR_FLAG, type Values } from '../command.ts'
import { EXIT, type ExitCode } from '../exit.ts'
import { formatOf, print, table, when } from '../output.ts'
import type { CliPorts, HubClient } from '../ports.ts'
import { labelSelector } from '../selectors.ts'
import { connect, HUB_FLAGS, rolloutText, siteText, whyText, workloadItems } from './observe.ts'
import { watch } from './watch.ts'

const MOST_EVENTS_A_PAGE = 500

const bare = (name: string): string => name.replace(/^site\//, '')

const retire: Command<CliPorts> = {
  name: 'retire',
  group: 'Sites',
  summary: 'Refuse the key of a site from now on; what runs there goes on running',
  arguments: [{ name: 'SITE', help: 'site name' }],
  flags: HUB_FLAGS,
  async run([site = ''], flags, ports, io) {
    const name = bare(site)
    await (await connect(ports, flags)).send('POST', `/v1/sites/${encodeURIComponent(name)}/retire`)
    io.out(`site/${name} is retired: its key is refused; it keeps what it has`)
    return EXIT.ok
  },
}

const freeze: Command<CliPorts> = {
  name: 'freeze',
  group: 'Operate',
  summary: 'Start nothing at some sites for a while; what has begun goes on',
  flags: {
    selector: SELECTOR_FLAG,
    all: { type: 'switch', help: 'every site of the fleet, in place of -l' },
    for: { type: 'string', placeholder: 'DURATION', help: 'ends by itself, 2h or 1h30m; at most 30 days' },
    reason: { type: 'string', placeholder: 'TEXT', help: 'kept in the audit log and shown to everyone' },
    output: OUTPUT_FLAG,
    ...HUB_FLAGS,
  },
  async run(_args, flags, ports, io) {
    const format = formatOf(flags, io)
    if (format === undefined) return EXIT.failed
    const { reason, for: text, all } = flags
    const selector = typeof flags['selector'] === 'string' ? labelSelector(flags['selector']) : null
    const forMs = typeof text === 'string' ? parseDuration(text) : undefined
    const problem =
      typeof reason !== 'string' || reason === ''
        ? '--reason is missing: whoever finds a site frozen must see why'
        : forMs === undefined
          ? `--for found ${String(text ?? 'nothing')}, expected a duration such as 90s, 2h or 1h30m`
          : typeof selector === 'string'
            ? `-l ${selector}`
            : (selector === null) !== (all === true)
              ? 'give -l with labels, or --all to mean every site'
              : undefined
    if (problem !== undefined) {
      io.err(`error: ${problem}`)
      return EXIT.failed
    }
    const hub = await connect(ports, flags)
    const given = await hub.send<{ id: string; sites: number }>('POST', '/v1/freezes', {
      reason: String(reason),
      forMs: forMs ?? 0,
      ...(selector === null ? {} : { selector: selector as unknown as Record<string, never> }),
    })
    return print(given, format, io, {
      text: ({ id, sites }) =>
        `freeze/${id}: ${sites} ${sites === 1 ? 'site' : 'sites'} until ${when(io.nowMs() + (forMs ?? 0), io.nowMs())}: ${String(reason)}`,
      name: ({ id }) => [`freeze/${id}`],
    })
  },
}

const unfreeze: Command<CliPorts> = {
  name: 'unfreeze',
  group: 'Operate',
  summary: 'End a freeze before its time',
  arguments: [{ name: 'ID', help: 'as freeze printed it and get freezes shows it' }],
  flags: HUB_FLAGS,
  async run([given = ''], flags, ports, io) {
    const id = given.replace(/^freeze\//, '')
    await (await connect(ports, flags)).send('DELETE', `/v1/freezes/${encodeURIComponent(id)}`)
    io.out(`freeze/${id} is over`)
    return EXIT.ok
  },
}

const reconcile: Command<CliPorts> = {
  name: 'reconcile',
  group: 'Operate',
  summary:
    'Look at Git now and decide again; with a SITE, ask that site to come now; with -w or -l, compare all and correct it',
  arguments: [{ name: 'SITE', help: 'site name', optional: true }],
  flags: {
    accept: {
      type: 'string',
      placeholder: 'REVISION',
      help: 'take this tip although the history was rewritten (role admin)',
    },
    wait: {
      type: 'switch',
      short: 'w',
      help: 'at the site: compare everything anew, try again at once what failed, and say how it stands',
    },
    selector: ASK_FLAGS.selector,
    timeout: ASK_FLAGS.timeout,
    ...HUB_FLAGS,
  },
  async run([site], flags, ports, io) {
    const { accept } = flags
    if (flags['wait'] === true || flags['selector'] !== undefined) return reconcileThere(site, flags, ports, io)
    const hub = await connect(ports, flags)
    if (site !== undefined) {
      const name = bare(site)
      const { heard } = await hub.send<{ heard: boolean }>('POST', `/v1/sites/${encodeURIComponent(name)}/reconcile`)
      io.out(
        heard
          ? `site/${name} is asked to come now; one that polls comes when it is due`
          : `site/${name} pays for every byte: it comes when it is due`,
      )
      return EXIT.ok
    }
    await hub.send('POST', '/v1/reconcile', typeof accept === 'string' ? { accept } : {})
    io.out(typeof accept === 'string' ? `the hub takes ${accept} as it is` : 'the hub looks at Git now')
    return EXIT.ok
  },
}

async function reconcileThere(site: string | undefined, flags: Values, ports: CliPorts, io: Io): Promise<ExitCode> {
  const whom = whomOf(flags, io, site)
  if (whom === undefined) return EXIT.failed
  if (whom === null) {
    io.err('error: -w waits for a site: name it, or give -l')
    return EXIT.failed
  }
  const { done, code } = await askSites(await connect(ports, flags), 'reconcile', {}, whom, io)
  for (const one of done) {
    const workloads = (one.said['workloads'] ?? []) as unknown as readonly Standing[]
    const rows = workloads.map(({ workload, sync, health, waiting, failure }) => [
      workload,
      sync,
      health,
      waiting === null ? (failure ?? '-') : formatWaiting(waiting),
    ])
    io.out(`${whose(one)} compared everything`)
    if (rows.length > 0) io.out(table(['WORKLOAD', 'SYNC', 'HEALTH', 'REASON'], rows))
  }
  return code
}

interface Standing {
  readonly workload: string
  readonly sync: string
  readonly health: string
  readonly waiting: Waiting | null
  readonly failure: string | null
}

const hubRecover: Command<CliPorts> = {
  name: 'hub recover',
  group: 'Run',
  summary: 'After a restored backup or a copied machine: take what each site has as what it should have, then go on',
  flags: { output: OUTPUT_FLAG, ...HUB_FLAGS },
  async run(_args, flags, ports, io) {
    const format = formatOf(flags, io)
    if (format === undefined) return EXIT.failed
    const given = await (await connect(ports, flags)).send<{ epoch: number; sites: number }>('POST', '/v1/recover')
    return print(given, format, io, {
      text: ({ epoch, sites }) =>
        `epoch ${epoch}: ${sites} ${sites === 1 ? 'site is' : 'sites are'} known to be ahead of this hub; each site shows what it has when it comes, and is told nothing before`,
      name: ({ epoch }) => [`epoch/${epoch}`],
    })
  },
}

const events: Command<CliPorts> = {
  name: 'events',
  group: 'Observe',
  summary: 'What happened, latest last',
  arguments: [{ name: 'SUBJECT', help: 'only of this: site/0612, rollout/pos', optional: true }],
  flags: {
    limit: { type: 'number', placeholder: 'N', help: 'the latest so many', default: 50 },
    watch: { type: 'switch', short: 'w', help: 'go on as they happen' },
    output: OUTPUT_FLAG,
    ...HUB_FLAGS,
  },
  async run([subject], flags, ports, io) {
    const format = formatOf(flags, io)
    if (format === undefined) return EXIT.failed
    const hub = await connect(ports, flags)
    let after = '0'
    const news = async (): Promise<EventView[]> => {
      const items: EventView[] = []
      for (;;) {
        const page = await hub.get<Page<EventView>>('/v1/events', { after, limit: String(MOST_EVENTS_A_PAGE) })
        // A page that is not full is no end: events of others are left out of it.
        if (page.next === null || page.next === after) return items
        after = page.next
        items.push(...page.items.filter((event) => subject === undefined || event.subject === subject))
      }
    }
    const show = (items: readonly EventView[]): Promise<unknown> =>
      print({ items }, format, io, {
        text: (value) => table(['AT', 'KIND', 'SUBJECT', 'MESSAGE'], eventRows(value.items, io)),
        name: (value) => value.items.map((event) => event.subject),
      })
    await show((await news()).slice(-Number(flags['limit'])))
    if (flags['watch'] === true)
      await watch(io, async () => {
        const items = await news()
        if (format === 'text' || format === 'wide') for (const row of eventRows(items, io)) io.out(row.join('  '))
        else if (items.length > 0) await show(items)
      })
    return EXIT.ok
  },
}

function eventRows(items: readonly EventView[], io: Io): string[][] {
  return items.map(({ atMs, kind, subject, message }) => [when(atMs, io.nowMs()), kind, subject, message])
}

const getFreezes: Command<CliPorts> = {
  name: 'get freezes',
  group: 'Observe',
  summary: 'Freezes that hold now',
  flags: { output: OUTPUT_FLAG, ...HUB_FLAGS },
  async run(_args, flags, ports, io) {
    const format = formatOf(flags, io)
    if (format === undefined) return EXIT.failed
    const page = await (await connect(ports, flags)).get<Page<FreezeView>>('/v1/freezes')
    return print(page, format, io, {
      text: ({ items }) =>
        table(
          ['ID', 'UNTIL', 'SITES', 'BY', 'REASON'],
          items.map(({ id, untilMs, sites, by, reason }) => [id, when(untilMs, io.nowMs()), String(sites), by, reason]),
        ),
      name: ({ items }) => items.map(({ id }) => `freeze/${id}`),
    })
  },
}

const audit: Command<CliPorts> = {
  name: 'audit',
  group: 'Observe',
  summary: 'Who said what, latest last: a chain of hashes whose head the hub signs',
  flags: {
    limit: { type: 'number', placeholder: 'N', help: 'the latest so many', default: 50 },
    output: OUTPUT_FLAG,
    ...HUB_FLAGS,
  },
  async run(_args, flags, ports, io) {
    const format = formatOf(flags, io)
    if (format === undefined) return EXIT.failed
    const hub = await connect(ports, flags)
    const ask = (after: number, limit: number): Promise<Page<AuditView> & { readonly signed: AuditHead | null }> =>
      hub.get('/v1/audit', { after: String(after), limit: String(limit) })
    const limit = Number(flags['limit'])
    const { total } = await ask(0, 1)
    const items: AuditView[] = []
    for (let after = Math.max(0, total - limit); ;) {
      const page = await ask(after, Math.min(limit, MOST_EVENTS_A_PAGE))
      items.push(...page.items)
      after = Number(page.next ?? 0)
      if (page.next !== null) continue
      return print({ ...page, items }, format, io, {
        text: (value) => auditText(value.items, value.signed, io),
        name: (value) => value.items.map(({ seq }) => `audit/${seq}`),
      })
    }
  },
}

function auditText(items: readonly AuditView[], signed: AuditHead | null, io: Io): string {
  const rows = items.map(({ seq, atMs, actor, action, subject, detail }) => [
    String(seq),
    when(atMs, io.nowMs()),
    actor,
    action,
    subject,
    Object.keys(detail).length === 0 ? '-' : JSON.stringify(detail),
  ])
  const head =
    signed === null
      ? 'not signed yet'
      : `signed up to ${signed.seq} by ${signed.keyid}, ${when(signed.atMs, io.nowMs())}`
  return `${table(['SEQ', 'AT', 'ACTOR', 'ACTION', 'SUBJECT', 'DETAIL'], rows)}\n${head}`
}

const describe: Command<CliPorts> = {
  name: 'describe',
  group: 'Observe',
  summary: 'All that the hub knows of one thing, and why it is not as Git says: site/NAME, workload/NAME, rollout/NAME',
  arguments: [{ name: 'OBJECT', help: 'site/0612, workload/pos, rollout/pos' }],
  flags: { output: OUTPUT_FLAG, ...HUB_FLAGS },
  async run([object = ''], flags, ports, io) {
    const format = formatOf(flags, io)
    if (format === undefined) return EXIT.failed
    const [kind = '', name = ''] = object.includes('/') ? object.split('/', 2) : ['site', object]
    const hub = await connect(ports, flags)
    const read = name === '' ? undefined : readerOf(kind, encodeURIComponent(name), hub, io)
    if (read === undefined) {
      io.err(`error: found ${object}, expected site/NAME, workload/NAME or rollout/NAME`)
      return EXIT.failed
    }
    const { value, text } = await read()
    const why = await hub.get<WhyView>(`/v1/why/${kind}/${encodeURIComponent(name)}`)
    return print({ [kind]: value, why }, format, io, {
      text: () => `${text}\n\n${whyText(why)}`,
      name: () => [`${kind}/${name}`],
    })
  },
}

function readerOf(
  kind: string,
  name: string,
  hub: HubClient,
  io: Io,
): (() => Promise<{ readonly value: object; readonly text: string }>) | undefined {
  switch (kind) {
    case 'site':
      return async () => {
        const value = await hub.get<SiteView>(`/v1/sites/${name}`)
        const facts = [
          ['site id', value.siteId ?? 'never joined'],
          ['agent', value.agent ?? '-'],
          ['mode', value.mode],
          ['labels', Object.entries(value.labels).map(([key, label]) => `${key}=${label}`).join(' ') || '-'], // prettier-ignore
          ['next due', value.dueAtMs === null ? '-' : when(value.dueAtMs, io.nowMs())],
          ...value.conditions.map(({ type, reason, message }) => [type, `${reason}: ${message}`]),
        ]
        return { value, text: `${siteText(value, io.nowMs())}\n\n${table(['FACT', 'VALUE'], facts)}` }
      }
    case 'workload':
      return async () => {
        const value = await hub.get<WorkloadView>(`/v1/workloads/${name}`)
        return { value, text: workloadItems([value]) }
      }
    case 'rollout':
      return async () => {
        const value = await hub.get<RolloutView>(`/v1/rollouts/${name}`)
        return { value, text: rolloutText(value, io.nowMs()) }
      }
    default:
      return undefined
  }
}

export const FLEET_LOOKS: readonly Command<CliPorts>[] = [events, describe, getFreezes, audit]
export const FLEET_WORDS: readonly Command<CliPorts>[] = [freeze, unfreeze, reconcile, retire, hubRecover]
