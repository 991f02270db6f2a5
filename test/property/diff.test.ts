import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { changed, intend, inventoryAfter } from '../../src/core/diff/inventory.ts'
import { FIELD_MANAGER, marksOf, PART_OF } from '../../src/core/diff/marks.ts'
import { plan } from '../../src/core/diff/plan.ts'
import type { DesiredWorkload, Inventory, Outcome, PlanInput, Step } from '../../src/core/diff/types.ts'
import { digestJson } from '../../src/core/model/digest.ts'
import { refKey, refOf, type Manifest } from '../../src/core/model/object.ts'
import type { ReleaseRules } from '../../src/core/model/release.ts'

/** A cluster of a few objects, as small as can be: what is there, who made it, and what a step does to it. */
const MARKS = marksOf({ namespace: 'flotilla-system', name: 'flotilla' })
const NAMES = ['a', 'b', 'c', 'd'] as const
const KINDS = ['ConfigMap', 'PersistentVolumeClaim'] as const
type Name = (typeof NAMES)[number]

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

interface World {
  readonly live: Map<string, Manifest>
  inventory: Inventory
  /** UIDs of objects that another made and that we were never told to take over. */
  readonly theirs: Set<string>
  next: number
}

interface Wanted {
  readonly workload: 'one' | 'two'
  readonly name: Name
  readonly kind: (typeof KINDS)[number]
  readonly value: number
}

type Event =
  | { readonly do: 'want'; readonly objects: readonly Wanted[]; readonly adopt: ReleaseRules['adopt'] }
  | { readonly do: 'turn'; readonly dieAfter: number; readonly held: boolean }
  | { readonly do: 'theyMake'; readonly name: Name; readonly kind: (typeof KINDS)[number] }
  | { readonly do: 'theyEdit'; readonly name: Name }
  | { readonly do: 'theyDelete'; readonly name: Name }
  /** Deleted and made anew: the same name, another object. */
  | { readonly do: 'theyReplace'; readonly name: Name }

function object({ kind, name, value }: Pick<Wanted, 'kind' | 'name' | 'value'>): Manifest {
  return { apiVersion: 'v1', kind, metadata: { name, namespace: 'shop' }, data: { value: String(value) } }
}

function made(world: World, manifest: Manifest, manager: string): Manifest {
  const number = world.next++
  const metadata = {
    ...manifest.metadata,
    uid: `uid-${number}`,
    resourceVersion: String(number),
    managedFields: [
      { manager, operation: manager === FIELD_MANAGER ? 'Apply' : 'Update', apiVersion: 'v1', fieldsV1: {} },
    ],
  }
  return { ...manifest, metadata }
}

/** What the API server would do. undefined: nothing happened. */
function carryOut(world: World, step: Step): Outcome | undefined {
  const key = refKey(step.ref)
  const live = world.live.get(key)
  if (step.kind === 'delete') {
    world.live.delete(key)
    return { kind: 'deleted', step, state: live === undefined ? 'gone' : 'deleted' }
  }
  if (!('desired' in step)) return undefined
  const manifest = made(world, step.desired, FIELD_MANAGER)
  const uid = live?.metadata.uid ?? manifest.metadata.uid ?? ''
  const after = { ...manifest, metadata: { ...manifest.metadata, uid } }
  world.live.set(key, after)
  if (step.kind === 'adopt') world.theirs.delete(uid)
  return { kind: 'applied', step, live: after }
}

function inputOf(world: World, wanted: Extract<Event, { do: 'want' }>, held: boolean): PlanInput {
  const blobs = new Map(wanted.objects.map((it) => [digestJson('object', object(it)), object(it)] as const))
  const workloads = (['one', 'two'] as const).map((name, order): DesiredWorkload => {
    const objects = wanted.objects
      .filter(({ workload }) => workload === name)
      .map((it) => ({
        ref: refOf(object(it)),
        apiVersion: 'v1',
        digest: digestJson('object', object(it)),
        manifest: () => object(it),
      }))
    // A release that cannot be read names nothing.
    const rules = { ...RULES, adopt: wanted.adopt }
    return held
      ? { name, order, rules, objects: [], reserved: [], state: 'held' }
      : { name, order, rules, objects, reserved: [], state: 'active' }
  })
  const actual = new Map<string, Manifest | null>()
  for (const kind of KINDS) {
    for (const name of NAMES) {
      const key = refKey(refOf(object({ kind, name, value: 0 })))
      actual.set(key, world.live.get(key) ?? null)
    }
  }
  actual.set('/Namespace//shop', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', uid: 'ns' } })
  return {
    marks: MARKS,
    workloads,
    gone: new Map(),
    inventory: world.inventory,
    actual,
    prune: 'on',
    fuse: { objects: 100 },
    confirmed: new Set(),
    instances: new Map(),
    applied: (digest) => blobs.get(digest),
    verified: () => false,
    healthy: () => true,
    suspected: () => [],
    fought: () => false,
  }
}

/** Steps until `dieAfter` acts were carried out; then the process is gone and nothing more is written down. */
function turn(world: World, steps: readonly Step[], dieAfter: number): void {
  world.inventory = changed(world.inventory, intend(world.inventory, steps))
  const outcomes: Outcome[] = []
  for (const step of steps) {
    const outcome = outcomes.length < dieAfter ? carryOut(world, step) : undefined
    if (outcome !== undefined) outcomes.push(outcome)
  }
  if (outcomes.length >= dieAfter) return
  world.inventory = changed(world.inventory, inventoryAfter(world.inventory, outcomes))
}

/** One object of a name belongs to one workload: the hub refuses anything else. */
const wants = fc
  .record({
    objects: fc.uniqueArray(
      fc.record({
        workload: fc.constantFrom('one' as const, 'two' as const),
        name: fc.constantFrom(...NAMES),
        kind: fc.constantFrom(...KINDS),
        value: fc.integer({ min: 0, max: 2 }),
      }),
      { selector: ({ kind, name }) => `${kind} ${name}`, maxLength: 6 },
    ),
    adopt: fc.constantFrom('never' as const, 'ifIdentical' as const, 'yes' as const),
  })
  .map((it): Event => ({ do: 'want', ...it }))
const name = fc.constantFrom(...NAMES)
const kind = fc.constantFrom(...KINDS)
const events = fc.array(
  fc.oneof(
    { weight: 2, arbitrary: wants },
    {
      weight: 4,
      arbitrary: fc
        .record({ dieAfter: fc.constantFrom(0, 1, 2, 1_000, 1_000), held: fc.integer({ min: 0, max: 5 }) })
        .map((it): Event => ({ do: 'turn', dieAfter: it.dieAfter, held: it.held === 0 })),
    },
    { weight: 1, arbitrary: fc.record({ name, kind }).map((it): Event => ({ do: 'theyMake', ...it })) },
    { weight: 1, arbitrary: name.map((it): Event => ({ do: 'theyEdit', name: it })) },
    { weight: 1, arbitrary: name.map((it): Event => ({ do: 'theyDelete', name: it })) },
    { weight: 2, arbitrary: name.map((it): Event => ({ do: 'theyReplace', name: it })) },
  ),
  { maxLength: 25 },
)

function play(story: readonly Event[], judge: (world: World, input: PlanInput, steps: readonly Step[]) => void): void {
  const world: World = { live: new Map(), inventory: new Map(), theirs: new Set(), next: 1 }
  let wanted: Extract<Event, { do: 'want' }> = { do: 'want', objects: [], adopt: 'never' }
  for (const event of story) {
    if (event.do === 'want') wanted = event
    else if (event.do === 'turn') {
      const input = inputOf(world, wanted, event.held)
      const steps = plan(input)
      judge(world, input, steps)
      turn(world, steps, event.dieAfter)
    } else touch(world, event)
  }
  // Left alone it settles: the last word of Git, everything read.
  for (let i = 0; i < 3; i++) {
    const input = inputOf(world, wanted, false)
    const steps = plan(input)
    judge(world, input, steps)
    turn(world, steps, Infinity)
  }
  const settled = plan(inputOf(world, wanted, false))
  expect(settled.filter((step) => step.kind !== 'leave')).toEqual([])
}

function touch(world: World, event: Exclude<Event, { do: 'want' | 'turn' }>): void {
  if (event.do === 'theyMake') {
    const key = refKey(refOf(object({ ...event, value: 0 })))
    if (world.live.has(key)) return
    const theirs = made(world, object({ ...event, value: 9 }), 'kubectl-create')
    world.live.set(key, theirs)
    world.theirs.add(theirs.metadata.uid ?? '')
    return
  }
  for (const [key, live] of world.live) {
    if (live.metadata.name !== event.name) continue
    if (event.do === 'theyDelete') world.live.delete(key)
    else if (event.do === 'theyReplace') {
      const theirs = made(
        world,
        { apiVersion: 'v1', kind: live.kind, metadata: { name: event.name, namespace: 'shop' } },
        'kubectl-create',
      )
      world.live.set(key, theirs)
      world.theirs.add(theirs.metadata.uid ?? '')
    } else
      world.live.set(key, {
        ...live,
        data: { value: 'edited' },
        metadata: { ...live.metadata, resourceVersion: String(world.next++) },
      })
  }
}

const runs = { numRuns: 1_000 }

describe('whatever happens between turns', () => {
  test('nothing is deleted that is not in the inventory, with the UID we own or our marks', () => {
    fc.assert(
      fc.property(events, (story) => {
        play(story, (world, input, steps) => {
          for (const step of steps) {
            if (step.kind !== 'delete') continue
            const entry = input.inventory.get(refKey(step.ref))
            const live = world.live.get(refKey(step.ref))
            expect(entry).toBeDefined()
            if (entry?.state === 'owned') expect(live?.metadata.uid).toBe(entry.uid)
            else expect(live?.metadata.labels?.[PART_OF]).toBe(MARKS.applySetId)
          }
        })
      }),
      runs,
    )
  })

  test('nothing that another made is deleted or changed unless we were told to take it over', () => {
    fc.assert(
      fc.property(events, (story) => {
        play(story, (world, _input, steps) => {
          for (const step of steps) {
            const uid = world.live.get(refKey(step.ref))?.metadata.uid ?? ''
            if (!world.theirs.has(uid)) continue
            if (step.kind === 'adopt') expect(['allowed', 'identical']).toContain(step.because)
            else expect(['leave', 'forget']).toContain(step.kind)
          }
        })
      }),
      runs,
    )
  })

  test('claims are never deleted without a yes', () => {
    fc.assert(
      fc.property(events, (story) => {
        play(story, (_world, _input, steps) => {
          expect(steps.filter(({ kind, ref }) => kind === 'delete' && ref.kind !== 'ConfigMap')).toEqual([])
        })
      }),
      runs,
    )
  })

  test('a workload that cannot be read neither shrinks nor changes', () => {
    fc.assert(
      fc.property(events, (story) => {
        play(story, (_world, input, steps) => {
          if (input.workloads.every(({ state }) => state === 'active')) return
          for (const step of steps) expect(['leave', 'forget']).toContain(step.kind)
        })
      }),
      runs,
    )
  })

  test('the same input gives the same steps in the same order', () => {
    fc.assert(
      fc.property(events, (story) => {
        play(story, (_world, input, steps) => {
          const shuffled = {
            ...input,
            workloads: input.workloads.toReversed(),
            inventory: new Map([...input.inventory].toReversed()),
          }
          expect(plan(input)).toEqual(steps)
          expect(plan(shuffled)).toEqual(steps)
        })
      }),
      { numRuns: 300 },
    )
  })
})
