/** Who owns which field: `metadata.managedFields` as the API server keeps it, and server-side apply on top of it. */
import { Fault } from '../core/model/fault.ts'
import { isObject, jsonEqual, type Json, type JsonObject } from '../core/model/json.ts'
import type { Manifest } from '../core/model/object.ts'
import {
  at,
  difference,
  formatFields,
  intersection,
  isEmpty,
  noFields,
  parseFields,
  pathsOf,
  sameFields,
  union,
  type Fields,
} from './fields.ts'
import type { Schema } from './schema.ts'
import { compare, fieldsOf, merge, takeOut, type Comparison } from './typed.ts'

export interface Writer {
  readonly manager: string
  readonly operation: 'Apply' | 'Update'
  readonly subresource?: string
  /** Version in which the request was made. */
  readonly apiVersion: string
  /** RFC 3339, seconds. */
  readonly now: string
}

interface Entry {
  readonly head: JsonObject
  readonly fields: Fields
}

/** Fields that the server sets or that name the object: nobody owns them. */
const UNOWNED_METADATA = ['name', 'namespace', 'creationTimestamp', 'selfLink', 'uid', 'generation', 'managedFields', 'resourceVersion', 'deletionTimestamp', 'deletionGracePeriodSeconds'] // prettier-ignore

/** Composite positions that a built-in object always has, so that making one owns what is in it and not the position itself. */
const ALWAYS_THERE = new Set(['f:metadata', 'f:spec', 'f:status', 'f:template', 'f:strategy', 'f:updateStrategy', 'f:jobTemplate', 'f:containers', 'f:resources', 'f:names', 'f:loadBalancer', 'f:nodeInfo', 'f:daemonEndpoints']) // prettier-ignore

function stripped(fields: Fields, writer: Writer, statusIsApart: boolean): Fields {
  fields.member = false
  for (const key of ['f:apiVersion', 'f:kind']) fields.children.delete(key)
  const metadata = fields.children.get('f:metadata')
  if (metadata !== undefined) {
    metadata.member = false
    for (const key of UNOWNED_METADATA) metadata.children.delete(`f:${key}`)
  }
  // Each endpoint resets what belongs to the other one, and who writes there does not own it.
  if (writer.subresource === 'status') {
    for (const key of fields.children.keys()) if (key !== 'f:status') fields.children.delete(key)
  } else if (statusIsApart) fields.children.delete('f:status')
  return fields
}

function withoutAlwaysThere(fields: Fields): Fields {
  for (const [element, child] of fields.children) {
    if (ALWAYS_THERE.has(element) && child.children.size > 0) child.member = false
    withoutAlwaysThere(child)
  }
  return fields
}

function readEntries(object: Manifest | undefined): Entry[] {
  return (object?.metadata.managedFields ?? []).filter(isObject).map((entry) => {
    const { fieldsV1, ...head } = entry
    return { head, fields: parseFields(fieldsV1) }
  })
}

function isWriter(entry: Entry, writer: Writer): boolean {
  const { head } = entry
  return (
    head['manager'] === writer.manager &&
    head['operation'] === writer.operation &&
    head['subresource'] === writer.subresource &&
    // One Apply entry a manager, whatever version it applies in; Updates are told apart by version.
    (writer.operation === 'Apply' || head['apiVersion'] === writer.apiVersion)
  )
}

function headOf(writer: Writer): JsonObject {
  return {
    manager: writer.manager,
    operation: writer.operation,
    apiVersion: writer.apiVersion,
    time: writer.now,
    fieldsType: 'FieldsV1',
    ...(writer.subresource === undefined ? {} : { subresource: writer.subresource }),
  }
}

function writeEntries(object: Manifest, entries: readonly Entry[]): Manifest {
  const managedFields = entries
    .filter((entry) => !isEmpty(entry.fields))
    .map((entry) => ({ ...entry.head, fieldsV1: formatFields(entry.fields) }))
  const { managedFields: _, ...metadata } = object.metadata
  return {
    ...object,
    metadata: managedFields.length === 0 ? metadata : { ...metadata, managedFields },
  }
}

/** Takes what `comparison` changed from all others; without force that is a conflict. */
function takeFromOthers(
  entries: readonly Entry[],
  writer: Writer,
  comparison: Comparison,
  force: boolean,
): readonly Entry[] {
  const changed = union(comparison.added, comparison.modified)
  const conflicts: { readonly manager: string; readonly fields: readonly string[] }[] = []
  const kept = entries.map((entry) => {
    if (isWriter(entry, writer)) return { ...entry, fields: difference(entry.fields, comparison.removed) }
    const contested = intersection(entry.fields, changed)
    if (!isEmpty(contested)) conflicts.push({ manager: entry.head['manager'] as string, fields: pathsOf(contested) })
    return { ...entry, fields: difference(difference(entry.fields, contested), comparison.removed) }
  })
  if (!force && conflicts.length > 0) {
    const fields = conflicts.flatMap((conflict) => conflict.fields)
    const managers = conflicts.map((conflict) => conflict.manager)
    throw new Fault(
      'FieldConflict',
      `conflict with ${conflicts.map((c) => `"${c.manager}": ${c.fields.join(', ')}`).join('; ')}`,
      {
        facts: { manager: managers.join(','), fields: fields.join(','), conflicts: fields.length },
      },
    )
  }
  return kept
}

export interface ApplyRequest {
  readonly live: Manifest | undefined
  readonly applied: Manifest
  readonly schema: Schema
  readonly writer: Writer
  readonly force: boolean
  readonly statusIsApart: boolean
}

/** Server-side apply: live with the configuration laid over it, without what this manager no longer claims. Fault FieldConflict. */
export function applyManaged(request: ApplyRequest): Manifest {
  const { live, applied, schema, writer, force, statusIsApart } = request
  let entries: readonly Entry[] = readEntries(live)
  if (live !== undefined && entries.length === 0) {
    // Whatever made it before anybody counted owns all that is there, so that nothing is taken out silently.
    const before: Writer = { ...writer, manager: 'before-first-apply', operation: 'Update' }
    entries = [{ head: headOf(before), fields: stripped(fieldsOf(schema, live), before, statusIsApart) }]
  }
  const claimed = stripped(fieldsOf(schema, applied), writer, statusIsApart)
  const merged = (live === undefined ? applied : merge(schema, live, applied)) as Manifest
  const mine = entries.find((entry) => isWriter(entry, writer))
  let next = takeFromOthers(entries, writer, compare(schema, live ?? bare(applied), merged), force)
  const owned = next
    .filter((entry) => !isWriter(entry, writer))
    .reduce((all, entry) => union(all, entry.fields), claimed)
  const object = (mine === undefined ? merged : takeOut(schema, merged, mine.fields, withIdentity(owned))) as Manifest
  // Fields below an item that went belong to nobody any more.
  const gone = compare(schema, merged, object).removed
  next = next.map((entry) => ({ ...entry, fields: difference(entry.fields, gone) }))
  const unchanged = mine !== undefined && sameFields(mine.fields, claimed)
  const claim: Entry = { head: unchanged ? mine.head : headOf(writer), fields: claimed }
  const at = next.findIndex((entry) => isWriter(entry, writer))
  return writeEntries(object, at < 0 ? [...next, claim] : next.with(at, claim))
}

/** A create, update or patch: what it changed belongs to the writer now. */
export function updateManaged(
  live: Manifest | undefined,
  next: Manifest,
  schema: Schema,
  writer: Writer,
  statusIsApart: boolean,
): Manifest {
  // Sent entries replace the stored ones (that is how managers are migrated); an empty list forgets all of them.
  const sent = next.metadata.managedFields
  const stored = live?.metadata.managedFields
  if (live !== undefined && sent !== undefined && sent.length <= 1 && isEmptyEntry(sent[0])) {
    const { managedFields: _, ...metadata } = next.metadata
    return { ...next, metadata }
  }
  const entries = readEntries(live !== undefined && sent !== undefined && !jsonEqual(sent, stored) ? next : live)
  if (live !== undefined && entries.length === 0) return writeEntries(next, [])
  const builtIn =
    writer.apiVersion === 'v1' ||
    !writer.apiVersion.split('/')[0]?.includes('.') ||
    /\.k8s\.io\//.test(writer.apiVersion)
  const comparison = compare(schema, live ?? bare(next), next)
  const kept = takeFromOthers(entries, writer, comparison, true)
  const changed = union(comparison.added, comparison.modified)
  const gained = stripped(builtIn ? withoutAlwaysThere(changed) : changed, writer, statusIsApart)
  const mine = kept.find((entry) => isWriter(entry, writer))
  if (isEmpty(gained)) return writeEntries(next, kept)
  const fields = mine === undefined ? gained : union(mine.fields, gained)
  const head = mine !== undefined && sameFields(mine.fields, fields) && isEmpty(changed) ? mine.head : headOf(writer)
  const at = kept.findIndex((entry) => isWriter(entry, writer))
  return writeEntries(next, at < 0 ? [...kept, { head, fields }] : kept.with(at, { head, fields }))
}

function isEmptyEntry(entry: Json | undefined): boolean {
  return entry === undefined || (isObject(entry) && Object.keys(entry).length === 0)
}

function bare(object: Manifest): Json {
  return { apiVersion: object.apiVersion, kind: object.kind, metadata: {} }
}

/** Name, kind and what the server set stay, whoever owns what. */
function withIdentity(owned: Fields): Fields {
  const kept = union(owned, noFields())
  for (const key of ['f:apiVersion', 'f:kind']) at(kept, key).member = true
  for (const key of UNOWNED_METADATA) at(at(kept, 'f:metadata'), `f:${key}`).member = true
  return kept
}
