/** The site's keys and floor, once more in the cluster: a box whose store is lost comes back without a visit, and no lower than it was. */
import { FIELD_MANAGER } from '../core/diff/marks.ts'
import type { Cluster } from '../core/kube/cluster.ts'
import { digestJson } from '../core/model/digest.ts'
import { asFault, Fault } from '../core/model/fault.ts'
import { canonicalJson, isObject, type JsonObject } from '../core/model/json.ts'
import type { Manifest } from '../core/model/object.ts'
import type { Logger } from '../runtime/logger.ts'
import type { AgentStore } from './ports.ts'

export const KEYS_SECRET = 'flotilla-agent-keys'
const NOTE = 'keys-copy'
const FIELD = 'keys.json'
const KIND = { apiVersion: 'v1', kind: 'Secret' }

/**
 * Where the store has no identity, or one that cannot be read: what the cluster keeps of it, for `store.restoreKeys`. undefined
 * where there is no copy, or none that is whole; a cluster that is away is no copy.
 */
export async function copyOfKeys(
  cluster: Cluster,
  store: AgentStore,
  namespace: string,
  log: Logger,
  signal: AbortSignal,
): Promise<JsonObject | undefined> {
  if (hasIdentity(store)) return undefined
  const ref = { group: '', kind: 'Secret', namespace, name: KEYS_SECRET }
  let secret: Manifest | undefined
  try {
    secret = await cluster.get(KIND, ref, signal)
  } catch (error) {
    const { reason, message } = asFault(error)
    log.warn({ reason, because: message }, 'cannot look for a copy of the keys')
    return undefined
  }
  const text = (secret?.['data'] as JsonObject | undefined)?.[FIELD]
  if (typeof text !== 'string') return undefined
  const keys = keysIn(text)
  if (keys === undefined)
    log.warn({ from: `${namespace}/${KEYS_SECRET}` }, 'the copy of the keys does not match its sum: it says nothing')
  return keys
}

function keysIn(text: string): JsonObject | undefined {
  try {
    const copy: unknown = JSON.parse(Buffer.from(text, 'base64').toString('utf8'))
    const { sum, keys } = isObject(copy) ? copy : {}
    return isObject(keys) && digestJson('object', keys) === sum ? keys : undefined
  } catch {
    return undefined
  }
}

/** A damaged file says nothing; its copy does. */
function hasIdentity(store: AgentStore): boolean {
  try {
    return store.identity() !== null
  } catch (error) {
    if (error instanceof Fault && error.reason === 'StoreCorrupt') return false
    throw error
  }
}

/** Written when they changed since they were written last. Faults are met inside. */
export async function keepKeys(
  cluster: Cluster,
  store: AgentStore,
  namespace: string,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const keys = store.keys()
  if (keys === null) return
  const sum = digestJson('object', keys)
  if (store.note(NOTE)?.['digest'] === sum) return
  const text = canonicalJson({ sum, keys })
  const secret: Manifest = {
    ...KIND,
    metadata: { name: KEYS_SECRET, namespace, labels: { 'app.kubernetes.io/name': 'flotilla-agent' } },
    ['type']: 'Opaque',
    ['data']: { [FIELD]: Buffer.from(text).toString('base64') },
  }
  try {
    await cluster.apply(secret, { fieldManager: FIELD_MANAGER, force: true }, signal)
    store.write({ notes: new Map([[NOTE, { digest: sum }]]) })
  } catch (error) {
    const { reason, message } = asFault(error)
    if (!signal.aborted) log.warn({ reason, because: message }, 'the copy of the keys was not written')
  }
}
