import { askVerbs } from '../ask-verbs.ts'
import type { Command, Flag, Values } from '../command.ts'
import { AGENT_NAME, AGENT_NAMESPACE, agentManifests, type InstallOptions } from '../agent/manifests.ts'
import { installAgent, untilReady } from '../agent/install.ts'
import { uninstallAgent } from '../agent/uninstall.ts'
import { Fault } from '../../core/model/fault.ts'
import type { Cluster } from '../../core/kube/cluster.ts'
import { EXIT } from '../exit.ts'
import type { CliPorts } from '../ports.ts'

const INSTALL_FLAGS: Readonly<Record<string, Flag>> = {
  namespace: { type: 'string', short: 'n', help: 'where the agent lives', default: AGENT_NAMESPACE },
  image: { type: 'string', help: 'of this program; build it with the Dockerfile', default: '' },
  join: {
    type: 'string',
    placeholder: 'TOKEN',
    help: 'line of `flotilla token create`; without it make the Secret flotilla-agent-join, key token, yourself',
  },
  size: { type: 'string', help: 'of the claim that keeps the store', default: '1Gi' },
  'storage-class': { type: 'string', help: 'of the claim; the cluster default without it' },
  'host-path': { type: 'string', placeholder: 'DIR', help: 'a folder of the node instead of a claim' },
  account: {
    type: 'list',
    placeholder: 'NAMESPACE/NAME',
    help: 'it may act as this service account of a Workload, and as no other; may be given again; * for any',
  },
  'own-writes': {
    type: 'string',
    placeholder: 'all|none',
    help: 'what it may write by itself, for Workloads that name no account; all, or none where --account is given',
  },
  asks: {
    type: 'string',
    placeholder: 'VERBS',
    help: 'what the hub may ask of the site: all, none, or verbs with commas between; all but exec without it',
  },
}

function optionsOf(flags: Values, version: string): InstallOptions {
  const text = (name: string): string | undefined =>
    flags[name] === '' ? undefined : (flags[name] as string | undefined)
  const path = text('host-path')
  return {
    namespace: String(flags['namespace'] ?? AGENT_NAMESPACE),
    image: text('image') ?? `flotilla:${version}`,
    join: text('join'),
    store:
      path === undefined
        ? { kind: 'claim', size: text('size') ?? '1Gi', storageClass: text('storage-class') }
        : { kind: 'hostPath', path },
    ...rightsIn(flags),
    ...asksIn(text('asks')),
  }
}

/** Fault InvalidInput: an agent that does not know a verb would not start. */
function asksIn(asks: string | undefined): Pick<InstallOptions, 'asks'> {
  if (asks === undefined) return {}
  askVerbs(asks)
  return { asks }
}

function rightsIn(flags: Values): Pick<InstallOptions, 'accounts' | 'ownWrites'> {
  const named = (flags['account'] as readonly string[] | undefined) ?? []
  const ownWrites = flags['own-writes'] ?? (named.length === 0 || named.includes('*') ? 'all' : 'none')
  if (ownWrites !== 'all' && ownWrites !== 'none')
    throw new Fault('InvalidInput', `--own-writes found ${String(ownWrites)}, expected all or none`)
  return { accounts: named.includes('*') ? 'any' : named, ownWrites }
}

const manifests: Command<CliPorts> = {
  name: 'agent manifests',
  group: 'Run',
  summary: 'Print what installs the agent in a cluster: pipe it to kubectl apply -f -',
  flags: INSTALL_FLAGS,
  async run(_args, flags, ports, io) {
    const { stringify } = await import('yaml')
    const documents = agentManifests(optionsOf(flags, ports.version)).map((manifest) => stringify(manifest))
    io.out(documents.join('---\n').trimEnd())
    return EXIT.ok
  },
}

const CLUSTER_FLAGS: Readonly<Record<string, Flag>> = {
  kubeconfig: { type: 'string', placeholder: 'FILE', help: 'else KUBECONFIG' },
  context: { type: 'string', help: 'context of the kubeconfig' },
}

async function withCluster<T>(flags: Values, ports: CliPorts, use: (cluster: Cluster) => Promise<T>): Promise<T> {
  const cluster = await ports.cluster(flags['kubeconfig'] as string | undefined, flags['context'] as string | undefined)
  try {
    return await use(cluster)
  } finally {
    await cluster.close()
  }
}

const { join: _, ...JOIN_FLAGS } = INSTALL_FLAGS

const join: Command<CliPorts> = {
  name: 'join',
  group: 'Sites',
  summary: 'Install the agent in a cluster with the line of `flotilla token create`, and wait until it is ready',
  arguments: [{ name: 'TOKEN', help: 'works once; the same cluster may be joined again with a new one' }],
  flags: {
    ...JOIN_FLAGS,
    ...CLUSTER_FLAGS,
    wait: {
      type: 'number',
      placeholder: 'SECONDS',
      help: 'how long it may take to get ready; 0: do not wait',
      default: 300,
    },
  },
  async run([token = ''], flags, ports, io) {
    const options = { ...optionsOf(flags, ports.version), join: token }
    const objects = agentManifests(options)
    const waitS = Number(flags['wait'])
    return withCluster(flags, ports, async (cluster) => {
      await installAgent(cluster, objects, (line) => io.out(line), io.signal)
      const deployment = objects.find(({ kind }) => kind === 'Deployment')
      if (deployment === undefined || waitS === 0) return EXIT.ok
      const patience = AbortSignal.any([io.signal, AbortSignal.timeout(waitS * 1_000)])
      if (await untilReady(cluster, deployment, patience)) {
        io.out('the agent is ready')
        return EXIT.ok
      }
      io.err(`error: the agent is installed and not ready within ${waitS} s; it goes on trying`)
      io.err(`  next: kubectl -n ${options.namespace} describe pod -l app.kubernetes.io/name=${AGENT_NAME}`)
      io.err(`        kubectl -n ${options.namespace} logs deploy/${AGENT_NAME}`)
      return EXIT.timeout
    })
  },
}

const uninstall: Command<CliPorts> = {
  name: 'agent uninstall',
  group: 'Run',
  summary: 'Take the agent out of a cluster; what it applied keeps running unless told otherwise',
  flags: {
    namespace: { type: 'string', short: 'n', help: 'where the agent lives', default: AGENT_NAMESPACE },
    workloads: {
      type: 'string',
      placeholder: 'keep|remove',
      help: 'remove: also what it applied, but for namespaces, volumes, claims and definitions',
      default: 'keep',
    },
    data: {
      type: 'string',
      placeholder: 'keep|remove',
      help: 'the store, its keys and the namespace',
      default: 'keep',
    },
    ...CLUSTER_FLAGS,
    account: { type: 'list', placeholder: 'NAMESPACE/NAME', help: 'as given to `agent manifests`' },
    'own-writes': { type: 'string', placeholder: 'all|none', help: 'as given to `agent manifests`' },
  },
  async run(_args, flags, ports, io) {
    const choice = (name: string): 'keep' | 'remove' | undefined => {
      const value = flags[name]
      return value === 'keep' || value === 'remove' ? value : undefined
    }
    const [workloads, data] = [choice('workloads'), choice('data')]
    if (workloads === undefined || data === undefined) {
      io.err('error: --workloads and --data take keep or remove')
      return EXIT.failed
    }
    const options = optionsOf(flags, ports.version)
    const failed = await withCluster(flags, ports, (cluster) =>
      uninstallAgent(
        cluster,
        {
          installed: agentManifests({ ...options, join: 'named for removal' }),
          applySet: { namespace: options.namespace, name: 'flotilla' },
          workloads,
          data,
        },
        (line) => io.out(line),
        io.signal,
      ),
    )
    return failed === 0 ? EXIT.ok : EXIT.failed
  },
}

export const AGENT: readonly Command<CliPorts>[] = [join, manifests, uninstall]
