import { describe, expect, test } from 'vitest'
import { celNames, evaluate } from '../../../src/core/kube/cel.ts'
import { readCel } from '../../../src/core/kube/cel-parse.ts'
import type { Json, JsonObject } from '../../../src/core/model/json.ts'

const CLUSTER: JsonObject = {
  apiVersion: 'db.example/v1',
  kind: 'Cluster',
  metadata: { name: 'till', generation: 3, labels: { 'app.example/tier': 'gold' } },
  spec: { instances: 3, names: ['a', 'b'] },
  status: {
    phase: 'Cluster in healthy state',
    readyInstances: 2,
    conditions: [
      { type: 'Ready', status: 'False', reason: 'Waiting' },
      { type: 'Archiving', status: 'True' },
    ],
  },
}

function said(text: string): Json | string {
  const read = readCel(text)
  if (!read.ok) return `unread: ${read.message}`
  const found = evaluate(read.cel, celNames(CLUSTER))
  return found.ok ? found.value : `error: ${found.message}`
}

describe('an expression over an object', () => {
  test.each<[string, Json]>([
    ['status.phase == "Cluster in healthy state"', true],
    ["status.conditions.filter(e, e.type == 'Ready').all(e, e.status == 'True')", false],
    ["status.conditions.exists(c, c.type == 'Archiving' && c.status == 'True')", true],
    ["status.conditions.exists_one(c, c.status == 'True')", true],
    ['status.conditions.map(c, c.type)', ['Ready', 'Archiving']],
    ["status.conditions.map(c, c.status == 'True', c.type)", ['Archiving']],
    ['has(status.readyInstances) && status.readyInstances == spec.instances', false],
    ['has(status.missing)', false],
    ['has(status.missing) && status.missing.deep > 1', false],
    ['status.missing.deep > 1 || true', true],
    ['object.metadata.generation >= self.metadata.generation', true],
    ['metadata.labels["app.example/tier"] == "gold"', true],
    ['"c" in spec.names || "tier" in metadata.labels', false],
    ['size(spec.names) + spec.names.size() * 2 - 7 / 2 % 4', 3],
    ['-spec.instances < 0 ? "less" : "more"', 'less'],
    ['!(1 == 2) && 1.0 == 1', true],
    ["status.phase.startsWith('Cluster') && status.phase.contains(' in ') && status.phase.endsWith('state')", true],
    ['[1, 2] + [3] == [1, 2, 3] && {"a": 1}.a == 1', true],
    ["'it\\'s' + \"\\n\"", "it's\n"],
    ["int('3') == spec.instances && string(3) == '3'", true],
    ['null == null', true],
  ])('%s', (text, value) => {
    expect(said(text)).toEqual(value)
  })

  test.each([
    ['status.missing == 1', 'error: no such field: missing'],
    ['stauts.phase', 'error: no such field: stauts'],
    ['spec.names[7]', 'error: no item 7'],
    ['1 / 0', 'error: divided by zero'],
    ['spec.instances && true', 'error: true or false was expected, found 3'],
    ['"1" < 2', 'error: < compares two numbers, or two texts'],
    ['constructor', 'error: no such field: constructor'],
    ['status.constructor', 'error: no such field: constructor'],
  ])('%s is an error of this object', (text, message) => {
    expect(said(text)).toBe(message)
  })

  test('ends, however much is asked of it', () => {
    const many = `[${Array.from({ length: 60 }, () => '1').join(',')}]`
    expect(said(`${many}.all(a, ${many}.all(b, ${many}.all(c, true)))`)).toBe('error: more than 100000 steps')
  })
})

describe('what is no expression is said with its column', () => {
  test.each([
    ['status.phase ==', 'column 16: a name was expected, found the end'],
    ['status..phase', 'column 8: a name was expected, found .'],
    ["status.phase.matches('a+')", 'column 22: .matches() is not known, found '],
    ['now() > 1', 'column 6: now() is not known, found >'],
    ['a = 1', 'column 2: not understood: = 1'],
    ['has(a)', 'column 7: has() takes one field, has(a.b), found the end'],
    ['a b', 'column 2: the end was expected, found b'],
    ['', 'column 1: a name was expected, found the end'],
    ['('.repeat(5_000), 'longer than'],
    ['('.repeat(2_000), 'nested too deeply'],
    [`${'!'.repeat(2_000)}a`, 'nested too deeply'],
  ])('%s', (text, message) => {
    expect(said(text)).toContain(message)
  })
})
