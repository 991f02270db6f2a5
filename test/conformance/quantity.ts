import { compareQuantities, parseQuantity, quantityValue } from '../../src/core/kube/quantity.ts'
import { type Adapter, all, failed, PASSED, type Row, same } from './adapter.ts'

type Case = Row & {
  readonly input: string
  readonly a: string
  readonly b: string
  readonly expected: {
    readonly error?: unknown
    readonly value: string
    readonly canonical: string
    readonly format: string
    readonly order: number
  }
}

export const adapter: Adapter = {
  check(row) {
    const { kind, input, a, b, expected } = row as Case
    if (kind === 'compare') {
      const [left, right] = [parseQuantity(a), parseQuantity(b)]
      if (!left.ok || !right.ok) return failed('refused')
      return same(compareQuantities(left.quantity, right.quantity), expected.order, 'order')
    }
    const parsed = parseQuantity(input)
    if (!parsed.ok) return expected.error === undefined ? failed(parsed.because) : PASSED
    if (expected.error !== undefined) return failed('accepted')
    const { quantity } = parsed
    return all(
      same(quantityValue(quantity), expected.value, 'value'),
      same(quantity.canonical, expected.canonical, 'canonical'),
      same(quantity.format, expected.format, 'format'),
    )
  },
}
