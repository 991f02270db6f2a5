import { expect, test } from 'vitest'
import { Places } from '../../../src/core/rollout/places.ts'
import type { SiteProgress } from '../../../src/core/rollout/types.ts'

const WAITING: SiteProgress = { wave: 0, phase: 'waiting', from: null }
const DONE: SiteProgress = { wave: 0, phase: 'done', from: null }
const names = Array.from({ length: 300 }, (_, i) => `s${i}`)
const first = Places.on(new Map(names.map((name) => [name, WAITING])))

test('what a later tick sets is not seen in the states before it', () => {
  const second = Places.on(first)
  second.set('s0', DONE)
  const third = Places.on(second)
  third.set('s299', DONE)
  third.set('s0', WAITING)
  expect([...first.values()].every((place) => place === WAITING)).toBe(true)
  expect([second.get('s0'), second.get('s299')]).toEqual([DONE, WAITING])
  expect([third.get('s0'), third.get('s299')]).toEqual([WAITING, DONE])
})
test('it reads as a map in the order it was given, and knows no other sites', () => {
  const later = Places.on(first)
  later.set('s7', DONE)
  later.set('stranger', DONE)
  expect([...later]).toEqual(names.map((name) => [name, name === 's7' ? DONE : WAITING]))
  expect([...later.keys()]).toEqual(names)
  expect([...later.values()]).toHaveLength(300)
  expect([later.size, later.has('stranger'), later.get('stranger')]).toEqual([300, false, undefined])
})
