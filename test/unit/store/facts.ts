/** A small store, everything that it can be asked, and what must hold of it whatever became of its bytes. */
import { isDeepStrictEqual } from 'node:util'
import { openAgentStore } from '../../../src/adapters/store/agent-store.ts'
import type { AgentStore, StoredManifest, WorkloadRecord } from '../../../src/agent/ports.ts'
import type { InventoryEntry } from '../../../src/core/diff/types.ts'
import { digestBytes } from '../../../src/core/model/digest.ts'
import { Fault } from '../../../src/core/model/fault.ts'
import { bodyDigest } from '../../../src/core/protocol/manifest.ts'
import { IDENTITY } from '../agent/site.ts'
import { BODY, sealed } from '../protocol/fixed.ts'

export const BLOB = Buffer.from('{"kind":"ConfigMap"}')
const DIGEST = digestBytes('object', BLOB)

export function manifestAt(counter: number): StoredManifest {
  const generation = { epoch: 1, counter }
  const envelope = sealed({ ...BODY, generation })
  return { envelope, generation, body: bodyDigest(envelope.payload), acceptedAtMs: 5 }
}

function owned(name: string): InventoryEntry {
  return {
    state: 'owned',
    ref: { group: '', kind: 'ConfigMap', namespace: 'shop', name },
    apiVersion: 'v1',
    workload: 'till',
    uid: `uid-${name}`,
    applied: DIGEST,
    resourceVersion: '7',
    settled: null,
  }
}

const RECORD: WorkloadRecord = {
  workload: 'till',
  since: { epoch: 1, counter: 2 },
  release: DIGEST,
  receivedAtMs: 1,
  applied: { digest: DIGEST, atMs: 2 },
  healthy: null,
  transitions: 0,
  unhealthyMs: 0,
}

/** Returns what the store said on the way. */
export function fill(store: AgentStore): readonly Facts[] {
  const once: Facts[] = []
  store.saveIdentity(IDENTITY)
  store.putBlobs([{ domain: 'object', digest: DIGEST, bytes: BLOB }])
  for (const counter of [1, 2, 3]) {
    once.push(factsOf(store))
    store.accept(manifestAt(counter))
  }
  once.push(factsOf(store))
  store.write({
    inventory: new Map(['a', 'b', 'c'].map((name) => [`/ConfigMap/shop/${name}`, owned(name)])),
    workloads: new Map([['till', RECORD]]),
    outbox: [{ class: 'result', seq: 1, atMs: 1, body: { job: 'x' } }],
    time: { timeMs: 1_000, timeEpoch: 1, atMonotonicMs: 5, boot: 'boot' },
  })
  return once
}

export type Facts = Readonly<Record<string, unknown>>

/** Every fact that the store can be asked for; null: it says that it has lost it. */
export function factsOf(store: AgentStore): Facts {
  return {
    identity: store.identity(),
    floor: store.floor(),
    manifests: store.manifests().map(({ generation, body }) => ({ generation, body })),
    inventory: [...store.inventory()],
    workloads: [...store.workloads()],
    outbox: store.outbox(),
    time: store.time(),
    blob: store.blob('object', DIGEST),
  }
}

/**
 * Each fact is as it was, or its group is named as lost and it is gone or as it once was; never another one. What went wrong, or
 * nothing. `once`: what the store said earlier. `opens`: whether the damage may keep it from being opened, with a Fault that says so.
 */
export function wrongIn(
  dir: string,
  facts: Facts,
  once: readonly Facts[] = [],
  opens: 'must' | 'may' = 'may',
): readonly string[] {
  let store: AgentStore
  let found: Facts
  try {
    store = openAgentStore(dir)
    found = factsOf(store)
    store.close()
  } catch (error) {
    return error instanceof Fault && opens === 'may' ? [] : [`it is not opened: ${String(error)}`]
  }
  const lost = new Set(store.opened.rebuilt)
  const same = (a: unknown, b: unknown): boolean => isDeepStrictEqual(a, b)
  const kept = { inventory: 'inventory', workloads: 'workload', outbox: 'outbox', manifests: 'manifest' }
  const wrong = same(found['floor'], facts['floor']) ? [] : ['floor']
  for (const [fact, group] of Object.entries(kept)) {
    if (!lost.has(group) && !same(found[fact], facts[fact])) wrong.push(`${fact} changed unsaid`)
    const before = [facts, ...once].flatMap((it) => it[fact] as readonly unknown[]).map((it) => JSON.stringify(it))
    for (const it of found[fact] as readonly unknown[])
      if (!before.includes(JSON.stringify(it))) wrong.push(`another ${fact}`)
  }
  if (found['time'] !== null && !same(found['time'], facts['time'])) wrong.push('time')
  if (found['blob'] !== undefined && !same(found['blob'], facts['blob'])) wrong.push('blob')
  return wrong
}
