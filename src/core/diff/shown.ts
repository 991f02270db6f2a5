/** What differs between desired and live, for people: field by field with both values, and nothing of what a Secret holds. */
import { isObject, type Json, type JsonObject } from '../model/json.ts'
import { refKey, type Manifest, type ObjectRef } from '../model/object.ts'
import { fieldDifferences } from './normalise.ts'
import type { Difference, DriftClass, Step } from './types.ts'

/** `missing`: it is to be made. `extra`: it is there and nobody desires it any more. `foreign`: there, and not ours. */
export type ObjectChange = 'missing' | 'differs' | 'extra' | 'foreign' | 'unread'

export interface ObjectShown {
  readonly ref: ObjectRef
  readonly workload: string
  readonly change: ObjectChange
  /** The decision's own word: `absent`, `drift`, `pending`, `drift-reported`, `removed`, `DeletionBrake`. */
  readonly because: string
  readonly fields: readonly FieldShown[]
  /** Fields beyond those that are shown. */
  readonly leftOut: number
}

export interface FieldShown {
  /** JSON pointer into the object. */
  readonly pointer: string
  readonly drift: DriftClass
  /** Who else holds the live value. */
  readonly managers: readonly string[]
  /** JSON text; null: not set. */
  readonly desired: string | null
  readonly live: string | null
}

const MOST_FIELDS = 40
const MOST_CHARS = 300
const HIDDEN = '"***"'

/** undefined: nothing differs, or it is left as it is because Git says so. `desired`: what the step's object should be. */
export function shownStep(
  step: Step,
  desired: Manifest | undefined,
  live: Manifest | null | undefined,
): ObjectShown | undefined {
  switch (step.kind) {
    case 'create':
      return shown(step, 'missing', step.because)
    case 'update':
    case 'handover':
    case 'replace': {
      const differences = 'differences' in step ? step.differences : undefined
      const { fields, leftOut } = fieldsOf(step.desired, step.actual, differences)
      return fields.length === 0 ? undefined : { ...shown(step, 'differs', step.because), fields, leftOut }
    }
    case 'adopt':
      return { ...shown(step, 'foreign', step.because), ...fieldsOf(step.desired, step.actual, step.differences) }
    case 'delete':
      return shown(step, 'extra', step.because)
    case 'wait':
      return shown(step, step.because.reason === 'DeletionBrake' ? 'extra' : 'unread', step.because.reason)
    case 'forget':
      return undefined
    case 'leave':
      return shownLeave(step, desired, live)
  }
}

type Leave = Extract<Step, { kind: 'leave' }>

/** How what is left alone is told; those not here are as Git says. */
const LEFT: Partial<Record<Leave['because'], ObjectChange>> = {
  'drift-reported': 'differs',
  fought: 'differs',
  invalid: 'unread',
  unread: 'unread',
  terminating: 'unread',
  'never-adopt': 'foreign',
  differs: 'foreign',
  'rules-unknown': 'extra',
  uncounted: 'extra',
  'in-use': 'extra',
  'owned-by-another': 'extra',
}

function shownLeave(
  step: Leave,
  desired: Manifest | undefined,
  live: Manifest | null | undefined,
): ObjectShown | undefined {
  const change = LEFT[step.because]
  if (change === undefined) return undefined
  const base = shown(step, change, step.because)
  if (desired === undefined || live === undefined || live === null) return base
  return { ...base, ...fieldsOf(desired, live, step.differences) }
}

function shown({ ref, workload }: Step, change: ObjectChange, because: string): ObjectShown {
  return { ref, workload, change, because, fields: [], leftOut: 0 }
}

/** `counting`: those that were decided on; undefined: every field that is not the same. */
function fieldsOf(
  desired: Manifest,
  live: Manifest,
  counting: readonly Difference[] | undefined,
): Pick<ObjectShown, 'fields' | 'leftOut'> {
  const secret = desired.kind === 'Secret' && desired.apiVersion === 'v1'
  const values = new Map(fieldDifferences(desired, live).map((field) => [field.pointer, field] as const))
  const all: readonly Difference[] =
    counting ?? [...values.keys()].map((pointer) => ({ pointer, drift: 'pending', managers: [] }))
  const text = (pointer: string, value: Json | undefined): string | null => {
    if (value === undefined) return null
    if (secret && holdsSecret(pointer)) return HIDDEN
    return cut(JSON.stringify(withoutSecrets(value)))
  }
  const fields = all.slice(0, MOST_FIELDS).map(({ pointer, drift, managers }) => {
    const value = values.get(pointer)
    return {
      pointer,
      drift,
      managers,
      desired: text(pointer, value?.desired),
      live: text(pointer, value?.live),
    }
  })
  return { fields, leftOut: all.length - fields.length }
}

/** Of a Secret: its contents, and the annotations in which tools keep a copy of them. */
function holdsSecret(pointer: string): boolean {
  return !pointer.startsWith('/metadata/labels') && pointer !== '/type' && pointer !== '/immutable'
}

/** kubectl keeps what it applied in an annotation, whole. */
const COPY = 'kubectl.kubernetes.io/last-applied-configuration'

function withoutSecrets(value: Json): Json {
  if (!isObject(value) || value[COPY] === undefined) return value
  return { ...value, [COPY]: '***' } satisfies JsonObject
}

function cut(text: string): string {
  return text.length <= MOST_CHARS ? text : `${text.slice(0, MOST_CHARS)}… (${text.length} characters)`
}

/** As many as fit into so many characters of JSON, and the count of the others. */
export function fitting(
  objects: readonly ObjectShown[],
  mostChars: number,
): { readonly objects: readonly ObjectShown[]; readonly leftOut: number } {
  let chars = 0
  const fit = objects.findIndex((object) => (chars += JSON.stringify(object).length + 1) > mostChars)
  return fit < 0 ? { objects, leftOut: 0 } : { objects: objects.slice(0, fit), leftOut: objects.length - fit }
}

/** Secrets first of all would be a list in the order of a map: by workload, kind and name. */
export function inOrder(a: ObjectShown, b: ObjectShown): number {
  const [x, y] = [`${a.workload} ${refKey(a.ref)}`, `${b.workload} ${refKey(b.ref)}`]
  return x < y ? -1 : x > y ? 1 : 0
}
