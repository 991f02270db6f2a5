import { describe, expect, test } from 'vitest'
import { strategicMerge } from '../../../src/core/kube/strategic-merge.ts'
import type { JsonObject } from '../../../src/core/model/json.ts'

const pod = (spec: JsonObject): JsonObject => ({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p' }, spec })

function specAfter(before: JsonObject, patch: JsonObject): unknown {
  const merged = strategicMerge(pod(before), { spec: patch })
  return merged.ok ? merged.object['spec'] : merged.because
}

describe('a pod', () => {
  const table: readonly [string, JsonObject, JsonObject, JsonObject][] = [
    ['containers merge by name', { containers: [{ name: 'a', image: '1' }, { name: 'b' }] }, { containers: [{ name: 'b', image: '2' }] }, { containers: [{ name: 'a', image: '1' }, { name: 'b', image: '2' }] }],
    ['volumeMounts merge by path', { containers: [{ name: 'a', volumeMounts: [{ mountPath: '/x', name: 'v' }] }] }, { containers: [{ name: 'a', volumeMounts: [{ mountPath: '/x', readOnly: true }] }] }, { containers: [{ name: 'a', volumeMounts: [{ mountPath: '/x', name: 'v', readOnly: true }] }] }],
    ['tolerations are replaced', { tolerations: [{ key: 'a' }] }, { tolerations: [{ key: 'b' }] }, { tolerations: [{ key: 'b' }] }],
    ['null deletes', { nodeName: 'n', hostNetwork: true }, { nodeName: null }, { hostNetwork: true }],
    ['null in what is new is left out', {}, { securityContext: { runAsUser: 1, fsGroup: null } }, { securityContext: { runAsUser: 1 } }],
    ['an element is deleted', { containers: [{ name: 'a' }, { name: 'b' }] }, { containers: [{ name: 'a', $patch: 'delete' }] }, { containers: [{ name: 'b' }] }],
    ['a list is replaced', { containers: [{ name: 'a' }] }, { containers: [{ $patch: 'replace' }, { name: 'z' }] }, { containers: [{ name: 'z' }] }],
    ['a map is replaced', { securityContext: { a: 1 } }, { securityContext: { $patch: 'replace', b: 2 } }, { securityContext: { b: 2 } }],
    ['two elements of one key both stay, and new ones come first', { containers: [{ name: 'a', ports: [{ containerPort: 53, protocol: 'TCP' }, { containerPort: 53, protocol: 'UDP' }] }] }, { containers: [{ name: 'a', ports: [{ containerPort: 80 }] }] }, { containers: [{ name: 'a', ports: [{ containerPort: 80 }, { containerPort: 53, protocol: 'TCP' }, { containerPort: 53, protocol: 'UDP' }] }] }],
    ['a volume changes its source', { volumes: [{ name: 'v', emptyDir: {} }] }, { volumes: [{ name: 'v', $retainKeys: ['name', 'configMap'], configMap: { name: 'c' } }] }, { volumes: [{ name: 'v', configMap: { name: 'c' } }] }],
  ] // prettier-ignore
  test.each(table)('%s', (_says, before, patch, after) => expect(specAfter(before, patch)).toEqual(after))
})

describe('refused', () => {
  const table: readonly [string, JsonObject, JsonObject][] = [
    ['an element without its key', { containers: [{ name: 'a' }] }, { containers: [{ image: '1' }] }],
    ['a directive that is none', { securityContext: {} }, { securityContext: { $patch: 'explode' } }],
    ['a field that $retainKeys does not name', { volumes: [{ name: 'v' }] }, { volumes: [{ name: 'v', $retainKeys: ['name'], secret: {} }] }],
    ['an element that the order does not name', { containers: [{ name: 'a' }] }, { '$setElementOrder/containers': [{ name: 'a' }], containers: [{ name: 'b' }] }],
  ] // prettier-ignore
  test.each(table)('%s', (_says, before, patch) => expect(typeof specAfter(before, patch)).toBe('string'))
})

test('lists of a kind that is not built in are replaced', () => {
  const merged = strategicMerge(
    { apiVersion: 'example.com/v1', kind: 'Widget', spec: { containers: [{ name: 'a' }] } },
    { spec: { containers: [{ name: 'b' }] } },
  )
  expect(merged).toMatchObject({ ok: true, object: { spec: { containers: [{ name: 'b' }] } } })
})
