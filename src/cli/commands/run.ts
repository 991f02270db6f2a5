import os from 'node:os'
import { AGENT_NAMESPACE } from '../agent/manifests.ts'
import { askVerbs } from '../ask-verbs.ts'
import type { Command } from '../command.ts'
import { ASK_VERBS, USUAL_VERBS } from '../../core/protocol/ask.ts'
import { EXIT } from '../exit.ts'
import type { CliPorts } from '../ports.ts'

const hub: Command<CliPorts> = {
  name: 'hub',
  group: 'Run',
  summary: 'Follow a Git repository and tell sites what they should be',
  flags: {
    repo: { type: 'string', placeholder: 'URL|DIR', help: 'http(s) URL of the fleet repository, or a folder' },
    branch: { type: 'string', help: 'the branch to follow', default: 'main' },
    root: { type: 'string', placeholder: 'DIR', help: 'folder of flotilla.yaml inside the repository', default: '' },
    data: {
      type: 'string',
      placeholder: 'DIR',
      help: 'where the hub keeps its store and keys',
      default: '.flotilla/hub',
    },
    listen: { type: 'string', placeholder: 'HOST:PORT', help: 'for sites (mutual TLS)', default: '0.0.0.0:8443' },
    api: {
      type: 'string',
      placeholder: 'HOST:PORT',
      help: 'for people and programs (HTTP)',
      default: '127.0.0.1:8080',
    },
    advertise: { type: 'string', placeholder: 'HOST:PORT', help: 'how sites reach this hub, written into join tokens' },
    'poll-ms': { type: 'number', help: 'how often the branch is looked at', default: 15_000 },
    'sync-ms': { type: 'number', help: 'ask every site to come this often, whatever the class of its link' },
    'git-token-file': { type: 'string', placeholder: 'FILE', help: 'bearer token, or password with --git-username' },
    'git-username': { type: 'string', help: 'for basic authentication' },
  },
  async run(_args, flags, ports, io) {
    if (typeof flags['repo'] !== 'string') {
      io.err('error: --repo is missing: the URL or folder of the fleet repository')
      return EXIT.failed
    }
    await ports.runHub(
      {
        repo: flags['repo'],
        branch: String(flags['branch']),
        root: String(flags['root']),
        data: String(flags['data']),
        listen: String(flags['listen']),
        api: String(flags['api']),
        advertise: flags['advertise'] as string | undefined,
        pollMs: Number(flags['poll-ms']),
        syncMs: flags['sync-ms'] as number | undefined,
        tokenFile: flags['git-token-file'] as string | undefined,
        username: flags['git-username'] as string | undefined,
      },
      io.signal,
    )
    return EXIT.ok
  },
}

export const AGENT_DATA = '.flotilla/agent'

const AGENT_FLAGS = {
  data: {
    type: 'string',
    placeholder: 'DIR',
    help: 'where the agent keeps its store and keys',
    default: AGENT_DATA,
  },
  join: {
    type: 'string',
    placeholder: 'TOKEN',
    help: 'single-use token of `flotilla token create`; only the first time',
  },
  kubeconfig: { type: 'string', placeholder: 'FILE', help: 'else KUBECONFIG, else the pod it runs in' },
  context: { type: 'string', help: 'context of the kubeconfig' },
  simulate: { type: 'switch', help: 'a simulated cluster in place of a real one' },
  http: { type: 'string', placeholder: 'HOST:PORT', help: '/metrics and /healthz; none by default' },
  'poll-ms': { type: 'number', help: 'ask the hub this often whatever it says (tests)' },
  namespace: { type: 'string', short: 'n', help: 'where its own objects stand', default: AGENT_NAMESPACE },
  'apply-set': { type: 'string', placeholder: 'NAME', help: 'two agents on one cluster need two', default: 'flotilla' },
  scheduler: { type: 'string', placeholder: 'on|off', help: 'place pods with schedulerName flotilla', default: 'on' },
  asks: {
    type: 'string',
    placeholder: 'VERBS',
    help: `what the hub may ask of this site: all, none, or some of ${Object.keys(ASK_VERBS).join(',')}`,
    default: USUAL_VERBS.join(','),
  },
  'confirm-ms': {
    type: 'number',
    help: 'a new version, or a change marked `confirm: uplink`, has so long to prove itself',
    default: 300_000,
  },
} as const

const agent: Command<CliPorts> = {
  name: 'agent',
  group: 'Run',
  summary: 'Keep this cluster as the hub says, with or without the hub',
  flags: AGENT_FLAGS,
  async run(_args, flags, ports, io) {
    const asks = askVerbs(String(flags['asks']))
    const scheduler = flags['scheduler']
    if (scheduler !== 'on' && scheduler !== 'off') {
      io.err('error: --scheduler is on or off')
      return EXIT.failed
    }
    await ports.runAgent(
      {
        data: String(flags['data']),
        join: flags['join'] as string | undefined,
        kubeconfig: flags['kubeconfig'] as string | undefined,
        context: flags['context'] as string | undefined,
        inCluster: undefined,
        simulate: flags['simulate'] === true,
        http: flags['http'] as string | undefined,
        pollMs: flags['poll-ms'] as number | undefined,
        namespace: flags['namespace'] as string | undefined,
        applySet: flags['apply-set'] as string | undefined,
        confirmMs: flags['confirm-ms'] as number | undefined,
        asks,
        scheduler,
      },
      io.signal,
    )
    return EXIT.ok
  },
}

const demo: Command<CliPorts> = {
  name: 'demo',
  group: 'Try',
  summary: 'A hub, simulated sites and a real Git repository on this machine, and what a rollout looks like',
  flags: {
    sites: {
      type: 'number',
      placeholder: 'N',
      help: 'at most this many; more than fleet-example has are made up',
      default: 0,
    },
    once: { type: 'switch', help: 'end when all has converged: exit 0, or the reason' },
    dir: { type: 'string', placeholder: 'DIR', help: 'where the repository is made', default: '' },
    speed: { type: 'number', placeholder: 'FACTOR', help: 'how much faster than real time the clocks run', default: 0 },
  },
  async run(_args, flags, ports, io) {
    const problem = await ports.runDemo(
      {
        sites: Number(flags['sites']),
        once: flags['once'] === true,
        dir: flags['dir'] === '' ? undefined : String(flags['dir']),
        speed: Number(flags['speed']),
      },
      io,
      io.signal,
    )
    if (problem === undefined) return EXIT.ok
    io.err(`error: the demo did not converge: ${problem}`)
    return EXIT.failed
  },
}

const version: Command<CliPorts> = {
  name: 'version',
  group: 'Run',
  summary: 'Versions of this program and of what it runs on',
  async run(_args, _flags, ports, io) {
    io.out(`flotilla ${ports.version}  node ${process.versions.node}  ${os.platform()}/${os.arch()}`)
    return EXIT.ok
  },
}

export const RUN: readonly Command<CliPorts>[] = [demo, hub, agent, version]
