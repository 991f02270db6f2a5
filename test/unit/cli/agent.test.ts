/** What an agent may do in a cluster is looked at by people: a change of these files is a change of its rights. */
import { describe, expect, test } from 'vitest'
import { parseAllDocuments, stringify } from 'yaml'
import { KEYS_SECRET as COPY } from '../../../src/agent/keys-copy.ts'
import { agentManifests, KEYS_SECRET, type InstallOptions } from '../../../src/cli/agent/manifests.ts'
import { askVerbs } from '../../../src/cli/ask-verbs.ts'
import { AGENT } from '../../../src/cli/commands/agent.ts'
import type { CliPorts } from '../../../src/cli/ports.ts'
import { runProgram } from '../../../src/cli/program.ts'
import type { Manifest } from '../../../src/core/model/object.ts'

const OPTIONS: InstallOptions = {
  namespace: 'flotilla-system',
  image: 'flotilla:0.1.0',
  join: undefined,
  store: { kind: 'claim', size: '1Gi', storageClass: undefined },
  accounts: [],
  ownWrites: 'all',
}
const isRight = ({ apiVersion, kind }: Manifest): boolean =>
  kind === 'ServiceAccount' || apiVersion.startsWith('rbac.authorization.k8s.io/')
const textOf = (manifests: readonly Manifest[]): string => manifests.map((it) => stringify(it)).join('---\n')

describe('the rights of the agent are those of a golden file', () => {
  test.each<[string, string, Partial<InstallOptions>]>([
    ['where Workloads name no account', 'rights.yaml', {}],
    [
      'where every Workload names one',
      'rights-accounts.yaml',
      { accounts: ['shop/till', 'shop/stock', 'vision/camera'], ownWrites: 'none' },
    ],
    ['where some name one', 'rights-some.yaml', { accounts: ['shop/till'] }],
    ['where they may name any', 'rights-any.yaml', { accounts: 'any' }],
  ])('%s', async (_where, file, more) => {
    const text = textOf(agentManifests({ ...OPTIONS, ...more }).filter(isRight))
    await expect(text).toMatchFileSnapshot(`golden/${file}`)
  })
})

test('nobody is impersonated unless an account is named, and then that one', () => {
  const impersonates = (more: Partial<InstallOptions>) =>
    agentManifests({ ...OPTIONS, ...more })
      .flatMap((it) => (it['rules'] ?? []) as { verbs: string[]; resources: string[]; resourceNames?: string[] }[])
      .filter(({ verbs }) => verbs.includes('impersonate'))
  expect(impersonates({})).toEqual([])
  const named = impersonates({ accounts: ['shop/till'] })
  expect(named.map(({ resources, resourceNames }) => [...resources, ...(resourceNames ?? ['ANY'])])).toEqual([
    ['groups', 'system:authenticated', 'system:serviceaccounts', 'system:serviceaccounts:shop'],
    ['serviceaccounts', 'till'],
  ])
})

test('the copy of the keys has the name that the rights are for', () => {
  expect(KEYS_SECRET).toBe(COPY)
})

test('everything else of an installation is that of a golden file', async () => {
  const text = textOf(agentManifests({ ...OPTIONS, join: 'token' }).filter((it) => !isRight(it)))
  await expect(text).toMatchFileSnapshot('golden/agent.yaml')
})

test('the pod is confined: not root, a root file system that is read only, no capabilities, no other volume than store and tmp', () => {
  const pod = agentManifests(OPTIONS).find(({ kind }) => kind === 'Deployment')?.['spec']
  expect(pod).toMatchObject({
    replicas: 1,
    strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
    template: {
      spec: {
        securityContext: { runAsNonRoot: true, runAsUser: 65_532, seccompProfile: { type: 'RuntimeDefault' } },
        containers: [
          {
            securityContext: {
              allowPrivilegeEscalation: false,
              readOnlyRootFilesystem: true,
              capabilities: { drop: ['ALL'] },
            },
          },
        ],
        volumes: [{ name: 'data' }, { name: 'tmp' }],
      },
    },
  })
})

test('a folder of the node is given to the agent before it starts, and no claim is made', () => {
  const made = agentManifests({ ...OPTIONS, store: { kind: 'hostPath', path: '/var/lib/flotilla' } })
  expect(made.map(({ kind }) => kind)).not.toContain('PersistentVolumeClaim')
  expect(made.at(-1)?.['spec']).toMatchObject({
    template: { spec: { initContainers: [{ name: 'own-data', securityContext: { runAsUser: 0 } }] } },
  })
})

test('what the hub may ask is an argument of the agent, and a verb that there is none of is refused', () => {
  const argsOf = (text: string | undefined): unknown => {
    const made = agentManifests({ ...OPTIONS, ...(text === undefined ? {} : { asks: text }) })
    return JSON.stringify(made).match(/--asks=[^"]*/)?.[0]
  }
  expect([argsOf(undefined), argsOf('diff,logs')]).toEqual([undefined, '--asks=diff,logs'])
  expect(askVerbs('all')).toContain('exec')
  expect([askVerbs('none'), askVerbs('diff,logs')]).toEqual([[], ['diff', 'logs']])
  expect(() => askVerbs('diff,teleport')).toThrow('--asks found teleport, expected all, none, or some of diff,')
})

test('the command prints documents that are the same objects, and its flags are its own', async () => {
  const out: string[] = []
  const io = {
    out: (text: string) => void out.push(text),
    err: (text: string) => void out.push(text),
    terminal: false,
    color: false,
    ascii: true,
    columns: 80,
    nowMs: () => 0,
    signal: new AbortController().signal,
  }
  const agent = { name: 'agent', group: 'Run', summary: 'runs', flags: { join: { type: 'string', help: '' } } } as const
  const commands = [{ ...agent, run: async () => 2 as const }, ...AGENT]
  const argv = ['agent', 'manifests', '--join', 'token', '--account', 'shop/till']
  const code = await runProgram(commands, argv, '0.1.0', { version: '0.1.0' } as CliPorts, io)
  expect(code).toBe(0)
  const printed = parseAllDocuments(out.join('\n')).map((document): unknown => document.toJS())
  expect(printed).toEqual(agentManifests({ ...OPTIONS, join: 'token', accounts: ['shop/till'], ownWrites: 'none' }))
})
