/** Label selectors as they stand in objects from outside: what is not of their form is refused in words, as what is not valid is. */
import { toSelector, type ParsedSelector } from '../kube/selector.ts'
import { isObject } from '../model/json.ts'
import type { LabelSelector } from '../model/selector.ts'

/** Absent selects nothing. */
export function readSelector(value: unknown): ParsedSelector {
  if (value === undefined || value === null) return { ok: true, selector: { selects: 'nothing' } }
  return isSelector(value) ? toSelector(value) : { ok: false, because: 'a label selector is not of its form' }
}

function isSelector(value: unknown): value is LabelSelector {
  if (!isObject(value)) return false
  const { matchLabels = {}, matchExpressions = [] } = value
  if (!isObject(matchLabels) || !Object.values(matchLabels).every(isText) || !Array.isArray(matchExpressions))
    return false
  return matchExpressions.every(
    (one) =>
      isObject(one) &&
      isText(one['key']) &&
      isText(one['operator']) &&
      (one['values'] === undefined || (Array.isArray(one['values']) && one['values'].every(isText))),
  )
}

function isText(value: unknown): boolean {
  return typeof value === 'string'
}
