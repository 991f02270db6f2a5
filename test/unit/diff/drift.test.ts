import { describe, expect, test } from 'vitest'
import { drift, driftClass, settledOf } from '../../../src/core/diff/drift.ts'
import { migrationPatch } from '../../../src/core/diff/managers.ts'
import type { Json, JsonObject } from '../../../src/core/model/json.ts'
import type { Manifest } from '../../../src/core/model/object.ts'
import type { DriftIgnore } from '../../../src/core/model/release.ts'

function object(spec: Json, kind = 'Deployment', apiVersion = 'apps/v1'): Manifest {
  return { apiVersion, kind, metadata: { name: 'web', namespace: 'shop' }, spec }
}

function found(
  desired: Manifest,
  live: Manifest,
  more: { applied?: Manifest; ignore?: readonly DriftIgnore[]; scaled?: boolean } = {},
) {
  const { applied, ignore = [], scaled = false } = more
  return drift({ desired, live, applied, settled: null, ignore, scaled })
}

const container = (rest: JsonObject): Json => ({
  template: { spec: { containers: [{ name: 'main', image: 'a', ...rest }] } },
})

describe('what never counts', () => {
  const cases: readonly { readonly name: string; readonly desired: Manifest; readonly live: Manifest }[] = [
    {
      name: 'defaults of the server',
      desired: object(container({})),
      live: object({ ...(container({ imagePullPolicy: 'Always' }) as JsonObject), revisionHistoryLimit: 10 }),
    },
    {
      name: 'a quantity written another way',
      desired: object(container({ resources: { limits: { cpu: '1000m', memory: '1024Mi' } } })),
      live: object(container({ resources: { limits: { cpu: '1', memory: '1Gi' } } })),
    },
    {
      name: 'a quantity as a number',
      desired: object(container({ resources: { requests: { cpu: 1 } } })),
      live: object(container({ resources: { requests: { cpu: '1' } } })),
    },
    {
      name: 'null timestamps',
      desired: object({ template: { metadata: { creationTimestamp: null } } }),
      live: object({ template: { metadata: {} } }),
    },
    {
      name: 'what is empty and left out',
      desired: object(container({ env: [], hostNetwork: false, securityContext: {} })),
      live: object(container({})),
    },
    {
      name: 'an injected sidecar',
      desired: object(container({})),
      live: object({
        template: {
          spec: {
            containers: [
              { name: 'proxy', image: 'p' },
              { name: 'main', image: 'a' },
            ],
          },
        },
      }),
    },
    {
      name: 'ports without a protocol',
      desired: object(container({ ports: [{ containerPort: 80 }] })),
      live: object(container({ ports: [{ containerPort: 80, protocol: 'TCP' }] })),
    },
    {
      name: 'an injected caBundle',
      desired: { ...object({}), webhooks: [{ name: 'w', clientConfig: { caBundle: 'Cg==' } }] },
      live: { ...object({}), webhooks: [{ name: 'w', clientConfig: { caBundle: 'aW5qZWN0ZWQ=' } }] },
    },
    {
      name: "the order of an autoscaler's metrics",
      desired: object({
        metrics: [
          { type: 'Resource', resource: { name: 'cpu' } },
          { type: 'Resource', resource: { name: 'memory' } },
        ],
      }),
      live: object({
        metrics: [
          { type: 'Resource', resource: { name: 'memory' } },
          { type: 'Resource', resource: { name: 'cpu' } },
        ],
      }),
    },
    {
      name: 'status',
      desired: { ...object({}), status: { replicas: 1 } },
      live: { ...object({}), status: { replicas: 7 } },
    },
    {
      name: 'stringData that became data',
      desired: { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's' }, stringData: { a: 'x' } },
      live: { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's' }, data: { a: 'eA==' } },
    },
  ]
  test.each(cases)('$name', ({ desired, live }) => {
    expect(found(desired, live).differences).toEqual([])
  })
})

describe('what counts', () => {
  const cases: readonly {
    readonly name: string
    readonly desired: Manifest
    readonly live: Manifest
    readonly at: string
  }[] = [
    {
      name: 'another image',
      desired: object(container({})),
      live: object(container({ image: 'b' })),
      at: '/spec/template/spec/containers/0/image',
    },
    {
      name: 'another amount',
      desired: object(container({ resources: { limits: { cpu: '1' } } })),
      live: object(container({ resources: { limits: { cpu: '2' } } })),
      at: '/spec/template/spec/containers/0/resources/limits/cpu',
    },
    {
      name: 'numbers in data are text',
      desired: { ...object({}), data: { cpu: '1.0' } },
      live: { ...object({}), data: { cpu: '1' } },
      at: '/data/cpu',
    },
    {
      name: 'an empty text in data that is gone',
      desired: { ...object({}), data: { a: '' } },
      live: { ...object({}), data: {} },
      at: '/data/a',
    },
    {
      name: 'an environment variable is text too',
      desired: object(container({ env: [{ name: 'A', value: '1' }] })),
      live: object(container({ env: [{ name: 'A', value: '1.0' }] })),
      at: '/spec/template/spec/containers/0/env/0/value',
    },
    {
      name: 'a container that was taken out',
      desired: object(container({})),
      live: object({ template: { spec: { containers: [{ name: 'other', image: 'a' }] } } }),
      at: '/spec/template/spec/containers/0',
    },
    {
      name: 'a list that is one value',
      desired: object({ args: ['a', 'b'] }),
      live: object({ args: ['a', 'b', 'c'] }),
      at: '/spec/args',
    },
    {
      name: 'a label with a slash in its name',
      desired: { ...object({}), metadata: { name: 'web', labels: { 'a/b': '1' } } },
      live: { ...object({}), metadata: { name: 'web', labels: { 'a/b': '2' } } },
      at: '/metadata/labels/a~1b',
    },
  ]
  test.each(cases)('$name', ({ desired, live, at }) => {
    expect(found(desired, live).differences.map(({ pointer }) => pointer)).toEqual([at])
  })
})

describe('who moved', () => {
  const at = (value: number): Manifest => object({ replicas: value, paused: false })
  test.each([
    { name: 'live moved', desired: 1, applied: 1, live: 2, is: 'drift' },
    { name: 'desired moved', desired: 2, applied: 1, live: 1, is: 'pending' },
    { name: 'both moved', desired: 3, applied: 1, live: 2, is: 'conflict' },
  ] as const)('$name: $is', ({ desired, applied, live, is }) => {
    const { differences } = found(at(desired), at(live), { applied: at(applied) })
    expect(driftClass(differences)).toBe(is)
  })

  test('fields that moved on both sides, apart from each other, are a conflict of the object', () => {
    const { differences } = found(object({ a: 2, b: 1 }), object({ a: 1, b: 2 }), { applied: object({ a: 1, b: 1 }) })
    expect(differences.map(({ drift }) => drift)).toEqual(['pending', 'drift'])
    expect(driftClass(differences)).toBe('conflict')
  })
})

describe('what is left to others', () => {
  const managed = (spec: Json, entries: readonly JsonObject[]): Manifest => {
    const live = object(spec)
    return { ...live, metadata: { ...live.metadata, managedFields: entries } }
  }
  const replicas = { 'f:spec': { 'f:replicas': {} } }

  test.each([
    { name: 'an autoscaler of ours scales it', live: object({ replicas: 5 }), more: { scaled: true } },
    {
      name: 'it was scaled through the subresource',
      live: managed({ replicas: 5 }, [
        { manager: 'kube-controller-manager', operation: 'Update', subresource: 'scale', fieldsV1: replicas },
      ]),
      more: {},
    },
    {
      name: 'a rule names the field',
      live: object({ replicas: 5 }),
      more: { ignore: [{ kind: 'Deployment', jsonPointers: ['/spec/replicas'] }] },
    },
    {
      name: 'a rule names the manager',
      live: managed({ replicas: 5 }, [{ manager: 'vpa', operation: 'Update', fieldsV1: replicas }]),
      more: { ignore: [{ managers: ['vpa'] }] },
    },
  ])('$name: nothing counts, and what is sent carries the live value', ({ live, more }) => {
    const { differences, send } = found(
      object({ replicas: 1, paused: true }),
      { ...live, spec: { ...(live['spec'] as JsonObject), paused: true } },
      more,
    )
    expect(differences).toEqual([])
    expect(send['spec']).toEqual({ replicas: 5, paused: true })
  })

  test('a rule for another object does not count', () => {
    const ignore = [{ kind: 'StatefulSet', jsonPointers: ['/spec/replicas'] }]
    expect(found(object({ replicas: 1 }), object({ replicas: 5 }), { ignore }).differences).toHaveLength(1)
  })
})

test('what the server made of our fields is no drift as long as it stays so', () => {
  const desired = object({ note: 'Mixed-Case' })
  const live = object({ note: 'mixed-case' })
  const settled = settledOf(desired, live)
  expect(drift({ desired, applied: desired, live, settled, ignore: [], scaled: false }).differences).toEqual([])
  const moved = object({ note: 'other' })
  expect(
    drift({ desired, applied: desired, live: moved, settled, ignore: [], scaled: false }).differences,
  ).toHaveLength(1)
})

describe('fields of earlier tools', () => {
  const live = (managedFields: readonly JsonObject[]): Manifest => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'a', resourceVersion: '7', managedFields },
  })
  const entry = (manager: string, operation: string, key: string, rest: JsonObject = {}): JsonObject => ({
    manager,
    operation,
    apiVersion: 'v1',
    fieldsType: 'FieldsV1',
    fieldsV1: { 'f:data': { [`f:${key}`]: {} } },
    ...rest,
  })

  test.each([
    'kubectl-client-side-apply',
    'kubectl-edit',
    'before-first-apply',
    'helm',
    'kustomize-controller',
    'argocd-controller',
  ])('%s: its fields become ours, so that they can go away', (manager) => {
    const patch = migrationPatch(live([entry('flotilla', 'Apply', 'a'), entry(manager, 'Update', 'b')]))
    expect(patch?.[0]?.['value']).toEqual([
      entry('flotilla', 'Apply', 'a', { fieldsV1: { 'f:data': { 'f:a': {}, 'f:b': {} } } }),
    ])
    expect(patch?.[1]).toEqual({ op: 'replace', path: '/metadata/resourceVersion', value: '7' })
  })

  test.each([
    { name: 'controllers', entry: entry('kube-controller-manager', 'Update', 'b') },
    {
      name: 'what kubectl wrote to the status',
      entry: entry('kubectl-edit', 'Update', 'b', { subresource: 'status' }),
    },
  ])('$name keep theirs', ({ entry }) => {
    expect(migrationPatch(live([entry]))).toBeNull()
  })
})
