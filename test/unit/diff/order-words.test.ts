/** Words of other tools for order: what they say of applying, and the other way round of deleting. */
import { describe, expect, test } from 'vitest'
import { allEdges, pruneOrder } from '../../../src/core/diff/order.ts'
import { kappOrder } from '../../../src/core/diff/order-kapp.ts'
import { lowerWaves, waveOf } from '../../../src/core/diff/waves.ts'
import type { Manifest } from '../../../src/core/model/object.ts'

const object = (name: string, annotations: Record<string, string> = {}): Manifest => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace: 'shop', annotations },
})
const pairs = (
  edges: readonly { readonly from: { name: string }; readonly to: { name: string } }[],
): readonly string[] => edges.map(({ from, to }) => `${from.name} after ${to.name}`)

describe('waves', () => {
  test.each<[string, Record<string, string>, number]>([
    ['none', {}, 0],
    ['of Argo CD', { 'argocd.argoproj.io/sync-wave': '-5' }, -5],
    ['no number', { 'argocd.argoproj.io/sync-wave': 'first' }, 0],
    ['a number that is none of ours', { 'argocd.argoproj.io/sync-wave': '99999999' }, 0],
    ['a weight without a hook', { 'helm.sh/hook-weight': '5' }, 0],
    [
      'a Helm hook before the rest',
      { 'helm.sh/hook': 'pre-install,pre-upgrade', 'helm.sh/hook-weight': '5' },
      -9_999_995,
    ],
    ['a Helm hook after the rest', { 'helm.sh/hook': 'post-install', 'helm.sh/hook-weight': '-2' }, 9_999_998],
    ['an Argo CD hook before the rest', { 'argocd.argoproj.io/hook': 'PreSync' }, -10_000_000],
    [
      'an Argo CD hook after the rest, in a wave',
      { 'argocd.argoproj.io/hook': 'PostSync', 'argocd.argoproj.io/sync-wave': '1' },
      10_000_001,
    ],
    ['a hook of another kind', { 'helm.sh/hook': 'test' }, 0],
  ])('%s', (_case, annotations, wave) => {
    expect(waveOf(object('a', annotations))).toBe(wave)
  })

  test('each waits for all that are lower', () => {
    const lower = lowerWaves(new Map([['a', 0], ['b', 1], ['c', -1], ['d', 0]])) // prettier-ignore
    expect(lower.get('c')).toEqual([])
    expect(new Set(lower.get('b'))).toEqual(new Set(['a', 'd', 'c']))
    expect(lowerWaves(new Map([['a', 3], ['b', 3]])).size).toBe(0) // prettier-ignore
  })
})

describe('kapp', () => {
  const GROUP = 'kapp.k14s.io/change-group'
  const RULE = 'kapp.k14s.io/change-rule'
  const db = object('db', { [GROUP]: 'apps.example/db' })

  test.each<[string, Record<string, string>, readonly string[], readonly string[]]>([
    ['upsert after upserting', { [RULE]: 'upsert after upserting apps.example/db' }, ['web after db'], []],
    ['upsert before upserting', { [RULE]: 'upsert before upserting apps.example/db' }, ['db after web'], []],
    ['delete before deleting', { [RULE]: 'delete before deleting apps.example/db' }, [], ['db after web']],
    ['delete after deleting', { [RULE]: 'delete after deleting apps.example/db' }, [], ['web after db']],
    [
      'several, with suffixes',
      {
        [`${RULE}.a`]: 'upsert after upserting apps.example/db',
        [`${RULE}.b`]: 'delete before deleting apps.example/db',
      },
      ['web after db'],
      ['db after web'],
    ],
    ['a group that nobody is in', { [RULE]: 'upsert after upserting apps.example/other' }, [], []],
    ['between a deletion and an upsert', { [RULE]: 'upsert after deleting apps.example/db' }, [], []],
  ])('%s', (_case, annotations, applies, deletes) => {
    const order = kappOrder([db, object('web', annotations)])
    expect([pairs(order.applies), pairs(order.deletes), order.errors]).toEqual([applies, deletes, []])
  })

  test('a rule that is none is an error of its object, and the edges are part of the order', () => {
    const web = object('web', { [RULE]: 'upsert after upserting apps.example/db' })
    const odd = object('odd', { [RULE]: 'sometime' })
    const { edges, errors } = allEdges([db, web, odd])
    expect(pairs(edges)).toEqual(['web after db'])
    expect(errors).toMatchObject([{ ref: { name: 'odd' }, annotation: RULE, reason: 'invalid-reference' }])
    expect(pruneOrder([db, web]).sets.map((set) => set.map(({ name }) => name))).toEqual([['web'], ['db']])
  })
})
