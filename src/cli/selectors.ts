import { parseSelector } from '../core/kube/selector-text.ts'
import type { LabelSelector } from '../core/model/selector.ts'

/** As the API takes it; text: why it cannot be read. */
export function labelSelector(text: string): LabelSelector | string {
  const parsed = parseSelector(text)
  if (!parsed.ok) return parsed.because
  if (parsed.selector.selects !== 'matching' || parsed.selector.requirements.length === 0)
    return 'selects nothing: give labels'
  return {
    matchExpressions: parsed.selector.requirements.map(({ key, operator, values }) => ({
      key,
      operator: operator === '=' || operator === '==' ? 'In' : operator === '!=' ? 'NotIn' : operator,
      ...(values.length === 0 ? {} : { values }),
    })),
  }
}
