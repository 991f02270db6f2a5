/** What is there of everything that a turn decides about: from the watches, and by name where no watch can show it. */
import type { Inventory } from '../core/diff/types.ts'
import type { KindName } from '../core/kube/cluster.ts'
import { refKey, type Manifest, type ObjectRef } from '../core/model/object.ts'
import type { Desired } from './desired.ts'
import { kindKey, type Observer } from './observe.ts'

export interface Gathered {
  /** As `PlanInput.actual`. */
  readonly actual: ReadonlyMap<string, Manifest | null>
}

interface Wanted {
  readonly ref: ObjectRef
  readonly apiVersion: string
}

export async function gather(
  observer: Observer,
  inventory: Inventory,
  { intents }: Desired,
  signal: AbortSignal,
): Promise<Gathered> {
  const wanted = new Map<string, Wanted>()
  const kinds = new Map<string, KindName>()
  const want = (ref: ObjectRef, apiVersion: string): void => {
    wanted.set(refKey(ref), { ref, apiVersion })
    const name = { apiVersion, kind: ref.kind }
    kinds.set(kindKey(name), name)
  }
  for (const { ref, apiVersion } of inventory.values()) want(ref, apiVersion)
  // What is desired comes second: its version is the one to ask in.
  for (const { desired } of intents) {
    for (const { ref, apiVersion, manifest } of desired.objects) if (manifest !== null) want(ref, apiVersion)
  }
  await observer.follow([...kinds.values()], signal)
  const asked = [...wanted.entries()].filter(([key]) => observer.seen(key) === undefined && !isDone(key, inventory))
  const namespaces = missingNamespaces(asked, wanted, observer)
  await observer.probe([...asked.map(([, it]) => it), ...namespaces], signal)
  const actual = new Map<string, Manifest | null>()
  for (const key of [...wanted.keys(), ...namespaces.map(({ ref }) => refKey(ref))]) {
    const live = observer.seen(key) ?? (isDone(key, inventory) ? null : observer.seen(key))
    if (live !== undefined) actual.set(key, live)
  }
  for (const [key, it] of wanted) {
    const namespace = namespaceOf(it)
    const live = observer.seen(namespace)
    if (it.ref.namespace !== '' && live !== undefined && inventory.get(key)?.state !== 'owned')
      actual.set(namespace, live)
  }
  return { actual }
}

/** A Job that ended and went with its TTL: its absence is no news. */
function isDone(key: string, inventory: Inventory): boolean {
  const entry = inventory.get(key)
  return entry?.state === 'owned' && entry.done !== undefined
}

/** Namespaces of objects that may have to be made, as far as they are not known. */
function missingNamespaces(
  asked: readonly (readonly [string, Wanted])[],
  wanted: ReadonlyMap<string, Wanted>,
  observer: Observer,
): readonly Wanted[] {
  const names = new Map<string, Wanted>()
  for (const [, it] of asked) {
    const key = namespaceOf(it)
    if (it.ref.namespace === '' || wanted.has(key) || observer.seen(key) !== undefined) continue
    names.set(key, { ref: { group: '', kind: 'Namespace', namespace: '', name: it.ref.namespace }, apiVersion: 'v1' })
  }
  return [...names.values()]
}

function namespaceOf({ ref }: Wanted): string {
  return refKey({ group: '', kind: 'Namespace', namespace: '', name: ref.namespace })
}
