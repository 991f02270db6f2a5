import { expect, test } from 'vitest'
import { currentGroup, isBuiltIn, scopeOf } from '../../../src/core/kube/builtin-kinds.ts'
import { SHAPES, shapeOfKind } from '../../../src/core/kube/merge-keys.ts'

test('scopes of built-in kinds are known', () => {
  expect(scopeOf('', 'Namespace')).toBe('cluster')
  expect(scopeOf('apps', 'Deployment')).toBe('namespaced')
  expect(scopeOf('rbac.authorization.k8s.io', 'ClusterRole')).toBe('cluster')
})
test('those of others are not guessed', () => {
  expect(scopeOf('example.com', 'Widget')).toBeUndefined()
  expect(scopeOf('', 'constructor')).toBeUndefined()
  expect(isBuiltIn('example.com', 'Widget')).toBe(false)
})
test('a kind that moved is one kind', () => {
  expect(currentGroup('extensions', 'Ingress')).toBe('networking.k8s.io')
  expect(currentGroup('apps', 'Deployment')).toBe('apps')
})
test('every shape that a rule names is there', () => {
  const named = Object.values(SHAPES).flatMap((shape) => Object.values(shape).flatMap(({ of }) => of ?? []))
  expect(named.filter((name) => SHAPES[name] === undefined)).toEqual([])
  expect(SHAPES[shapeOfKind('apps', 'Deployment') ?? '']).toBeDefined()
  expect(shapeOfKind('example.com', 'Widget')).toBeUndefined()
})
