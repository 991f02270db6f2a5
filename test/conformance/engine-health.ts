import { healthOf } from '../../src/core/health/health.ts'
import type { Manifest } from '../../src/core/model/object.ts'
import { type Adapter, same } from './adapter.ts'

export const adapter: Adapter = {
  id: (row) => String(row['input']),
  check(row) {
    const { engine } = healthOf(row['object'] as Manifest, { nowMs: Date.parse('2026-01-01T00:00:00Z') })
    return same(engine, row['expected'])
  },
}
