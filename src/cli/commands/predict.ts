/** What a change would do at a site, by the core that its scheduler runs: before it is committed. */
import { formatMoment } from '../../core/batch/slurm-time.ts'
import type { BatchView, PredictedView } from '../../core/batch/view.ts'
import { isObject, type JsonObject } from '../../core/model/json.ts'
import { type Command, OUTPUT_FLAG } from '../command.ts'
import { EXIT } from '../exit.ts'
import { formatOf, print } from '../output.ts'
import type { CliPorts } from '../ports.ts'
import { BATCH_FLAGS, batchAt } from './batch-views.ts'

const predict: Command<CliPorts> = {
  name: 'predict',
  group: 'Batch',
  summary:
    'At a box: does it fit now, after evictions, at a time, or never, and what is short; exit 3 where it never fits',
  arguments: [{ name: 'SITE', help: 'whose box this is' }],
  flags: {
    file: {
      type: 'string',
      short: 'f',
      placeholder: 'FILE',
      help: 'manifests: batch jobs, pods, deployments; - is what is piped in',
    },
    output: OUTPUT_FLAG,
    data: BATCH_FLAGS.data,
  },
  async run([site = ''], flags, ports, io) {
    const format = formatOf(flags, io)
    if (format === undefined) return EXIT.failed
    const { file, data } = flags
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
    await using box = await batchAt(typeof data === 'string' ? data : undefined, ports)
    const view = (await box.ask({ op: 'view' })) as unknown as BatchView
    if (view.site !== site) {
      io.err(`error NotFound: this is the box of ${view.site}, not of ${site}`)
      return EXIT.failed
    }
    const answer = await box.ask({ op: 'predict', documents })
    const found = answer['predictions'] as unknown as readonly PredictedView[]
    await print(found, format, io, {
      text: (all) =>
        all.length === 0 ? 'nothing in it brings pods' : all.map((one) => textOf(one, view.timeZone)).join('\n'),
      name: (all) => all.map(({ subject, fit }) => `${subject} ${fit}`),
    })
    return found.some(({ fit }) => fit === 'never') ? EXIT.wouldNotFit : EXIT.ok
  },
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
