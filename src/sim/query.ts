import { parseSelector } from '../core/kube/selector-text.ts'
import { EVERYTHING, selectorMatches } from '../core/kube/selector.ts'
import { Fault } from '../core/model/fault.ts'
import { isObject, type Json } from '../core/model/json.ts'
import type { Manifest } from '../core/model/object.ts'

/** Which objects of a kind a list or watch is about. Fault Rejected where a selector is not one. */
export function selection(query: {
  readonly namespace?: string
  readonly labelSelector?: string
  readonly fieldSelector?: string
}): (object: Manifest) => boolean {
  const parsed = parseSelector(query.labelSelector ?? '')
  if (!parsed.ok)
    throw new Fault('Rejected', `unable to parse label selector: ${parsed.because}`, { facts: { status: 400 } })
  const selector = parsed.selector ?? EVERYTHING
  const fields = parseFieldSelector(query.fieldSelector ?? '')
  const namespace = query.namespace ?? ''
  return (object) =>
    (namespace === '' || object.metadata.namespace === namespace) &&
    selectorMatches(selector, object.metadata.labels ?? {}) &&
    fields.every((field) => field.equals === (valueAt(object, field.path) === field.value))
}

function parseFieldSelector(text: string): readonly { path: string; value: string; equals: boolean }[] {
  if (text === '') return []
  return text.split(',').map((term) => {
    const match = /^([\w.]+)(==|=|!=)(.*)$/.exec(term)
    if (match === null) throw new Fault('Rejected', `invalid field selector: ${term}`, { facts: { status: 400 } })
    const [, path = '', operator, value = ''] = match
    return { path, value, equals: operator !== '!=' }
  })
}

function valueAt(object: Manifest, path: string): string {
  const value = path.split('.').reduce<Json | undefined>((at, key) => (isObject(at) ? at[key] : undefined), object)
  if (value === undefined || value === null) return ''
  return typeof value === 'string' ? value : JSON.stringify(value)
}
