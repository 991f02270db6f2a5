/** What people ask of the batch room at a site: untrusted JSON, checked here. */
import { Fault } from '../model/fault.ts'
import { isObject, type Json, type JsonObject } from '../model/json.ts'

export type BatchAsk =
  | { readonly op: 'view' }
  | {
      readonly op: 'submit'
      readonly script: string
      /** Of the job, where the script says none. */
      readonly name: string
      readonly options: readonly string[]
      readonly args: readonly string[]
      readonly user: string
    }
  | {
      readonly op: 'cancel'
      /** Jobs by name, elements as `name_3` or `name_[1-4,7]`; empty: by what follows alone. */
      readonly jobs: readonly string[]
      readonly user: string | null
      readonly partition: string | null
      readonly state: string | null
      readonly name: string | null
      /** Jobs that have pods there, as Slurm writes nodes: `n[1-3]`. */
      readonly nodes?: string | null
    }
  | { readonly op: 'job'; readonly job: string; readonly action: 'suspend' | 'resume' }
  | { readonly op: 'queue'; readonly queue: string; readonly word: 'hold' | 'drain' | 'release' }
  | { readonly op: 'predict'; readonly documents: readonly JsonObject[] }

const MAX_SCRIPT = 65_536
const MAX_WORD = 4_096
const MAX_WORDS = 1_000

/** Fault InvalidInput names the field. */
export function readAsk(value: Json): BatchAsk {
  if (!isObject(value)) return bad('ask', 'an object')
  switch (value['op']) {
    case 'view':
      return { op: 'view' }
    case 'submit':
      return {
        op: 'submit',
        script: text(value, 'script', MAX_SCRIPT),
        name: text(value, 'name'),
        options: texts(value, 'options'),
        args: texts(value, 'args'),
        user: text(value, 'user'),
      }
    case 'cancel':
      return {
        op: 'cancel',
        jobs: texts(value, 'jobs'),
        user: textOrNull(value, 'user'),
        partition: textOrNull(value, 'partition'),
        state: textOrNull(value, 'state'),
        name: textOrNull(value, 'name'),
        nodes: textOrNull(value, 'nodes'),
      }
    case 'job':
      return { op: 'job', job: text(value, 'job'), action: oneOf(value, 'action', ['suspend', 'resume']) }
    case 'queue':
      return { op: 'queue', queue: text(value, 'queue'), word: oneOf(value, 'word', ['hold', 'drain', 'release']) }
    case 'predict': {
      const documents = value['documents']
      if (!Array.isArray(documents) || documents.length > MAX_WORDS || !documents.every(isObject))
        return bad('documents', 'a list of objects')
      return { op: 'predict', documents }
    }
    default:
      return bad('op', 'view, submit, cancel, job, queue or predict')
  }
}

function bad(field: string, expected: string): never {
  throw new Fault('InvalidInput', `${field} must be ${expected}`)
}

function text(value: JsonObject, field: string, most = MAX_WORD): string {
  const found = value[field]
  return typeof found === 'string' && found.length <= most ? found : bad(field, `text of at most ${most} characters`)
}

function textOrNull(value: JsonObject, field: string): string | null {
  return value[field] === null || value[field] === undefined ? null : text(value, field)
}

function texts(value: JsonObject, field: string): readonly string[] {
  const found = value[field]
  const isList = Array.isArray(found) && found.length <= MAX_WORDS
  if (!isList || !found.every((word) => typeof word === 'string' && word.length <= MAX_WORD))
    return bad(field, `a list of at most ${MAX_WORDS} words`)
  return found as readonly string[]
}

function oneOf<T extends string>(value: JsonObject, field: string, allowed: readonly T[]): T {
  const found = value[field]
  return allowed.includes(found as T) ? (found as T) : bad(field, allowed.join(' or '))
}
