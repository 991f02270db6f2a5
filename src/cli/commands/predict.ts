/** What a change would do at a site, by the core that its scheduler runs: before it is committed. */
import { formatMoment } from '../../core/batch/slurm-time.ts'
import type { BatchView, PredictedView } from '../../core/batch/view.ts'
import { Fault } from '../../core/model/fault.ts'
import { isObject, type JsonObject } from '../../core/model/json.ts'
import { ASK_FLAGS, askSites, whomOf, whose } from '../asking.ts'
import { type Command, type Io, OUTPUT_FLAG, type Values } from '../command.ts'
import { EXIT, type ExitCode } from '../exit.ts'
import { formatOf, print } from '../output.ts'
import type { CliPorts } from '../ports.ts'
import { BATCH_FLAGS, batchAt } from './batch-views.ts'
import { connect, HUB_FLAGS } from './observe.ts'

const predict: Command<CliPorts> = {
  name: 'predict',
  group: 'Batch',
  summary:
    'Does it fit at a site now, after evictions, at a time, or never, and what is short; exit 3 where it never fits',
  arguments: [{ name: 'SITE', help: 'site name; its own box is asked without the hub', optional: true }],
  flags: {
    file: {
      type: 'string',
      short: 'f',
      placeholder: 'FILE',
      help: 'manifests: batch jobs, pods, deployments; - is what is piped in',
    },
    output: OUTPUT_FLAG,
    data: BATCH_FLAGS.data,
    selector: ASK_FLAGS.selector,
    timeout: ASK_FLAGS.timeout,
    ...HUB_FLAGS,
  },
  async run([site], flags, ports, io) {
    const format = formatOf(flags, io)
    if (format === undefined) return EXIT.failed
    const { file } = flags
    if (typeof file !== 'string') {
      io.err('error: -f is missing: the file with what would be committed')
      return EXIT.failed
    }
    const { parseAllDocuments } = await import('yaml')
    const parsed = parseAllDocuments(await ports.script(file === '-' ? undefined : file))
    const bad = parsed.flatMap((document) => document.errors)[0]
    if (bad !== undefined) {
      io.err(`error: ${file}: ${bad.message}`)
      return EXIT.failed
    }
    const documents = parsed.map((document) => document.toJS() as unknown).filter(isObject) as readonly JsonObject[]
    const found = await predicted(documents, site, flags, ports, io)
    if (found === undefined) return EXIT.failed
    const all = found.done.flatMap(({ timeZone, predictions }) => predictions.map((one) => ({ ...one, timeZone })))
    if (found.done.length > 0)
      await print(all, format, io, {
        text: (value) =>
          value.length === 0 ? 'nothing in it brings pods' : value.map((one) => textOf(one, one.timeZone)).join('\n'),
        name: (value) => value.map(({ subject, fit }) => `${subject} ${fit}`),
      })
    if (found.code !== EXIT.ok) return found.code
    return all.some(({ fit }) => fit === 'never') ? EXIT.wouldNotFit : EXIT.ok
  },
}

interface PredictSaid {
  readonly timeZone: string
  readonly predictions: readonly PredictedView[]
}

interface Predicted {
  /** Alike ones together: their `site` names them all. */
  readonly done: readonly PredictSaid[]
  readonly code: ExitCode
}

/** At the box of this very site, where this is it; else through the hub. undefined after saying what is wrong. */
async function predicted(
  documents: readonly JsonObject[],
  site: string | undefined,
  flags: Values,
  ports: CliPorts,
  io: Io,
): Promise<Predicted | undefined> {
  const { data } = flags
  const whom = whomOf(flags, io, site)
  if (whom === undefined) return undefined
  const [name] = whom?.sites ?? []
  if (whom === null || whom.selector === null) {
    const said = await atBox(documents, name, typeof data === 'string' ? data : undefined, ports)
    if (said !== undefined) return { done: [said], code: EXIT.ok }
  }
  if (whom === null) {
    io.err('error: name a site, or give -l')
    return undefined
  }
  const { done, code } = await askSites(await connect(ports, flags), 'predict', { documents }, whom, io)
  return {
    code,
    done: done.map((one) => {
      const { timeZone, predictions } = one.said as unknown as PredictSaid
      const where = one.count === 1 ? (one.sites[0] ?? '') : whose(one)
      return { timeZone, predictions: predictions.map((each) => ({ ...each, site: where })) }
    }),
  }
}

/** undefined: no agent is here, or it is another site's. Fault NotFound where `data` says that it must be. */
async function atBox(
  documents: readonly JsonObject[],
  site: string | undefined,
  data: string | undefined,
  ports: CliPorts,
): Promise<PredictSaid | undefined> {
  await using box = await batchAt(data, ports)
  let view: BatchView
  try {
    view = (await box.ask({ op: 'view' })) as unknown as BatchView
  } catch (error) {
    if (data === undefined && error instanceof Fault && error.reason === 'Unreachable') return undefined
    throw error
  }
  if (site !== undefined && view.site !== site) {
    if (data === undefined) return undefined
    throw new Fault('NotFound', `this is the box of ${view.site}, not of ${site}`)
  }
  const { predictions } = await box.ask({ op: 'predict', documents })
  return { timeZone: view.timeZone, predictions: predictions as unknown as readonly PredictedView[] }
}

function textOf({ site, subject, fit, places, evict, atMs, because }: PredictedView, timeZone: string): string {
  const head = `${subject} at ${site}`
  const where = places.map(({ pod, node }) => `  ${pod} -> ${node}`)
  switch (fit) {
    case 'now':
      return [`${head}: fits now`, ...where].join('\n')
    case 'after-evicting':
      return [
        `${head}: fits after evicting ${evict.length} ${evict.length === 1 ? 'pod' : 'pods'}`,
        ...evict.map(({ pod, node }) => `  evict ${pod} from ${node}`),
        ...where,
      ].join('\n')
    case 'at':
      return [`${head}: fits at ${formatMoment(atMs ?? 0, timeZone)} (${timeZone}) at the latest`, ...where].join('\n')
    case 'never':
      return [`${head}: never fits`, ...because.map((line) => `  ${line}`)].join('\n')
  }
}

export const PREDICT: readonly Command<CliPorts>[] = [predict]
