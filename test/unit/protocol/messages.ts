/** A report and an answer with everything in them that may be. */
import { digestBytes } from '../../../src/core/model/digest.ts'
import type { WorkloadObservation } from '../../../src/core/model/observation.ts'
import { bodyDigest, makeManifest, manifestBytes } from '../../../src/core/protocol/manifest.ts'
import type { SyncUp } from '../../../src/core/protocol/messages.ts'
import type { SyncReply } from '../../../src/core/protocol/ports.ts'
import { signTime, timeSubject } from '../../../src/core/protocol/time.ts'
import { BODY, HUB, NONCE, NOW_MS, sealed, SITE_ID, STATEMENT, UP } from './fixed.ts'

const stamped = { digest: BODY.entries[0]!.release, atMs: NOW_MS }

export const OBSERVATION: WorkloadObservation = {
  workload: 'pos/till',
  since: { epoch: 1, counter: 3 },
  desired: stamped,
  received: stamped,
  staged: stamped,
  applied: stamped,
  healthy: null,
  sync: 'Waiting',
  waiting: { reason: 'Dependency', detail: 'pos/db', nextAtMs: NOW_MS + 5 },
  health: 'Progressing',
  healthyForMs: 0,
  unhealthyMs: 12.5,
  transitions: 1,
  begun: true,
  failure: { reason: 'Rejected', message: 'no' },
  objects: [
    {
      ref: { group: 'apps', kind: 'Deployment', namespace: 'pos', name: 'till' },
      sync: 'Drifted',
      health: 'Degraded',
      reason: 'Drift',
      message: 'replicas',
    },
  ],
  counts: { objects: 3, ready: 2, drifted: 1, pruned: 0 },
}

export const FULL_UP: SyncUp = {
  ...UP,
  have: { generation: BODY.generation, root: makeManifest(BODY).root, body: bodyDigest(sealed(BODY).payload) },
  observations: [OBSERVATION],
  goneWorkloads: ['pos/old'],
  outbox: [{ class: 'result', seq: 3, atMs: NOW_MS, body: { job: 'a', exit: 0 } }],
  conditions: [{ type: 'Manifest', reason: 'ForkedHub', message: 'two', sinceMs: NOW_MS }],
  facts: { nodes: [{ name: 'n1', cpu: '4' }] },
  factsDigest: digestBytes('facts', 'x'),
  dropped: { log: 4 },
  want: [digestBytes('object', 'a')],
}

export const OBJECT = Buffer.from(
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'a' },
    data: { a: 'x'.repeat(300), b: '1' },
  }),
)
export const OLD_OBJECT = Buffer.from(OBJECT.toString().replace('"b":"1"', '"b":"0"'))
const next = { ...BODY, generation: { epoch: 1, counter: 8 } }
export const OLD_PAYLOAD = sealed(BODY).payload

/** Answers `FULL_UP` with the next generation as a delta, a blob against an older one, and a newer trust statement. */
export const REPLY: SyncReply = {
  head: { v: 1, ack: 12, ackOutbox: 3, nextDueMs: 60_000, asks: [{ facts: true }] },
  manifest: {
    envelope: sealed(next),
    body: bodyDigest(manifestBytes(makeManifest(next))),
    base: { digest: bodyDigest(OLD_PAYLOAD), payload: OLD_PAYLOAD },
  },
  blobs: [
    {
      domain: 'object',
      digest: digestBytes('object', OBJECT),
      bytes: OBJECT,
      base: { digest: digestBytes('object', OLD_OBJECT), bytes: OLD_OBJECT },
    },
    { domain: 'config', digest: digestBytes('config', '{}'), bytes: Buffer.from('{}') },
  ],
  time: {
    timeMs: NOW_MS,
    timeEpoch: 1,
    keyid: HUB.keyid,
    sig: signTime(
      { siteId: SITE_ID, nonce: NONCE, timeMs: NOW_MS, timeEpoch: 1, ...timeSubject(makeManifest(next), null) },
      HUB,
    ),
  },
  trust: { version: 2, statement: STATEMENT },
}

export const BASES = {
  manifest: OLD_PAYLOAD,
  blob: (_domain: string, digest: string): Uint8Array | undefined =>
    digest === digestBytes('object', OLD_OBJECT) ? OLD_OBJECT : undefined,
}
