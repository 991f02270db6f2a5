import type {
  Page,
  RolloutOfHistory,
  RolloutView,
  SiteView,
  StatusView,
  WhyView,
  WorkloadView,
} from '../../core/api/types.ts'
import { shortDigest } from '../../core/model/digest.ts'
import { formatProblem } from '../../core/model/problem.ts'
import { formatWaiting } from '../../core/model/state.ts'
import { type Command, type Io, OUTPUT_FLAG, SELECTOR_FLAG, type Values } from '../command.ts'
import { EXIT, type ExitCode } from '../exit.ts'
import { age, bar, counts, type Format, formatOf, print, table, when } from '../output.ts'
import type { CliPorts, HubClient } from '../ports.ts'
import { watch } from './watch.ts'

export const HUB_FLAGS = {
  hub: { type: 'string', placeholder: 'URL', help: 'the hub, else FLOTILLA_HUB or the context file' },
  token: { type: 'string', placeholder: 'TOKEN', help: 'who you are, else FLOTILLA_TOKEN or the context file' },
} as const

export function connect(ports: CliPorts, flags: Values): Promise<HubClient> {
  return ports.hub(flags['hub'] as string | undefined, flags['token'] as string | undefined)
}

const status: Command<CliPorts> = {
  name: 'status',
  group: 'Observe',
  summary: 'The fleet on one screen',
  flags: { output: OUTPUT_FLAG, ...HUB_FLAGS },
  async run(_args, flags, ports, io) {
    const format = formatOf(flags, io)
    if (format === undefined) return EXIT.failed
    const hub = await connect(ports, flags)
    const view = await hub.get<StatusView>('/v1/status')
    return print(view, format, io, {
      text: (value) => statusText(value, io),
      name: (value) => [`fleet/${value.fleet}`],
    })
  },
}

export function statusText(view: StatusView, io: Pick<Io, 'ascii'>): string {
  const { source } = view
  const revision = source.revision === null ? 'no revision yet' : `${source.branch}@${source.revision.slice(0, 7)}`
  const lines = [
    `${view.fleet}  ${revision}${source.message === '' ? '' : ` (${source.message})`}   hub ${view.version}   as of ${when(view.asOfMs, view.asOfMs)}`,
    `SITES ${view.sites.total}   ${counts(view.sites.link, 'Online')}     SYNC  ${counts(view.sites.sync, 'Synced')}     HEALTH  ${counts(view.sites.health, 'Healthy')}`,
  ]
  if (source.fault !== null) {
    lines.push(
      `SOURCE  ! ${source.fault.reason}: ${source.fault.message} (since ${when(source.fault.sinceMs, view.asOfMs)}); the last good revision stays, nothing moves`,
    )
  }
  if (source.seen !== null && source.seen !== source.revision)
    lines.push(`SOURCE  ! ${source.seen.slice(0, 7)} is seen and not taken: the previous revision stays`)
  for (const problem of source.problems.filter(({ severity }) => severity === 'error').slice(0, 5))
    lines.push(formatProblem(problem))
  if (view.brake !== null)
    lines.push(
      `BRAKE   ! ${view.brake.message}`,
      `        to confirm, add to flotilla.yaml: spec.deletionBrake.confirmed: [${view.brake.digest}]`,
    )
  for (const rollout of view.rollouts.filter(({ phase }) => phase !== 'Completed' && phase !== 'Superseded'))
    lines.push(rolloutLine(rollout, view.asOfMs, io))
  if (view.needsYou.length === 0) lines.push('NEEDS YOU  nothing')
  for (const need of view.needsYou) lines.push(`NEEDS YOU  ! ${need.message}   → ${need.next}`)
  return lines.join('\n')
}

function rolloutLine(rollout: RolloutView, nowMs: number, io: Pick<Io, 'ascii'>): string {
  const { done, total, failed, excused } = rollout.counts
  const own = rollout.wave === null ? undefined : rollout.waves[rollout.wave.index]
  const wave =
    rollout.wave === null || own === undefined
      ? ''
      : `  wave ${rollout.wave.index + 1}/${rollout.wave.of} ${rollout.wave.name} ${own.done}/${own.sites}`
  const waits =
    rollout.waiting === null
      ? ''
      : `  ${formatWaiting(rollout.waiting)}${rollout.waiting.nextAtMs === undefined ? '' : `, next ${when(rollout.waiting.nextAtMs, nowMs)}`}`
  const percent = total === 0 ? 100 : Math.floor((done / total) * 100)
  return `ROLLOUT ${rollout.workload} ${shortDigest(rollout.id)}  ${rollout.phase}${wave}  fleet ${done}/${total} ${bar(done, total, 20, io.ascii)} ${percent}%${failed > 0 ? `  ${failed} failed` : ''}${excused > 0 ? `  ${excused} excused` : ''}${rollout.etaMs == null ? '' : `  eta ${when(rollout.etaMs, nowMs)}`}${waits}`
}

async function list<T>(
  path: string,
  flags: Values,
  ports: CliPorts,
  io: Io,
  query: Record<string, string | undefined>,
  as: { rows(items: readonly T[], wide: boolean, nowMs: number): string; name(item: T): string },
): Promise<ExitCode> {
  const format = formatOf(flags, io)
  if (format === undefined) return EXIT.failed
  const hub = await connect(ports, flags)
  const limit = (flags['limit'] as number | undefined) ?? 500
  const all = await readAll<T>(hub, path, query, limit)
  const code = await print(all, format, io, {
    text: (value, wide) => {
      const rest = value.total - value.items.length
      return `${as.rows(value.items, wide, value.asOfMs)}${rest > 0 ? `\n… and ${rest} more (--limit ${value.total})` : ''}`
    },
    name: (value) => value.items.map((item) => as.name(item)),
  })
  if (flags['watch'] === true) await watchRows(all, format, io, () => readAll<T>(hub, path, query, limit), as)
  return code
}

/** `-w`: a line for every row that says something else than before, as kubectl prints it. */
async function watchRows<T>(
  first: Page<T>,
  format: Format,
  io: Io,
  read: () => Promise<Page<T>>,
  as: { rows(items: readonly T[], wide: boolean, nowMs: number): string; name(item: T): string },
): Promise<void> {
  const textOf = (page: Page<T>): ReadonlyMap<string, string> => {
    // At one time of day: an age that grew is no news.
    const lines = as
      .rows(page.items, format === 'wide', first.asOfMs)
      .split('\n')
      .slice(1)
    return new Map(page.items.map((item, i) => [as.name(item), lines[i] ?? '']))
  }
  let known = textOf(first)
  await watch(io, async () => {
    const page = await read()
    const now = textOf(page)
    for (const item of page.items) {
      const name = as.name(item)
      if (squeezed(now.get(name)) === squeezed(known.get(name))) continue
      if (format === 'name') io.out(name)
      else if (format === 'json' || format === 'yaml') io.out(JSON.stringify(item))
      else io.out(now.get(name) ?? '')
    }
    known = now
  })
}

/** Without the padding that follows the widest row, and without when it was last seen. */
const squeezed = (line: string | undefined): string | undefined =>
  line?.replaceAll(/ +/g, ' ').replace(/ \S+ ago /, ' ')

async function readAll<T>(
  hub: HubClient,
  path: string,
  query: Record<string, string | undefined>,
  limit: number,
): Promise<Page<T>> {
  const items: T[] = []
  let page: Page<T>
  let cursor: string | undefined
  do {
    page = await hub.get<Page<T>>(path, { ...query, cursor, limit: String(Math.min(limit - items.length, 500)) })
    items.push(...page.items)
    cursor = page.next ?? undefined
  } while (cursor !== undefined && items.length < limit)
  return { ...page, items }
}

const WATCH_FLAG = { type: 'switch', short: 'w', help: 'go on, with a line for whatever changes' } as const
const LIMIT_FLAG = { type: 'number', placeholder: 'N', help: 'at most so many', default: 500 } as const

const getSites: Command<CliPorts> = {
  name: 'get sites',
  group: 'Observe',
  summary: 'Sites with their link, sync and health',
  arguments: [{ name: 'NAME', help: 'only this one', optional: true }],
  flags: {
    output: OUTPUT_FLAG,
    selector: SELECTOR_FLAG,
    link: { type: 'string', placeholder: 'STATE', help: 'Online, Late, Lost or Never' },
    sync: { type: 'string', placeholder: 'STATE', help: 'Synced, Progressing, Waiting, Drifted, Failed or Unknown' },
    health: { type: 'string', placeholder: 'STATE', help: 'Healthy, Progressing, Degraded, Suspended or Unknown' },
    limit: LIMIT_FLAG,
    watch: WATCH_FLAG,
    ...HUB_FLAGS,
  },
  async run([name], flags, ports, io) {
    if (name !== undefined) {
      const format = formatOf(flags, io)
      if (format === undefined) return EXIT.failed
      const site = await (await connect(ports, flags)).get<SiteView>(`/v1/sites/${encodeURIComponent(name)}`)
      return print(site, format, io, {
        text: (value, wide) => siteText(value, io.nowMs(), wide),
        name: (value) => [`site/${value.name}`],
      })
    }
    return list<SiteView>(
      '/v1/sites',
      flags,
      ports,
      io,
      {
        selector: flags['selector'] as string | undefined,
        link: flags['link'] as string | undefined,
        sync: flags['sync'] as string | undefined,
        health: flags['health'] as string | undefined,
      },
      { rows: siteRows, name: (site) => `site/${site.name}` },
    )
  },
}

/** One site with its workloads. */
export function siteText(site: SiteView, nowMs: number, wide = false): string {
  return `${siteRows([site], wide, nowMs)}\n\n${workloadRows(site)}`
}

function siteRows(sites: readonly SiteView[], wide: boolean, nowMs: number): string {
  const head = ['NAME', 'LINK', 'SYNC', 'HEALTH', 'SEEN', 'REVISION', 'WAITS FOR', ...(wide ? ['AGENT', 'LABELS'] : [])]
  return table(
    head,
    sites.map((site) => [
      site.name,
      site.link,
      site.listed ? site.sync : 'Unlisted',
      site.health,
      site.lastContactMs === null ? 'never' : `${age(nowMs - site.lastContactMs)} ago`,
      site.revision?.slice(0, 7) ?? '-',
      site.hold === null ? waitsOf(site) : `Hold(${site.hold.reason})`,
      ...(wide
        ? [
            site.agent ?? '-',
            Object.entries(site.labels)
              .map(([key, value]) => `${key}=${value}`)
              .join(','),
          ]
        : []),
    ]),
  )
}

function waitsOf(site: SiteView): string {
  const reasons = new Set(site.workloads.flatMap(({ waiting }) => (waiting === null ? [] : [formatWaiting(waiting)])))
  const [first] = reasons
  return first === undefined ? '-' : reasons.size === 1 ? first : `${first} +${reasons.size - 1}`
}

function workloadRows(site: SiteView): string {
  const short = (digest: string | null): string => (digest === null ? '-' : shortDigest(digest))
  return table(
    ['WORKLOAD', 'SYNC', 'HEALTH', 'TARGET', 'DESIRED', 'APPLIED', 'HEALTHY', 'WHY'],
    site.workloads.map((workload) => [
      workload.workload,
      workload.sync,
      workload.health,
      short(workload.target),
      short(workload.desired),
      short(workload.applied),
      short(workload.healthy),
      workload.failure !== null
        ? `${workload.failure.reason}: ${workload.failure.message}`
        : workload.waiting !== null
          ? formatWaiting(workload.waiting)
          : '-',
    ]),
  )
}

const getWorkloads: Command<CliPorts> = {
  name: 'get workloads',
  group: 'Observe',
  summary: 'Workloads and at how many sites they are what Git says',
  flags: { output: OUTPUT_FLAG, limit: LIMIT_FLAG, watch: WATCH_FLAG, ...HUB_FLAGS },
  run: (_args, flags, ports, io) =>
    list<WorkloadView>(
      '/v1/workloads',
      flags,
      ports,
      io,
      {},
      {
        rows: (items) => workloadItems(items),
        name: (item) => `workload/${item.name}`,
      },
    ),
}

export function workloadItems(items: readonly WorkloadView[]): string {
  return table(
    ['NAME', 'TEAM', 'POLICY', 'SITES', 'SYNCED', 'HEALTHY', 'RELEASES', 'HELD BY'],
    items.map((item) => [
      item.name,
      item.team ?? '-',
      item.policy,
      String(item.sites),
      String(item.synced),
      String(item.healthy),
      String(item.releases),
      item.heldBy.map(({ code }) => code).join(',') || '-',
    ]),
  )
}

const getRollouts: Command<CliPorts> = {
  name: 'get rollouts',
  group: 'Observe',
  summary: 'Rollouts with their waves',
  flags: { output: OUTPUT_FLAG, limit: LIMIT_FLAG, watch: WATCH_FLAG, ...HUB_FLAGS },
  run: (_args, flags, ports, io) =>
    list<RolloutView>(
      '/v1/rollouts',
      flags,
      ports,
      io,
      {},
      { rows: rolloutRows, name: (item) => `rollout/${item.workload}` },
    ),
}

/** One rollout, wave by wave. */
export function rolloutText(rollout: RolloutView, nowMs: number): string {
  const waves = rollout.waves.map((wave) => [
    wave.name,
    wave.state,
    `${wave.done}/${wave.sites}`,
    wave.waiting === null ? '-' : formatWaiting(wave.waiting),
  ])
  return `${rolloutRows([rollout], false, nowMs)}\n\n${table(['WAVE', 'STATE', 'DONE', 'WAITS FOR'], waves)}`
}

export function rolloutRows(items: readonly RolloutOfHistory[], _wide: boolean, nowMs: number): string {
  return table(
    ['WORKLOAD', 'ID', 'REVISION', 'PHASE', 'WAVE', 'DONE', 'CHANGING', 'FAILED', 'EXCUSED', 'AGE', 'WAITS FOR'],
    items.map((item) => [
      item.workload,
      shortDigest(item.id),
      item.revision.slice(0, 7),
      item.phase,
      item.wave === null ? '-' : `${item.wave.index + 1}/${item.wave.of} ${item.wave.name}`,
      item.counts === null ? '-' : `${item.counts.done}/${item.counts.total}`,
      String(item.counts?.changing ?? '-'),
      String(item.counts?.failed ?? '-'),
      String(item.counts?.excused ?? '-'),
      age(nowMs - item.startedAtMs),
      item.paused !== null
        ? `Paused(${item.paused.by}, ${item.paused.why})`
        : item.waiting === null
          ? '-'
          : formatWaiting(item.waiting),
    ]),
  )
}

const why: Command<CliPorts> = {
  name: 'why',
  group: 'Observe',
  summary: 'Why something is not as Git says: a site, rollout, workload, or an object at all its sites',
  arguments: [{ name: 'OBJECT', help: 'site/0612, rollout/pos, workload/pos, Deployment/shop/till' }],
  flags: { output: OUTPUT_FLAG, ...HUB_FLAGS },
  async run([object = ''], flags, ports, io) {
    const format = formatOf(flags, io)
    if (format === undefined) return EXIT.failed
    const [kind, name] = askedOf(object)
    if (name === '') {
      io.err(`error: found ${object}, expected site/NAME, rollout/NAME, workload/NAME or KIND/NAMESPACE/NAME`)
      return EXIT.failed
    }
    const view = await (await connect(ports, flags)).get<WhyView>(`/v1/why/${kind}/${encodeURIComponent(name)}`)
    return print(view, format, io, { text: (value) => whyText(value), name: (value) => [value.subject] })
  },
}

/** A bare name is a site; what is none of ours is a kind of Kubernetes. */
function askedOf(object: string): readonly [kind: string, name: string] {
  const [first = '', second = '', ...rest] = object.split('/')
  if (!object.includes('/')) return ['site', first]
  if (['site', 'rollout', 'workload'].includes(first)) return [first, rest.length === 0 ? second : '']
  return ['object', first === '' || second === '' ? '' : object]
}

export function whyText(view: WhyView): string {
  const width = Math.max(0, ...view.causes.map(({ reason }) => reason.length))
  const lines = [view.summary]
  for (const [i, cause] of view.causes.entries()) {
    const since =
      cause.sinceMs === null ? '' : `   since ${when(cause.sinceMs, view.asOfMs)} (${age(view.asOfMs - cause.sinceMs)})`
    const next = cause.nextAtMs === null ? '' : `   next ${when(cause.nextAtMs, view.asOfMs)}`
    lines.push(
      `  ${i + 1}. ${cause.reason.padEnd(width)}  ${cause.subject === '' ? '' : `${cause.subject}: `}${cause.message}${since}${next}`,
    )
  }
  if (view.nextDecision !== null)
    lines.push(`Next decision: ${when(view.nextDecision.atMs, view.asOfMs)} (${view.nextDecision.what}).`)
  return lines.join('\n')
}

export const OBSERVE: readonly Command<CliPorts>[] = [status, getSites, getWorkloads, getRollouts, why]
