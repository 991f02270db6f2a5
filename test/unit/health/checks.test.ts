import { describe, expect, test } from 'vitest'
import { healthOf } from '../../../src/core/health/health.ts'
import type { Json } from '../../../src/core/model/json.ts'
import type { Manifest } from '../../../src/core/model/object.ts'

const CHECK = {
  apiVersion: 'db.example/v1',
  kind: 'Cluster',
  current: 'status.phase == "Ready"',
  inProgress: 'has(status.restoring) && status.restoring',
  failed: 'status.phase == "Broken"',
}

const cluster = (status: Json | undefined, metadata: object = {}): Manifest => ({
  apiVersion: 'db.example/v1',
  kind: 'Cluster',
  metadata: { name: 'till', generation: 2, ...metadata },
  ...(status === undefined ? {} : { status }),
})

describe('a Workload’s own health checks', () => {
  test.each<[string, Manifest, object, string, string]>([
    ['current', cluster({ phase: 'Ready' }), CHECK, 'Healthy', 'current: status.phase == "Ready"'],
    ['failed before all', cluster({ phase: 'Broken', restoring: true }), CHECK, 'Degraded', 'failed: status.phase'],
    ['in progress before current', cluster({ phase: 'Ready', restoring: true }), CHECK, 'Progressing', 'inProgress: '],
    ['not current yet', cluster({ phase: 'Starting' }), CHECK, 'Progressing', 'not yet: status.phase == "Ready"'],
    ['no status yet', cluster(undefined), CHECK, 'Progressing', 'failed: no such field: status'],
    ['a field that is missing', cluster({}), CHECK, 'Progressing', 'failed: no such field: phase'],
    ['an older generation', cluster({ phase: 'Ready', observedGeneration: 1 }), CHECK, 'Progressing', 'its controller'],
    ['this generation', cluster({ phase: 'Ready', observedGeneration: 2 }), CHECK, 'Healthy', 'current'],
    [
      'an expression that is no yes or no',
      cluster({ phase: 'x' }),
      { ...CHECK, failed: 'status.phase' },
      'Progressing',
      'failed: neither',
    ],
    [
      'what it does not decide',
      cluster({ phase: 'x' }),
      { apiVersion: CHECK.apiVersion, kind: 'Cluster', failed: 'false' },
      'Healthy',
      '',
    ],
    [
      'another version of the kind',
      { ...cluster({ phase: 'Broken' }), apiVersion: 'db.example/v2' },
      CHECK,
      'Healthy',
      '',
    ],
    [
      'what is being deleted',
      cluster({ phase: 'Ready' }, { deletionTimestamp: '2026-01-01T00:00:00Z' }),
      CHECK,
      'Progressing',
      '',
    ],
  ])('%s', (_case, object, check, health, message) => {
    const said = healthOf(object, { nowMs: 0, checks: [check as typeof CHECK] })
    expect(said.health).toBe(health)
    expect(said.message).toContain(message)
    expect(said.reason === '').toBe(health === 'Healthy')
  })
})
