import {
  array,
  assert,
  bigInt,
  constantFrom,
  dictionary,
  type Arbitrary,
  jsonValue,
  property,
  record,
  stringMatching,
  tuple,
} from 'fast-check'
import { test } from 'vitest'
import { applyJsonPatch } from '../../src/core/kube/json-patch.ts'
import { compareQuantities, parseQuantity } from '../../src/core/kube/quantity.ts'
import { formatSelector, selectorMatches } from '../../src/core/kube/selector.ts'
import { parseSelector } from '../../src/core/kube/selector-text.ts'
import { strategicMerge } from '../../src/core/kube/strategic-merge.ts'
import { type Json, jsonEqual, type JsonObject } from '../../src/core/model/json.ts'

const quantityText = tuple(
  constantFrom('', '-', '+'),
  bigInt({ min: 0n, max: 10n ** 12n }),
  constantFrom('', '.5', '.125'),
  constantFrom('', 'm', 'k', 'M', 'Ki', 'Mi', 'Gi', 'e3', 'e-2'),
).map((parts) => parts.join(''))

test('a canonical quantity has the value of what it was made from, and is its own canonical form', () => {
  assert(
    property(quantityText, (text) => {
      const first = parseQuantity(text)
      if (!first.ok) return false
      const again = parseQuantity(first.quantity.canonical)
      return again.ok && again.quantity.nanos === first.quantity.nanos
    }),
  )
})

test('the order of quantities is that of the numbers they stand for', () => {
  const milli = bigInt({ min: -(10n ** 15n), max: 10n ** 15n })
  assert(
    property(milli, milli, (a, b) => {
      const [x, y] = [parseQuantity(`${a}m`), parseQuantity(`${b}m`)]
      return x.ok && y.ok && compareQuantities(x.quantity, y.quantity) === (a < b ? -1 : a > b ? 1 : 0)
    }),
  )
})

const word = stringMatching(/^[a-z]{1,3}$/)
const requirement = tuple(word, constantFrom('=', '!=', ' in ', ' notin ', '', '!'), array(word, { minLength: 1, maxLength: 3 })).map(
  ([key, operator, values]) => {
    if (operator === '') return key
    if (operator === '!') return `!${key}`
    return operator.startsWith(' ') ? `${key}${operator}(${values.join(',')})` : `${key}${operator}${values[0] ?? ''}`
  },
) // prettier-ignore

test('the canonical text of a selector selects what the selector selects', () => {
  assert(
    property(array(requirement, { maxLength: 4 }), dictionary(word, word), (requirements, labels) => {
      const first = parseSelector(requirements.join(','))
      if (!first.ok) return false
      const again = parseSelector(formatSelector(first.selector) ?? '')
      return again.ok && selectorMatches(again.selector, labels) === selectorMatches(first.selector, labels)
    }),
  )
})

const name = constantFrom('a', 'b', 'c', 'd')
const container: Arbitrary<JsonObject> = record({ name, image: word, env: array(record({ name, value: word }), { maxLength: 3 }).map(uniqueByName) }, { requiredKeys: ['name'] }) // prettier-ignore
const podSpec: Arbitrary<JsonObject> = record(
  { containers: array(container, { maxLength: 4 }).map(uniqueByName), nodeSelector: dictionary(word, word), tolerations: array(record({ key: word }), { maxLength: 2 }) },
  { requiredKeys: [] },
) // prettier-ignore

function uniqueByName<T extends JsonObject>(items: readonly T[]): T[] {
  return [...new Map(items.map((item) => [item['name'], item])).values()]
}
const pod = (spec: JsonObject): JsonObject => ({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p' }, spec })

test('merging a patch a second time changes nothing, and neither input is touched', () => {
  assert(
    property(podSpec, podSpec, (spec, patch) => {
      const before = JSON.stringify([spec, patch])
      const once = strategicMerge(pod(spec), { spec: patch })
      if (!once.ok) return false
      const twice = strategicMerge(once.object, { spec: patch })
      return twice.ok && jsonEqual(once.object, twice.object) && JSON.stringify([spec, patch]) === before
    }),
  )
})

test('nothing that a patch does not name is lost from a merging list', () => {
  assert(
    property(podSpec, podSpec, (spec, patch) => {
      const merged = strategicMerge(pod(spec), { spec: patch })
      if (!merged.ok) return false
      const after = JSON.stringify(merged.object)
      const names = [spec, patch].flatMap((side) => (side['containers'] as readonly JsonObject[] | undefined) ?? [])
      return names.every((item) => after.includes(`"name":${JSON.stringify(item['name'])}`))
    }),
  )
})

test('what an add puts in, a test finds and a remove takes out', () => {
  assert(
    property(dictionary(word, jsonValue()), word, jsonValue(), (map, key, added) => {
      const doc = map as Json
      const [path, value] = [`/${key}`, added as Json]
      const patched = applyJsonPatch(doc, [
        { op: 'add', path, value },
        { op: 'test', path, value },
      ])
      const back = patched.ok ? applyJsonPatch(patched.doc, [{ op: 'remove', path }]) : patched
      const without = Object.fromEntries(Object.entries(map).filter(([name]) => name !== key)) as Json
      return back.ok && jsonEqual(back.doc, without)
    }),
  )
})
