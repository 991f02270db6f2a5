/**
 * kapp's words for order: `kapp.k14s.io/change-group` says where an object belongs, `kapp.k14s.io/change-rule` what comes before or
 * after a group. Rules between a deletion and an upsert are what `pruneFirst` is for, and order nothing here.
 */
import { refKey, refOf, type Manifest } from '../model/object.ts'
import type { Edge, OrderError } from './order.ts'

const GROUP = 'kapp.k14s.io/change-group'
const RULE = 'kapp.k14s.io/change-rule'
const WORDS = /^(upsert|delete) (after|before) (upserting|deleting) (\S+)$/

export interface KappOrder {
  /** `from` is applied after `to`. */
  readonly applies: readonly Edge[]
  /** `from` is deleted after `to`. */
  readonly deletes: readonly Edge[]
  readonly errors: readonly OrderError[]
}

export function kappOrder(objects: readonly Manifest[]): KappOrder {
  const groups = new Map<string, Manifest[]>()
  const ruled: (readonly [Manifest, string])[] = []
  for (const object of objects) {
    // Both may stand more than once, with a suffix each: `change-rule.one`.
    for (const [name, text = ''] of Object.entries(object.metadata.annotations ?? {})) {
      if (isNamed(name, GROUP)) groups.set(text, [...(groups.get(text) ?? []), object])
      else if (isNamed(name, RULE)) ruled.push([object, text])
    }
  }
  const found = { applies: [] as Edge[], deletes: [] as Edge[], errors: [] as OrderError[] }
  for (const [object, text] of ruled) {
    const [, does, order, others, group = ''] = WORDS.exec(text.trim()) ?? []
    if (does === undefined) {
      found.errors.push({ ref: refOf(object), annotation: RULE, reason: 'invalid-reference' })
      continue
    }
    if ((does === 'upsert') !== (others === 'upserting')) continue
    const edges = does === 'upsert' ? found.applies : found.deletes
    for (const member of groups.get(group) ?? []) {
      if (refKey(refOf(member)) === refKey(refOf(object))) continue
      const [from, to] = order === 'after' ? [object, member] : [member, object]
      edges.push({ from: refOf(from), to: refOf(to) })
    }
  }
  return found
}

function isNamed(annotation: string, name: string): boolean {
  return annotation === name || annotation.startsWith(`${name}.`)
}
