import {
  formatSelector,
  matches,
  refuseRequirement,
  selectorAsLabels,
  selectorMatches,
  type ParsedSelector,
  toSelector,
} from '../../src/core/kube/selector.ts'
import { parseSelector } from '../../src/core/kube/selector-text.ts'
import type { LabelSelector } from '../../src/core/model/selector.ts'
import { type Adapter, all, failed, type Outcome, PASSED, type Row, same } from './adapter.ts'

type Case = Row & {
  readonly selector?: string
  readonly labelSelector: LabelSelector | null
  readonly labels: Record<string, string>
  readonly requirement: { readonly key: string; readonly operator: string; readonly values: readonly string[] }
  readonly expected: Row & { readonly error?: unknown }
}

export const adapter: Adapter = {
  check(row) {
    const { kind, selector, labelSelector, labels, requirement, expected } = row as Case
    if (kind === 'match') {
      if (selector === undefined) return same(matches(labelSelector, labels), expected['matches'])
      const parsed = parseSelector(selector)
      return parsed.ok
        ? same(selectorMatches(parsed.selector, labels), expected['matches'])
        : refused(parsed.because, expected)
    }
    if (kind === 'requirement') {
      const because = refuseRequirement(requirement)
      return because === undefined ? accepted(expected, PASSED) : refused(because, expected)
    }
    if (kind === 'asLabels') {
      const result = selectorAsLabels(labelSelector)
      return result.ok ? accepted(expected, same(result.labels, expected['labels'])) : refused(result.because, expected)
    }
    return checkParsed(kind === 'object' ? toSelector(labelSelector) : parseSelector(selector ?? ''), expected)
  },
}

function checkParsed(parsed: ParsedSelector, expected: Case['expected']): Outcome {
  if (!parsed.ok) return refused(parsed.because, expected)
  if (parsed.selector.selects === 'nothing') return same(true, expected['none'], 'selects nothing')
  const canonical = same(formatSelector(parsed.selector), expected['canonical'], 'canonical')
  return accepted(expected, all(same(parsed.selector.requirements, expected['requirements']), canonical))
}

function refused(because: string, expected: Case['expected']): Outcome {
  return expected.error === undefined ? failed(`refused: ${because}`) : PASSED
}

function accepted(expected: Case['expected'], outcome: Outcome): Outcome {
  return expected.error === undefined ? outcome : failed('accepted')
}
