/** A release signer's word for what a folder renders: said in CI or with an offline key, kept by the hub, believed by sites. */
import type { Fleet, RenderedFleet } from '../../core/fleet/types.ts'
import type { Digest } from '../../core/model/digest.ts'
import type { Json } from '../../core/model/json.ts'
import type { ReleaseStatement } from '../../core/protocol/statement.ts'
import type { Command } from '../command.ts'
import { EXIT } from '../exit.ts'
import type { CliPorts } from '../ports.ts'
import { failWith, read, ROOT_FLAG } from './author.ts'
import { connect, HUB_FLAGS } from './observe.ts'

/** A manifest carries whole statements: one that named 10,000 sites would cost each of them 70 KB. */
const SITES_A_STATEMENT = 40
/** Below the body that the hub takes. */
const STATEMENTS_A_REQUEST = 30

const sign: Command<CliPorts> = {
  name: 'sign',
  group: 'Author',
  summary: 'Sign for every release that a folder renders, as a release signer, and give that to the hub',
  arguments: [{ name: 'DIR', help: 'the repository, at the commit that is meant', optional: true }],
  flags: {
    key: { type: 'string', placeholder: 'FILE', help: 'private key of the release signer, Ed25519, PEM' },
    seq: { type: 'number', help: 'grows with each signing; default: seconds since 1970' },
    'not-below': { type: 'number', help: 'nothing that was signed for under a lower seq counts any more', default: 0 },
    root: ROOT_FLAG,
    ...HUB_FLAGS,
  },
  async run([dir = '.'], flags, ports, io) {
    if (typeof flags['key'] !== 'string') {
      io.err('error: --key is missing: the private key of the release signer')
      return EXIT.failed
    }
    const { parsed, rendered, problems } = await read(dir, String(flags['root'] ?? ''), ports)
    if (parsed.fleet === null || rendered === null) return failWith(problems, io)
    const { signRelease } = await import('../../core/protocol/statement.ts')
    const key = await ports.signer(flags['key'])
    const revisionSeq = Number(flags['seq'] ?? Math.floor(io.nowMs() / 1000))
    const statements = wordsFor(parsed.fleet, rendered, revisionSeq, Number(flags['not-below']))
    const hub = await connect(ports, flags)
    for (let i = 0; i < statements.length; i += STATEMENTS_A_REQUEST) {
      const signed = statements.slice(i, i + STATEMENTS_A_REQUEST).map((statement) => signRelease(statement, key))
      await hub.send('POST', '/v1/statements', { statements: signed as unknown as Json })
    }
    io.out(`${rendered.releases.size} releases signed for under ${revisionSeq}, in ${statements.length} statements`)
    return EXIT.ok
  },
}

/** One word for each workload, release and few sites, with the names that these had before. */
function wordsFor(
  fleet: Fleet,
  { sites }: Pick<RenderedFleet, 'sites'>,
  revisionSeq: number,
  notBelow: number,
): readonly ReleaseStatement[] {
  const groups = new Map<string, { readonly workload: string; readonly release: Digest; readonly sites: string[] }>()
  for (const [site, workloads] of sites)
    for (const [workload, release] of workloads) {
      const group = groups.get(`${workload}\n${release}`) ?? { workload, release, sites: [] }
      groups.set(`${workload}\n${release}`, group)
      group.sites.push(site)
    }
  return [...groups.values()].flatMap(({ workload, release, sites: all }) =>
    Array.from({ length: Math.ceil(all.length / SITES_A_STATEMENT) }, (_, i) => {
      const some = all.slice(i * SITES_A_STATEMENT, (i + 1) * SITES_A_STATEMENT)
      return { revisionSeq, workload, sites: some, release, notBelow, ...formerNamesOf(fleet, some) }
    }),
  )
}

function formerNamesOf({ sites }: Fleet, names: readonly string[]): Pick<ReleaseStatement, 'formerNames'> {
  const pairs = names.map((name) => [name, sites.get(name)?.formerNames ?? []] as const)
  const renamed = pairs.filter(([, former]) => former.length > 0)
  return renamed.length === 0 ? {} : { formerNames: Object.fromEntries(renamed) }
}

export const SIGN: readonly Command<CliPorts>[] = [sign]
