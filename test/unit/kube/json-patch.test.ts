import { describe, expect, test } from 'vitest'
import { applyJsonPatch } from '../../../src/core/kube/json-patch.ts'
import type { Json } from '../../../src/core/model/json.ts'

describe('accepted', () => {
  const table: readonly [string, Json, Json, Json][] = [
    ['add into a list', { a: [1, 3] }, [{ op: 'add', path: '/a/1', value: 2 }], { a: [1, 2, 3] }],
    ['add at the end', [1], [{ op: 'add', path: '/-', value: 2 }], [1, 2]],
    ['escapes', { 'a/b': { '~': 1 } }, [{ op: 'remove', path: '/a~1b/~0' }], { 'a/b': {} }],
    ['~01 is ~1, not a slash', { '~1': 1 }, [{ op: 'test', path: '/~01', value: 1 }], { '~1': 1 }],
    ['the empty key', { '': 1 }, [{ op: 'replace', path: '/', value: 2 }], { '': 2 }],
    ['move renames', { a: 1 }, [{ op: 'move', from: '/a', path: '/b' }], { b: 1 }],
    ['copy into itself', { a: { b: 1 } }, [{ op: 'copy', from: '/a', path: '/a/c' }], { a: { b: 1, c: { b: 1 } } }],
    ['the whole document', { a: 1 }, [{ op: 'replace', path: '', value: [] }], []],
    ['null is a value', { a: null }, [{ op: 'test', path: '/a', value: null }], { a: null }],
  ]
  test.each(table)('%s', (_says, doc, patch, result) => {
    const before = structuredClone(doc)
    expect(applyJsonPatch(doc, patch)).toEqual({ ok: true, doc: result })
    expect(doc).toEqual(before)
  })
})

describe('refused, naming the operation', () => {
  const table: readonly [string, Json, Json, number][] = [
    ['no list', {}, { op: 'add' }, 0],
    ['a missing parent', {}, [{ op: 'add', path: '/a/b', value: 1 }], 0],
    ['remove of what is not there', { a: 1 }, [{ op: 'test', path: '/a', value: 1 }, { op: 'remove', path: '/b' }], 1],
    ['a leading zero', [1, 2], [{ op: 'remove', path: '/01' }], 0],
    ['- does not exist yet', [1], [{ op: 'replace', path: '/-', value: 1 }], 0],
    ['past the end', [], [{ op: 'add', path: '/1', value: 1 }], 0],
    ['a value moved into itself', { a: { b: 1 } }, [{ op: 'move', from: '/a', path: '/a/b/c' }], 0],
    ['a pointer without slash', {}, [{ op: 'add', path: 'a', value: 1 }], 0],
    ['a lone ~', { '~': 1 }, [{ op: 'remove', path: '/~' }], 0],
    ['no value', {}, [{ op: 'add', path: '/a' }], 0],
    ['removal of everything', {}, [{ op: 'remove', path: '' }], 0],
    ['an inherited member', {}, [{ op: 'test', path: '/constructor', value: {} }], 0],
  ] // prettier-ignore
  test.each(table)('%s', (_says, doc, patch, index) =>
    expect(applyJsonPatch(doc, patch)).toMatchObject({ ok: false, index }),
  )

  test('copies of copies stop before they fill the memory', () => {
    const patch = Array.from({ length: 40 }, (_, i) => ({ op: 'copy', from: '', path: `/k${i}` }))
    expect(applyJsonPatch({ a: 1 }, patch)).toMatchObject({ ok: false, because: 'copies too much' })
  })
})

test('__proto__ is a key like any other', () => {
  const patched = applyJsonPatch({}, [{ op: 'add', path: '/__proto__', value: { admin: true } }])
  expect(patched.ok && Object.keys(patched.doc as object)).toEqual(['__proto__'])
  expect(({} as { admin?: boolean }).admin).toBeUndefined()
})
