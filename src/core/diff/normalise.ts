/** What never counts as a difference: what the server fills in, writes differently, or owns. */
import { isObject, jsonEqual, type Json } from '../model/json.ts'
import { groupOf, type Manifest } from '../model/object.ts'
import { parseQuantity } from '../kube/quantity.ts'

/** Written by the server or by controllers: nobody desires these. */
const SERVER_METADATA = new Set([
  'uid',
  'resourceVersion',
  'generation',
  'creationTimestamp',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
  'managedFields',
  'selfLink',
])

/** Maps of quantities, quantities, and those of a LimitRange (under its `limits`), by the name of the field. */
const QUANTITY_MAPS = new Set(['limits', 'requests', 'capacity', 'allocatable', 'hard', 'overhead', 'podFixed'])
const QUANTITIES = new Set(['sizeLimit', 'divisor', 'averageValue'])
const LIMIT_RANGE = new Set(['max', 'min', 'default', 'defaultRequest', 'maxLimitRequestRatio'])
/** People's own text: two spellings of a number are two texts, and an empty text is not an absent one. */
const TEXT_MAPS = new Set(['data', 'binaryData', 'stringData', 'labels', 'annotations', 'matchLabels', 'nodeSelector'])

/** Lists that are sets of named things, by the name of the field: a server or a sidecar injector may add to them. */
const LIST_KEYS: Readonly<Record<string, readonly (readonly string[])[]>> = {
  containers: [['name']],
  initContainers: [['name']],
  ephemeralContainers: [['name']],
  volumes: [['name']],
  env: [['name']],
  volumeMounts: [['mountPath']],
  volumeDevices: [['devicePath']],
  imagePullSecrets: [['name']],
  secrets: [['name']],
  hostAliases: [['ip']],
  resourceClaims: [['name']],
  topologySpreadConstraints: [['topologyKey', 'whenUnsatisfiable']],
  webhooks: [['name']],
  conditions: [['type']],
  ports: [
    ['containerPort', 'protocol'],
    ['port', 'protocol'],
  ],
  ownerReferences: [['uid']],
}
const SETS = new Set(['finalizers', 'loadBalancerSourceRanges'])
/** Stored through another version, in an order of its own. */
const UNORDERED = new Set(['metrics'])

/** One field that differs. `path` names list items by key, so that it means the same in two objects. */
export interface FieldDifference {
  readonly pointer: string
  readonly path: string
  readonly desired: Json | undefined
  readonly live: Json | undefined
}

/** The object without what the server writes: for comparing two answers of one server. */
export function normalise(manifest: Manifest): Manifest {
  const { status: _status, ...rest } = manifest
  const metadata = Object.fromEntries(
    Object.entries(manifest.metadata).filter(([key]) => !SERVER_METADATA.has(key)),
  ) as Manifest['metadata']
  return dropNulls({ ...rest, metadata }) as Manifest
}

function dropNulls(value: Json): Json {
  if (Array.isArray(value)) return value.map((item) => dropNulls(item as Json))
  if (!isObject(value)) return value
  const out: Record<string, Json> = {}
  for (const [key, item] of Object.entries(value)) {
    if (item !== undefined && item !== null) out[key] = dropNulls(item)
  }
  return out
}

/** Fields that `desired` sets and `live` does not show so. What only `live` has is nobody's business here. */
export function fieldDifferences(desired: Manifest, live: Manifest): readonly FieldDifference[] {
  const found: FieldDifference[] = []
  const wanted = normalise(withData(desired))
  for (const key of Object.keys(wanted)) {
    // The server answers in the version that was asked for.
    if (key === 'apiVersion' || key === 'kind') continue
    compare(wanted[key], live[key], [key], [key], found)
  }
  return found
}

/** `stringData` of a Secret is written and never read back: it is compared as the `data` that it becomes. */
function withData(desired: Manifest): Manifest {
  if (desired.kind !== 'Secret' || groupOf(desired.apiVersion) !== '' || !isObject(desired.stringData)) return desired
  const { stringData, ...rest } = desired
  const added = Object.entries(stringData).map(([key, text]) => [
    key,
    Buffer.from(typeof text === 'string' ? text : '').toString('base64'),
  ])
  return { ...rest, data: { ...(isObject(rest.data) ? rest.data : {}), ...Object.fromEntries(added) } }
}

function compare(
  desired: Json | undefined,
  live: Json | undefined,
  tokens: readonly string[],
  names: readonly string[],
  found: FieldDifference[],
): void {
  if (desired === undefined || jsonEqual(desired, live) || sameMeaning(desired, live, tokens)) return
  if (isObject(desired) && isObject(live)) {
    for (const [key, value] of Object.entries(desired)) {
      compare(value, live[key], [...tokens, key], [...names, key], found)
    }
    return
  }
  if (Array.isArray(desired) && Array.isArray(live) && compareLists(desired, live, tokens, names, found)) return
  found.push({ pointer: pointerOf(tokens), path: pointerOf(names), desired, live })
}

/** False: compared as one value. */
function compareLists(
  desired: readonly Json[],
  live: readonly Json[],
  tokens: readonly string[],
  names: readonly string[],
  found: FieldDifference[],
): boolean {
  const field = tokens.at(-1) ?? ''
  if (SETS.has(field)) return desired.every((item) => live.some((other) => jsonEqual(item, other)))
  const keys = (LIST_KEYS[field] ?? []).find((keys) =>
    desired.every((item) => isObject(item) && String(keys[0]) in item),
  )
  if (keys !== undefined) {
    for (const [i, item] of desired.entries()) {
      const name = keyOf(item, keys)
      const other = live.find((candidate) => keyOf(candidate, keys) === name)
      compare(item, other, [...tokens, String(i)], [...names, name], found)
    }
    return true
  }
  if (desired.length !== live.length) return false
  const items = UNORDERED.has(field) ? reorder(desired, live) : live
  for (const [i, item] of desired.entries()) {
    compare(item, items[i], [...tokens, String(i)], [...names, String(i)], found)
  }
  return true
}

/** `live` in the order of `desired`, as far as items mean the same. */
function reorder(desired: readonly Json[], live: readonly Json[]): readonly Json[] {
  const left = [...live]
  return desired.map((item) => {
    const at = left.findIndex((other) => {
      const differing: FieldDifference[] = []
      compare(item, other, ['metrics', '0'], ['metrics', '0'], differing)
      return differing.length === 0
    })
    return left.splice(Math.max(at, 0), 1)[0] ?? null
  })
}

function keyOf(item: Json, keys: readonly string[]): string {
  if (!isObject(item)) return ''
  return keys.map((key) => JSON.stringify(item[key] ?? (key === 'protocol' ? 'TCP' : null))).join('+')
}

function sameMeaning(desired: Json, live: Json | undefined, tokens: readonly string[]): boolean {
  // Injected by cert-manager and the like, whatever Git says.
  if (tokens.at(-1) === 'caBundle') return true
  if (live === undefined || live === null) return !TEXT_MAPS.has(tokens.at(-2) ?? '') && isEmpty(desired)
  if (isScalar(desired) && isScalar(live)) return isQuantityAt(tokens) && sameQuantity(desired, live)
  return false
}

/** What the server leaves out when it is written. */
function isEmpty(value: Json): boolean {
  if (value === null || value === '' || value === false || value === 0) return true
  if (Array.isArray(value)) return value.length === 0
  return isObject(value) && Object.values(value).every((item) => item === undefined || isEmpty(item))
}

function isScalar(value: Json): value is string | number {
  return typeof value === 'string' || typeof value === 'number'
}

function isQuantityAt(tokens: readonly string[]): boolean {
  const [key = '', parent = ''] = tokens.toReversed()
  if (TEXT_MAPS.has(parent)) return false
  if (QUANTITIES.has(key) || QUANTITY_MAPS.has(parent)) return true
  return (LIMIT_RANGE.has(parent) && tokens.includes('limits')) || (key === 'value' && parent === 'target')
}

function sameQuantity(a: string | number, b: string | number): boolean {
  const x = parseQuantity(a)
  const y = parseQuantity(b)
  return x.ok && y.ok && x.quantity.nanos === y.quantity.nanos
}

function pointerOf(tokens: readonly string[]): string {
  return tokens.map((token) => `/${token.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
}
