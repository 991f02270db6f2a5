import { describe, expect, test } from 'vitest'
import {
  formatSelector,
  isEmptySelector,
  matches,
  refuseRequirement,
  selectorMatches,
  toSelector,
} from '../../../src/core/kube/selector.ts'
import { parseSelector } from '../../../src/core/kube/selector-text.ts'
import type { LabelSelector } from '../../../src/core/model/selector.ts'

describe('selector objects', () => {
  const labels = { app: 'web', tier: 'front', version: '7' }
  const table: readonly [string, LabelSelector | null, boolean][] = [
    ['null selects nothing', null, false],
    ['an empty one selects everything', {}, true],
    ['all labels must hold', { matchLabels: { app: 'web', tier: 'back' } }, false],
    ['In', { matchExpressions: [{ key: 'app', operator: 'In', values: ['api', 'web'] }] }, true],
    ['NotIn holds for an absent key', { matchExpressions: [{ key: 'zone', operator: 'NotIn', values: ['a'] }] }, true],
    ['DoesNotExist', { matchExpressions: [{ key: 'app', operator: 'DoesNotExist' }] }, false],
    ['Gt compares integers', { matchExpressions: [{ key: 'version', operator: 'Gt', values: ['6'] }] }, true],
    ['Gt with no integer selects nothing', { matchExpressions: [{ key: 'app', operator: 'Gt', values: ['6'] }] }, false],
    ['NotIn without values is not valid, and selects nothing', { matchExpressions: [{ key: 'app', operator: 'NotIn' }] }, false],
    ['a key that every object inherits is not a label', { matchExpressions: [{ key: 'constructor', operator: 'Exists' }] }, false],
  ] // prettier-ignore
  test.each(table)('%s', (_says, selector, selected) => expect(matches(selector, labels)).toBe(selected))

  test('Gt is refused where Kubernetes refuses it', () => {
    const selector: LabelSelector = { matchExpressions: [{ key: 'version', operator: 'Gt', values: ['6'] }] }
    expect(toSelector(selector).ok).toBe(false)
    expect(toSelector(selector, 'ordered').ok).toBe(true)
  })
  test('empty expressions are empty too', () =>
    expect(isEmptySelector({ matchLabels: {}, matchExpressions: [] })).toBe(true))
})

describe('selector texts', () => {
  const table: readonly [string, string | undefined][] = [
    ['', ''],
    ['b=2, a==1', 'a==1,b=2'],
    ['a in (z,y,y)', 'a in (y,z)'],
    ['a notin ()', 'a notin ()'],
    ['!a', '!a'],
    ['in', 'in'],
    ['in in (in)', 'in in (in)'],
    ['a>1,b<2', 'a>1,b<2'],
    ['a>x', undefined],
    ['a,', undefined],
    [',a', undefined],
    ['!a=b', undefined],
    ['a in (b', undefined],
    ['a in b', undefined],
    ['a b', undefined],
    ['-a', undefined],
    [`${'k'.repeat(64)}=v`, undefined],
  ]
  test.each(table)('%s', (text, canonical) => {
    const parsed = parseSelector(text)
    expect(parsed.ok ? formatSelector(parsed.selector) : undefined).toBe(canonical)
  })
  test('one that parsed selects', () => {
    const parsed = parseSelector('app in (web,api),!gone')
    expect(parsed.ok && selectorMatches(parsed.selector, { app: 'api' })).toBe(true)
  })
})

test('a refusal names the key and says why', () =>
  expect(refuseRequirement({ key: 'Bad_Prefix/x', operator: 'Exists', values: [] })).toContain('Bad_Prefix/x'))
