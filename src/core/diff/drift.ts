/**
 * Desired, last applied and live, compared by field: drift (live moved), pending (desired moved), conflict (both). Only fields
 * that we set are looked at; what the rules leave to others is neither reported nor sent.
 */
import { digestJson, type Digest } from '../model/digest.ts'
import { isObject, type Json } from '../model/json.ts'
import { refKey, refOf, type Manifest } from '../model/object.ts'
import type { DriftIgnore, ObjectMatch } from '../model/release.ts'
import { managersAt, unescapeToken } from './managers.ts'
import { fieldDifferences, type FieldDifference } from './normalise.ts'
import type { Difference, DriftClass } from './types.ts'

export interface DriftInput {
  readonly desired: Manifest
  /** What we sent last; undefined: unknown, then every difference is pending. */
  readonly applied: Manifest | undefined
  readonly live: Manifest
  /** See `OwnedEntry.settled`; null: the server kept what we sent. */
  readonly settled: Digest | null
  readonly ignore: readonly DriftIgnore[]
  /** A HorizontalPodAutoscaler scales it. */
  readonly scaled: boolean
}

export interface Drift {
  /** In what counts. */
  readonly differences: readonly Difference[]
  /** What is sent instead of `desired`: fields left to others carry their live value, so that an apply moves none of them. */
  readonly send: Manifest
}

export function drift(input: DriftInput): Drift {
  const { desired, applied, live } = input
  const all = fieldDifferences(desired, live)
  if (all.length === 0) return { differences: [], send: desired }
  const ignored = all.filter((difference) => isIgnored(difference, input))
  const counting = all.filter((difference) => !ignored.includes(difference))
  const send = ignored.reduce((manifest, { pointer, live }) => withValue(manifest, pointer, live), desired)
  if (counting.length === 0 || (input.settled !== null && settledDigest(counting) === input.settled))
    return { differences: [], send }
  const classify = classifier(desired, applied, live)
  return {
    differences: counting.map((difference) => ({
      pointer: difference.pointer,
      drift: classify(difference.path),
      managers: managersAt(live, difference.pointer).map(({ manager }) => manager),
    })),
    send,
  }
}

/**
 * To keep beside what was applied: what the server made of our fields where that is not what we sent; null where it is.
 * `live` is the answer to our apply.
 */
export function settledOf(sent: Manifest, live: Manifest): Digest | null {
  const differences = fieldDifferences(sent, live)
  return differences.length === 0 ? null : settledDigest(differences)
}

/** One word for an object's differences. */
export function driftClass(differences: readonly Difference[]): DriftClass {
  const kinds = new Set(differences.map(({ drift }) => drift))
  if (kinds.has('conflict') || kinds.size > 1) return 'conflict'
  return kinds.has('drift') ? 'drift' : 'pending'
}

/** Names the same quarrel again: which fields differ, whatever their values. */
export function differencesDigest(differences: readonly Difference[]): Digest {
  return digestJson('object', differences.map(({ pointer }) => pointer).toSorted())
}

/** Objects that a HorizontalPodAutoscaler among these scales, by refKey. */
export function scaledBy(autoscalers: readonly Manifest[]): ReadonlySet<string> {
  const keys = new Set<string>()
  for (const autoscaler of autoscalers) {
    const target = isObject(autoscaler.spec) ? autoscaler.spec.scaleTargetRef : undefined
    if (!isObject(target) || typeof target.kind !== 'string' || typeof target.name !== 'string') continue
    const apiVersion = typeof target.apiVersion === 'string' ? target.apiVersion : 'apps/v1'
    const { namespace } = autoscaler.metadata
    const metadata = { name: target.name, ...(namespace === undefined ? {} : { namespace }) }
    keys.add(refKey(refOf({ apiVersion, kind: target.kind, metadata })))
  }
  return keys
}

export function matches(match: ObjectMatch, manifest: Manifest): boolean {
  const ref = refOf(manifest)
  return (['group', 'kind', 'namespace', 'name'] as const).every((field) => (match[field] ?? ref[field]) === ref[field])
}

function isIgnored({ pointer }: FieldDifference, { desired, live, ignore, scaled }: DriftInput): boolean {
  const managers = managersAt(live, pointer)
  // A change through the `scale` subresource is an autoscaler's, or of somebody who means to scale by hand.
  if (pointer === '/spec/replicas' && (scaled || managers.some(({ subresource }) => subresource === 'scale')))
    return true
  return ignore.some(
    (rule) =>
      matches(rule, desired) &&
      ((rule.jsonPointers ?? []).some((prefix) => pointer === prefix || pointer.startsWith(`${prefix}/`)) ||
        managers.some(({ manager }) => rule.managers?.includes(manager))),
  )
}

function classifier(desired: Manifest, applied: Manifest | undefined, live: Manifest): (path: string) => DriftClass {
  if (applied === undefined) return () => 'pending'
  const liveMoved = fieldDifferences(applied, live).map(({ path }) => path)
  const desiredMoved = fieldDifferences(desired, applied).map(({ path }) => path)
  const touches = (paths: readonly string[], path: string): boolean =>
    paths.some((other) => other === path || other.startsWith(`${path}/`) || path.startsWith(`${other}/`))
  return (path) => {
    const moved = touches(liveMoved, path)
    if (moved && touches(desiredMoved, path)) return 'conflict'
    return moved ? 'drift' : 'pending'
  }
}

function settledDigest(differences: readonly FieldDifference[]): Digest {
  return digestJson(
    'object',
    differences.map(({ path, live }): Json => [path, live ?? null]),
  )
}

/** A copy with one value set, or removed where `value` is undefined. Pointers come from `desired` itself, so the way exists. */
function withValue(manifest: Manifest, pointer: string, value: Json | undefined): Manifest {
  return setAt(manifest, pointer.split('/').slice(1).map(unescapeToken), value) as Manifest
}

function setAt(value: Json | undefined, tokens: readonly string[], to: Json | undefined): Json | undefined {
  const [token, ...rest] = tokens
  if (token === undefined) return to
  if (Array.isArray(value)) {
    return value.map((item, i) => (String(i) === token ? (setAt(item as Json, rest, to) ?? null) : (item as Json)))
  }
  if (!isObject(value)) return value
  const { [token]: inner, ...others } = value
  const set = setAt(inner, rest, to)
  return set === undefined ? others : { ...others, [token]: set }
}
