import { describe, expect, test } from 'vitest'
import { intend, inventoryAfter, recovered } from '../../../src/core/diff/inventory.ts'
import { FIELD_MANAGER, marksOf, withMarks } from '../../../src/core/diff/marks.ts'
import { plan } from '../../../src/core/diff/plan.ts'
import type { DesiredWorkload, InventoryEntry, OwnedEntry, PlanInput, Step } from '../../../src/core/diff/types.ts'
import { digestJson } from '../../../src/core/model/digest.ts'
import { refKey, refOf, type Manifest } from '../../../src/core/model/object.ts'
import type { ReleaseRules } from '../../../src/core/model/release.ts'

const MARKS = marksOf({ namespace: 'flotilla-system', name: 'flotilla' })
const RULES: ReleaseRules = {
  prune: 'on',
  pruneFirst: [],
  pruneConfirm: [],
  adopt: 'never',
  replace: 'never',
  drift: { mode: 'correct', ignore: [] },
  healthChecks: [],
  suspend: false,
  formerNames: [],
}

function object(
  kind: string,
  name: string,
  more: { apiVersion?: string; namespace?: string; annotations?: Record<string, string> } = {},
): Manifest {
  const { apiVersion = 'v1', namespace = 'shop', annotations } = more
  const metadata = {
    name,
    ...(namespace === '' ? {} : { namespace }),
    ...(annotations === undefined ? {} : { annotations }),
  }
  return { apiVersion, kind, metadata }
}

function workload(name: string, objects: readonly Manifest[], rules: Partial<ReleaseRules> = {}): DesiredWorkload {
  return {
    name,
    order: 0,
    rules: { ...RULES, ...rules },
    objects: objects.map((it) => ({
      ref: refOf(it),
      apiVersion: it.apiVersion,
      digest: digestJson('object', it),
      manifest: () => it,
    })),
    reserved: [],
    state: 'active',
  }
}

/** As it stands in the cluster after we applied it. */
function ours(manifest: Manifest, uid: string, name = 'till'): Manifest {
  const marked = withMarks(manifest, name, MARKS)
  const managedFields = [{ manager: FIELD_MANAGER, operation: 'Apply', apiVersion: manifest.apiVersion, fieldsV1: {} }]
  return { ...marked, metadata: { ...marked.metadata, uid, resourceVersion: '5', managedFields } }
}

function entry(manifest: Manifest, uid: string, name = 'till'): OwnedEntry {
  return {
    state: 'owned',
    ref: refOf(manifest),
    apiVersion: manifest.apiVersion,
    workload: name,
    uid,
    applied: digestJson('object', manifest),
    resourceVersion: '5',
    settled: null,
  }
}

function input(
  workloads: readonly DesiredWorkload[],
  live: readonly Manifest[],
  entries: readonly InventoryEntry[],
  more: Partial<PlanInput> = {},
): PlanInput {
  const there = new Map(live.map((it) => [refKey(refOf(it)), it] as const))
  const asked = [...workloads.flatMap(({ objects }) => objects.map(({ ref }) => ref)), ...entries.map(({ ref }) => ref)]
  return {
    marks: MARKS,
    workloads,
    gone: new Map(),
    inventory: new Map(entries.map((it) => [refKey(it.ref), it] as const)),
    actual: new Map(asked.map((ref) => [refKey(ref), there.get(refKey(ref)) ?? null] as const)),
    prune: 'on',
    fuse: { objects: 50 },
    confirmed: new Set(),
    instances: new Map(),
    applied: () => undefined,
    verified: () => false,
    healthy: () => true,
    suspected: () => [],
    fought: () => false,
    ...more,
  }
}

const said = (steps: readonly Step[]): readonly string[] =>
  steps.map(
    (step) =>
      `${step.kind} ${step.ref.kind} ${step.ref.name}${'because' in step && typeof step.because === 'string' ? `: ${step.because}` : ''}`,
  )

const MAP = object('ConfigMap', 'a')
const CLAIM = object('PersistentVolumeClaim', 'data')
const SPACE = object('Namespace', 'shop', { namespace: '' })

describe('what goes', () => {
  const cases: readonly { readonly name: string; readonly input: PlanInput; readonly steps: readonly string[] }[] = [
    {
      name: 'what we own and nobody wants',
      input: input([workload('till', [])], [ours(MAP, 'u1')], [entry(MAP, 'u1')]),
      steps: ['delete ConfigMap a: removed'],
    },
    {
      name: 'not one of another UID',
      input: input([workload('till', [])], [ours(MAP, 'u2')], [entry(MAP, 'u1')]),
      steps: ['forget ConfigMap a: uid-changed'],
    },
    {
      name: 'not one that was only intended and carries no marks',
      input: input(
        [workload('till', [])],
        [{ ...MAP, metadata: { ...MAP.metadata, uid: 'u1' } }],
        [{ ...entry(MAP, 'u1'), state: 'intended' }],
      ),
      steps: ['forget ConfigMap a: not-ours'],
    },
    {
      name: 'one that was intended and carries our marks',
      input: input([workload('till', [])], [ours(MAP, 'u1')], [{ ...entry(MAP, 'u1'), state: 'intended' }]),
      steps: ['delete ConfigMap a: removed'],
    },
    {
      name: 'nothing where prune is off',
      input: input([workload('till', [], { prune: 'off' })], [ours(MAP, 'u1')], [entry(MAP, 'u1')]),
      steps: ['leave ConfigMap a: prune-off'],
    },
    {
      name: 'nothing in the turn in which the inventory was rebuilt',
      input: input([workload('till', [])], [ours(MAP, 'u1')], [entry(MAP, 'u1')], { prune: 'off' }),
      steps: ['leave ConfigMap a: prune-off'],
    },
    {
      name: 'nothing of a workload whose rules nobody knows',
      input: input([], [ours(MAP, 'u1')], [entry(MAP, 'u1')]),
      steps: ['leave ConfigMap a: rules-unknown'],
    },
    {
      name: 'what a workload leaves behind when it goes',
      input: input([], [ours(MAP, 'u1')], [entry(MAP, 'u1')], { gone: new Map([['till', RULES]]) }),
      steps: ['delete ConfigMap a: workload-removed'],
    },
    {
      name: 'no claim without a yes',
      input: input([workload('till', [])], [ours(CLAIM, 'u1')], [entry(CLAIM, 'u1')]),
      steps: ['leave PersistentVolumeClaim data: protected'],
    },
    {
      name: 'a claim that pruneConfirm names',
      input: input(
        [workload('till', [], { pruneConfirm: [{ kind: 'PersistentVolumeClaim', name: 'data' }] })],
        [ours(CLAIM, 'u1')],
        [entry(CLAIM, 'u1')],
      ),
      steps: ['delete PersistentVolumeClaim data: removed'],
    },
    {
      name: 'no namespace that something desired stands in',
      input: input(
        [workload('till', [MAP], { pruneConfirm: [{ kind: 'Namespace' }] })],
        [ours(MAP, 'u1'), ours(SPACE, 'u2')],
        [entry(MAP, 'u1'), entry(SPACE, 'u2')],
      ),
      steps: ['leave Namespace shop: protected', 'leave ConfigMap a: in-sync'],
    },
    {
      name: 'nothing that a controller took over',
      input: input(
        [workload('till', [])],
        [
          {
            ...ours(MAP, 'u1'),
            metadata: {
              ...ours(MAP, 'u1').metadata,
              ownerReferences: [{ apiVersion: 'v1', kind: 'Operator', name: 'o', uid: 'x', controller: true }],
            },
          },
        ],
        [entry(MAP, 'u1')],
      ),
      steps: ['leave ConfigMap a: owned-by-another'],
    },
    {
      name: 'nothing that could not be read',
      input: input([workload('till', [])], [], [entry(MAP, 'u1')], { actual: new Map() }),
      steps: ['leave ConfigMap a: unread'],
    },
    {
      name: 'nothing that the next release wants',
      input: input([{ ...workload('till', []), reserved: [refOf(MAP)] }], [ours(MAP, 'u1')], [entry(MAP, 'u1')]),
      steps: [],
    },
  ]
  test.each(cases)('$name', ({ input, steps }) => {
    expect(said(plan(input))).toEqual(steps)
  })

  test('a namespace stays while a claim in it does', () => {
    const rules = { pruneConfirm: [{ kind: 'Namespace' }] }
    const live = [ours(SPACE, 'u1'), ours(CLAIM, 'u2')]
    const steps = plan(input([workload('till', [], rules)], live, [entry(SPACE, 'u1'), entry(CLAIM, 'u2')]))
    expect(steps.every(({ kind }) => kind === 'leave')).toBe(true)
  })

  test('an account stays while objects that were applied under it do', () => {
    const account = object('ServiceAccount', 'team')
    const live = [ours(account, 'u1', 'base'), ours(MAP, 'u2')]
    const entries = [entry(account, 'u1', 'base'), entry(MAP, 'u2')]
    const gone = new Map([['till', { ...RULES, serviceAccount: 'team' }]])
    const steps = plan(input([workload('base', [])], live, entries, { gone }))
    expect(said(steps)).toEqual(['delete ConfigMap a: workload-removed', 'leave ServiceAccount team: protected'])
    expect(said(plan(input([workload('base', [])], live.slice(0, 1), entries.slice(0, 1), { gone })))).toEqual([
      'delete ServiceAccount team: removed',
    ])
  })

  test('an object that changed its API group keeps its UID and is not deleted under its old name', () => {
    const old = object('Ingress', 'web', { apiVersion: 'extensions/v1beta1' })
    const now = object('Ingress', 'web', { apiVersion: 'networking.k8s.io/v1' })
    const steps = plan(input([workload('till', [now])], [ours(old, 'u1'), ours(now, 'u1')], [entry(old, 'u1')]))
    expect(said(steps)).toEqual(['adopt Ingress web: same-uid', 'forget Ingress web: same-uid'])
    const [adopt] = steps
    const change = inventoryAfter(new Map(), [{ kind: 'applied', step: adopt as never, live: ours(now, 'u1') }])
    expect([...change.keys()]).toEqual(['networking.k8s.io/Ingress/shop/web'])
  })

  test('dependents go before what they depend on', () => {
    const user = object('ConfigMap', 'user', {
      annotations: { 'config.kubernetes.io/depends-on': '/namespaces/shop/ConfigMap/a' },
    })
    const steps = plan(
      input([workload('till', [])], [ours(MAP, 'u1'), ours(user, 'u2')], [entry(MAP, 'u1'), entry(user, 'u2')]),
    )
    const first = steps.find(({ ref }) => ref.name === 'a')
    expect(first).toMatchObject({ kind: 'delete', needs: [refKey(refOf(user))] })
  })

  test('the higher wave goes first, and a kapp rule is heeded as long as nothing waits for itself', () => {
    const wave = (name: string, number: string): Manifest =>
      object('ConfigMap', name, { annotations: { 'argocd.argoproj.io/sync-wave': number } })
    const rule = (name: string, text: string): Manifest =>
      object('ConfigMap', name, { annotations: { 'kapp.k14s.io/change-group': 'g', 'kapp.k14s.io/change-rule': text } })
    const needs = (objects: readonly Manifest[]): readonly (readonly string[])[] =>
      plan(
        input(
          [workload('till', [])],
          objects.map((it, i) => ours(it, `u${i}`)),
          objects.map((it, i) => entry(it, `u${i}`)),
        ),
      )
        .toSorted((a, b) => (a.ref.name < b.ref.name ? -1 : 1))
        .map((step) => ('needs' in step ? step.needs.map((key) => key.split('/')[3] ?? '') : []))
    expect(needs([wave('a', '1'), wave('b', '2')])).toEqual([['b'], []])
    expect(needs([object('ConfigMap', 'a'), rule('b', 'x')])).toEqual([[], []])
    const first = object('ConfigMap', 'a', { annotations: { 'kapp.k14s.io/change-group': 'first' } })
    expect(needs([first, rule('b', 'delete after deleting first')])).toEqual([[], ['a']])
    expect(needs([rule('a', 'delete after deleting g'), rule('b', 'delete after deleting g')])).toEqual([[], []])
  })

  test('what pruneFirst names goes before anything is made, the rest after', () => {
    const rules = { pruneFirst: [{ name: 'a' }] }
    const old = object('ConfigMap', 'old')
    const steps = plan(
      input(
        [workload('till', [object('ConfigMap', 'new')], rules)],
        [ours(MAP, 'u1'), ours(old, 'u2')],
        [entry(MAP, 'u1'), entry(old, 'u2')],
      ),
    )
    expect(said(steps)).toEqual([
      'delete ConfigMap a: removed',
      'create ConfigMap new: absent',
      'delete ConfigMap old: removed',
    ])
  })

  test('a confirmed deletion that was begun goes on below and above the fuse', () => {
    const { entries, live, keys, fuse } = three()
    expect(said(plan(input([workload('till', [])], live, entries, { fuse })))).toEqual([
      'wait ConfigMap a',
      'wait ConfigMap b',
      'wait ConfigMap c',
    ])
    const confirmed = plan(input([workload('till', [])], live, entries, { fuse, confirmed: new Set(keys) }))
    const begun = [...intend(new Map(entries.map((it) => [refKey(it.ref), it])), confirmed).values()].filter(
      (it) => it !== null,
    )
    expect(begun.every(({ deleting }) => deleting === true)).toBe(true)
    expect(
      said(plan(input([workload('till', [])], live, begun, { fuse }))).every((it) => it.startsWith('delete')),
    ).toBe(true)
  })

  test('a confirmed list lifts the fuse for what it names and for nothing else', () => {
    const { entries, live, keys, fuse } = three()
    const told = (confirmed: readonly string[]): readonly string[] =>
      said(plan(input([workload('till', [])], live, entries, { fuse, confirmed: new Set(confirmed) })))
    expect(told([...keys.slice(1), '/ConfigMap/shop/of-another-list'])).toEqual([
      'delete ConfigMap c: removed',
      'delete ConfigMap b: removed',
      'delete ConfigMap a: removed',
    ])
    expect(told(keys.slice(2))).toEqual(['delete ConfigMap c: removed', 'wait ConfigMap a', 'wait ConfigMap b'])
    expect(told(['/ConfigMap/shop/of-another-list'])).toEqual([
      'wait ConfigMap a',
      'wait ConfigMap b',
      'wait ConfigMap c',
    ])
  })

  test('what is protected goes by a list that names it, and by no other', () => {
    const told = (confirmed: readonly string[]): readonly string[] =>
      said(
        plan(
          input([workload('till', [])], [ours(CLAIM, 'u1'), ours(MAP, 'u2')], [entry(CLAIM, 'u1'), entry(MAP, 'u2')], {
            confirmed: new Set(confirmed),
          }),
        ),
      )
    expect(told([refKey(refOf(MAP))])).toContain('leave PersistentVolumeClaim data: protected')
    expect(told([refKey(refOf(CLAIM))])).toContain('delete PersistentVolumeClaim data: removed')
  })

  test('a confirmed namespace stays while the fuse holds what stands in it', () => {
    const { entries, live, fuse } = three()
    const steps = plan(
      input([workload('till', [])], [...live, ours(SPACE, 'u9')], [...entries, entry(SPACE, 'u9')], {
        fuse,
        confirmed: new Set([refKey(refOf(SPACE))]),
      }),
    )
    expect(said(steps)).toContain('leave Namespace shop: protected')
    expect(said(steps).filter((it) => it.startsWith('delete'))).toEqual([])
  })
})

describe('a definition that has its yes', () => {
  const MENUS = object('CustomResourceDefinition', 'menus.kitchen.example', {
    apiVersion: 'apiextensions.k8s.io/v1',
    namespace: '',
  })
  const definition: Manifest = { ...MENUS, spec: { group: 'kitchen.example', names: { kind: 'Menu' } } }
  const lunch = object('Menu', 'lunch', { apiVersion: 'kitchen.example/v1' })
  const key = refKey(refOf(definition))
  const both = [entry(definition, 'u1'), entry(lunch, 'u2')]
  const live = [ours(definition, 'u1'), ours(lunch, 'u2')]
  const steps = (desired: readonly Manifest[], more: Partial<PlanInput>): readonly Step[] =>
    plan(input([workload('till', desired)], live, both, { confirmed: new Set([key]), ...more }))
  const stays = (all: readonly Step[]): Step | undefined => all.find(({ ref }) => ref.name === MENUS.metadata.name)

  test('goes with all that it defines, after it', () => {
    const all = steps([], { instances: new Map([[key, [refOf(lunch)]]]) })
    expect(stays(all)).toMatchObject({ kind: 'delete', needs: [refKey(refOf(lunch))] })
  })

  test('stays until it was counted what it defines', () => {
    expect(stays(steps([], {}))).toMatchObject({ kind: 'leave', because: 'uncounted' })
  })

  test('stays where others have objects of it, and says whose', () => {
    const theirs = { ...refOf(lunch), name: 'theirs' }
    const all = steps([], { instances: new Map([[key, [refOf(lunch), theirs]]]) })
    expect(stays(all)).toMatchObject({
      kind: 'leave',
      because: 'in-use',
      message: 'it would take along kitchen.example/Menu shop/theirs',
    })
    expect(all.find(({ ref }) => ref.name === 'lunch')?.kind).toBe('delete')
  })

  test('stays where one of ours stays', () => {
    const all = steps([lunch], { instances: new Map([[key, [refOf(lunch)]]]) })
    expect(stays(all)).toMatchObject({ kind: 'leave', because: 'in-use' })
  })
})

test('an account stays while objects applied under it remain, and goes in the turn after them', () => {
  const account = object('ServiceAccount', 'deployer')
  const rules = { serviceAccount: 'deployer' }
  const told = (entries: readonly OwnedEntry[]): readonly string[] =>
    said(plan(input([workload('till', [], rules)], [ours(MAP, 'u1'), ours(account, 'u2')], entries)))
  expect(told([entry(MAP, 'u1'), entry(account, 'u2')])).toEqual([
    'delete ConfigMap a: removed',
    'leave ServiceAccount deployer: protected',
  ])
  expect(told([entry(account, 'u2')])).toEqual(['delete ServiceAccount deployer: removed'])
})

/** Three removed objects before a fuse of one. */
function three(): {
  readonly entries: readonly OwnedEntry[]
  readonly live: readonly Manifest[]
  readonly keys: readonly string[]
  readonly fuse: { readonly objects: number }
} {
  const maps = ['a', 'b', 'c'].map((name) => object('ConfigMap', name))
  return {
    entries: maps.map((it) => entry(it, it.metadata.name)),
    live: maps.map((it) => ours(it, it.metadata.name)),
    keys: maps.map((it) => refKey(refOf(it))),
    fuse: { objects: 1 },
  }
}

describe('what comes first', () => {
  test('namespaces and definitions, then what they hold', () => {
    const definition: Manifest = {
      ...object('CustomResourceDefinition', 'menus.kitchen.example', {
        apiVersion: 'apiextensions.k8s.io/v1',
        namespace: '',
      }),
      spec: { group: 'kitchen.example', names: { kind: 'Menu' } },
    }
    const menu = object('Menu', 'lunch', { apiVersion: 'kitchen.example/v1' })
    const steps = plan(input([workload('till', [menu, MAP]), workload('base', [definition, SPACE])], [], []))
    expect(said(steps).slice(0, 2)).toEqual([
      'create Namespace shop: absent',
      'create CustomResourceDefinition menus.kitchen.example: absent',
    ])
    const lunch = steps.find(({ ref }) => ref.name === 'lunch')
    expect(new Set((lunch as { needs: readonly string[] }).needs)).toEqual(
      new Set([refKey(refOf(definition)), refKey(refOf(SPACE))]),
    )
  })

  test('a namespace that nobody declares is made by need and is not ours', () => {
    const steps = plan(
      input([workload('till', [MAP])], [], [], {
        actual: new Map([
          [refKey(refOf(MAP)), null],
          [refKey(refOf(SPACE)), null],
        ]),
      }),
    )
    expect(said(steps)).toEqual(['create Namespace shop: needed', 'create ConfigMap a: absent'])
    expect([...intend(new Map(), steps).keys()]).toEqual([refKey(refOf(MAP))])
  })

  test('sync waves: the lower one first, and the higher one waits while the lower is not healthy', () => {
    const low = object('ConfigMap', 'low', { annotations: { 'argocd.argoproj.io/sync-wave': '-1' } })
    const both = plan(input([workload('till', [MAP, low])], [], []))
    expect(both.find(({ ref }) => ref.name === 'a')).toMatchObject({ needs: [refKey(refOf(low))] })
    const waiting = plan(
      input([workload('till', [MAP, low])], [ours(low, 'u1')], [entry(low, 'u1')], { healthy: () => false }),
    )
    expect(waiting.find(({ ref }) => ref.name === 'a')).toMatchObject({
      kind: 'wait',
      because: { reason: 'Dependency' },
    })
  })

  test.each([
    { name: 'a circle', on: '/namespaces/shop/ConfigMap/b', back: '/namespaces/shop/ConfigMap/a' },
    { name: 'a reference that is none', on: 'nonsense', back: undefined },
    { name: 'an object that nobody desires', on: '/namespaces/shop/ConfigMap/elsewhere', back: undefined },
  ])('$name is said, and holds nobody else', ({ on, back }) => {
    const key = 'config.kubernetes.io/depends-on'
    const a = object('ConfigMap', 'a', { annotations: { [key]: on } })
    const b = object('ConfigMap', 'b', back === undefined ? {} : { annotations: { [key]: back } })
    const steps = plan(input([workload('till', [a, b, object('ConfigMap', 'c')])], [], []))
    expect(steps.find(({ ref }) => ref.name === 'a')).toMatchObject({ kind: 'leave', because: 'invalid' })
    expect(steps.find(({ ref }) => ref.name === 'c')).toMatchObject({ kind: 'create' })
  })
})

describe('who owns', () => {
  test('an object that moves goes to the one that takes it while the other has yet to give it away', () => {
    const giving = { ...workload('one', [MAP]), reserved: [refOf(object('ConfigMap', 'other'))] }
    const steps = plan(input([giving, workload('two', [MAP])], [ours(MAP, 'u1', 'one')], [entry(MAP, 'u1', 'one')]))
    expect(said(steps)).toEqual(['handover ConfigMap a: moved', 'leave ConfigMap a: owned-by-another'])
  })

  test('what labels say of a lost inventory is ours by UID, and is applied once more', () => {
    const change = recovered([{ apiVersion: 'v1', object: ours(MAP, 'u1'), workload: 'till' }])
    const found = [...change.values()].filter((it) => it !== null)
    expect(found).toMatchObject([{ state: 'owned', uid: 'u1', applied: null }])
    expect(said(plan(input([workload('till', [MAP])], [ours(MAP, 'u1')], found)))).toEqual([
      'update ConfigMap a: recovered',
    ])
  })
})
