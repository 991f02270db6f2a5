import { describe, expect, test } from 'vitest'
import {
  addQuantities,
  compareQuantities,
  formatQuantity,
  milliOf,
  parseQuantity,
  type Quantity,
  quantityValue,
  wholeOf,
} from '../../../src/core/kube/quantity.ts'

function quantity(text: string | number): Quantity {
  const parsed = parseQuantity(text)
  if (!parsed.ok) throw new Error(parsed.because)
  return parsed.quantity
}

describe('what is written back', () => {
  const table: readonly [string, string | number, string][] = [
    ['a number of YAML', 2, '2'],
    ['a fraction becomes milli', '0.5', '500m'],
    ['milli that is whole becomes whole', '1000m', '1'],
    ['binary takes the largest suffix that is exact', '1024Mi', '1Gi'],
    ['binary with a fraction turns decimal where it must', '100.035Ki', '102435840m'],
    ['exponents stay exponents, in threes', '1e13', '10e12'],
    ['finer than nano is rounded up', '0.0000000001', '1n'],
    ['below zero, away from zero', '-0.0000000001', '-1n'],
    ['binary stops at the largest int64', '9Ei', '9223372036854775807'],
    ['above exa the digits stay', '5000E', '5000E'],
    ['a text that the parser takes for canonical stays', '+1Ki', '+1Ki'],
    ['and one that it does not take for it changes', '+8Ki', '8Ki'],
  ]
  test.each(table)('%s', (_says, text, canonical) => expect(quantity(text).canonical).toBe(canonical))
})

describe('what is refused', () => {
  const table = [
    '',
    ' 1',
    '1 ',
    '1i',
    '0.1mi',
    '1.1.M',
    '1+1.0M',
    'Ki',
    '.',
    '+',
    '1e',
    'aoeu',
    '0x10',
    '1e9999',
    'NaN',
  ]
  test.each(table)('"%s"', (text) => expect(parseQuantity(text).ok).toBe(false))
  test('a text that is too long', () => expect(parseQuantity('1'.repeat(2_000)).ok).toBe(false))
})

describe('integers for the scheduler', () => {
  test('cores in milli', () => expect(milliOf(quantity('1.5'))).toBe(1_500))
  test('less than a milli is one', () => expect(milliOf(quantity('1u'))).toBe(1))
  test('bytes', () => expect(wholeOf(quantity('1Gi'))).toBe(1_073_741_824))
  test('part of a byte is a byte', () => expect(wholeOf(quantity('1m'))).toBe(1))
  test('2^53 is refused: no double holds it and its neighbour', () =>
    expect(wholeOf(quantity('9007199254740992'))).toBeUndefined())
  test('one less is the last', () => expect(wholeOf(quantity('9007199254740991'))).toBe(9_007_199_254_740_991))
})

test('the exact value has no exponent', () => expect(quantityValue(quantity('12E'))).toBe('12000000000000000000'))
test('order does not ask for the suffix', () =>
  expect(compareQuantities(quantity('1Ki'), quantity('1024000m'))).toBe(0))
test('a sum keeps the family of its first part', () =>
  expect(addQuantities(quantity('1Gi'), quantity('1073741824')).canonical).toBe('2Gi'))
test('zero plus something takes the family of that', () =>
  expect(addQuantities(quantity('0'), quantity('1Gi')).canonical).toBe('1Gi'))
test('formatting needs no parse', () => expect(formatQuantity(2_048n * 10n ** 9n, 'BinarySI')).toBe('2Ki'))
