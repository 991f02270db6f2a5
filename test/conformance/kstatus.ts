import { healthOf } from '../../src/core/health/health.ts'
import type { Manifest } from '../../src/core/model/object.ts'
import { type Adapter, all, failed, PASSED, type Row, same } from './adapter.ts'

type Case = Row & {
  readonly object: Manifest
  readonly expectedStatus: string
  readonly expectedConditions: readonly { readonly type: string; readonly status: string; readonly reason: string }[]
  readonly absentConditions: readonly string[]
  readonly nowRelative: boolean
}

export const adapter: Adapter = {
  id: (row) => `${String(row['suite'])}::${String(row['name'])}`,
  check(row) {
    const { object, expectedStatus, expectedConditions, absentConditions, nowRelative } = row as Case
    const created = Date.parse(object.metadata.creationTimestamp ?? '')
    const { kstatus, conditions } = healthOf(object, {
      nowMs: nowRelative ? created : Date.parse('2026-01-01T00:00:00Z'),
    })
    const found = expectedConditions.map(({ type }) => {
      const condition = conditions.find((one) => one.type === type)
      return { type, status: condition?.status, reason: condition?.reason }
    })
    const unwanted = conditions.filter(({ type }) => absentConditions.includes(type))
    return all(
      same(kstatus, expectedStatus, 'status'),
      same(
        found,
        expectedConditions.map(({ type, status, reason }) => ({ type, status, reason })),
        'conditions',
      ),
      unwanted.length === 0 ? PASSED : failed(`has ${unwanted.map(({ type }) => type).join()}`),
    )
  },
}
