/** Label selectors: what they select, whether they are valid, and the canonical text. Text is read by selector-text.ts. */
import { byUtf16 } from '../model/json.ts'
import type { LabelSelector } from '../model/selector.ts'
import { refuseLabelKey, refuseLabelValue } from './names.ts'

/** `=`, `==` and `!=` come from text and from matchLabels; Gt and Lt from text, node affinity and our own kinds. */
export type Operator = 'In' | 'NotIn' | 'Exists' | 'DoesNotExist' | 'Gt' | 'Lt' | '=' | '==' | '!='

export interface Requirement {
  readonly key: string
  readonly operator: Operator
  readonly values: readonly string[]
}

/** All requirements must hold; none of them at all selects everything. */
export type Selector =
  | { readonly selects: 'nothing' }
  | { readonly selects: 'matching'; readonly requirements: readonly Requirement[] }

export type ParsedSelector =
  | { readonly ok: true; readonly selector: Selector }
  | { readonly ok: false; readonly because: string }

export type Labels = Readonly<Record<string, string | undefined>>

export const EVERYTHING: Selector = { selects: 'matching', requirements: [] }

/** Which operators an object selector may use: `kubernetes` refuses Gt and Lt, as the API server does for LabelSelector. */
export type SelectorDialect = 'kubernetes' | 'ordered'

/** Does a selector object select these labels? Null and absent select nothing; one that is not valid selects nothing. */
export function matches(selector: LabelSelector | null | undefined, labels: Labels): boolean {
  if (selector === null || selector === undefined) return false
  for (const key in selector.matchLabels) if (valueOf(labels, key) !== selector.matchLabels[key]) return false
  for (const { key, operator, values } of selector.matchExpressions ?? []) {
    const requirement = { key, operator, values: values ?? [] }
    if (refuseArity(requirement) !== undefined || !requirementHolds(requirement, labels)) return false
  }
  return true
}

export function selectorMatches(selector: Selector, labels: Labels): boolean {
  return selector.selects === 'matching' && selector.requirements.every((r) => requirementHolds(r, labels))
}

/** NotIn and != hold where the key is absent. Gt and Lt hold only between integers. */
export function requirementHolds(requirement: Requirement, labels: Labels): boolean {
  const { operator, values } = requirement
  const value = valueOf(labels, requirement.key)
  switch (operator) {
    case 'In':
    case '=':
    case '==':
      return value !== undefined && values.includes(value)
    case 'NotIn':
    case '!=':
      return value === undefined || !values.includes(value)
    case 'Exists':
      return value !== undefined
    case 'DoesNotExist':
      return value === undefined
    case 'Gt':
    case 'Lt': {
      const left = readInteger(value)
      const right = readInteger(values[0])
      if (left === undefined || right === undefined) return false
      return operator === 'Gt' ? left > right : left < right
    }
  }
}

/** No labels and no expressions: selects everything. In our own kinds that is an error. */
export function isEmptySelector(selector: LabelSelector): boolean {
  return Object.keys(selector.matchLabels ?? {}).length === 0 && (selector.matchExpressions ?? []).length === 0
}

/** Why one requirement is refused, or undefined. The operator may be any word a user wrote. */
export function refuseRequirement(requirement: {
  readonly key: string
  readonly operator: string
  readonly values: readonly string[]
}): string | undefined {
  const refused = refuseLabelKey(requirement.key)
  if (refused !== undefined) return `key "${requirement.key}" ${refused}`
  const arity = refuseArity(requirement)
  if (arity !== undefined) return arity
  for (const value of requirement.values) {
    const refusedValue = refuseLabelValue(value)
    if (refusedValue !== undefined) return `value "${value}" of "${requirement.key}" ${refusedValue}`
  }
  return undefined
}

function refuseArity(requirement: {
  readonly operator: string
  readonly values: readonly string[]
}): string | undefined {
  const { operator, values } = requirement
  switch (operator) {
    case 'In':
    case 'NotIn':
      return values.length > 0 ? undefined : `${operator} needs at least one value`
    case '=':
    case '==':
    case '!=':
      return values.length === 1 ? undefined : `${operator} needs exactly one value`
    case 'Exists':
    case 'DoesNotExist':
      return values.length === 0 ? undefined : `${operator} takes no values`
    case 'Gt':
    case 'Lt':
      return values.length === 1 && readInteger(values[0]) !== undefined ? undefined : `${operator} needs one integer`
    default:
      return `"${operator}" is not an operator`
  }
}

/** A selector object as requirements, sorted by key. Null selects nothing. */
export function toSelector(
  selector: LabelSelector | null | undefined,
  dialect: SelectorDialect = 'kubernetes',
): ParsedSelector {
  if (selector === null || selector === undefined) return { ok: true, selector: { selects: 'nothing' } }
  const requirements: Requirement[] = []
  for (const [key, value] of Object.entries(selector.matchLabels ?? {}))
    requirements.push({ key, operator: '=', values: [value] })
  for (const { key, operator, values } of selector.matchExpressions ?? []) {
    const written = !(LABEL_OPERATORS as readonly string[]).includes(operator)
    if (written && (dialect === 'kubernetes' || (operator !== 'Gt' && operator !== 'Lt')))
      return { ok: false, because: `"${operator}" is not an operator of a label selector` }
    requirements.push({ key, operator, values: (values ?? []).toSorted(byUtf16) })
  }
  for (const requirement of requirements) {
    const because = refuseRequirement(requirement)
    if (because !== undefined) return { ok: false, because }
  }
  return { ok: true, selector: { selects: 'matching', requirements: sortRequirements(requirements) } }
}

const LABEL_OPERATORS = ['In', 'NotIn', 'Exists', 'DoesNotExist'] as const

/** The one set of labels that a selector object stands for, where there is one: null for null. */
export function selectorAsLabels(
  selector: LabelSelector | null | undefined,
):
  | { readonly ok: true; readonly labels: Readonly<Record<string, string>> | null }
  | { readonly ok: false; readonly because: string } {
  if (selector === null || selector === undefined) return { ok: true, labels: null }
  const labels: Record<string, string> = { ...selector.matchLabels }
  for (const { key, operator, values } of selector.matchExpressions ?? []) {
    const [value, ...others] = values ?? []
    if (operator !== 'In' || value === undefined || others.length > 0)
      return { ok: false, because: `${key} ${operator} is not one value of one label` }
    labels[key] = value
  }
  return { ok: true, labels }
}

export function sortRequirements(requirements: readonly Requirement[]): readonly Requirement[] {
  return requirements.toSorted((a, b) => byUtf16(a.key, b.key))
}

/** Canonical text, requirements in the order they stand. Selecting nothing has no text: undefined. */
export function formatSelector(selector: Selector): string | undefined {
  if (selector.selects === 'nothing') return undefined
  return selector.requirements.map(formatRequirement).join(',')
}

export function formatRequirement({ key, operator, values }: Requirement): string {
  switch (operator) {
    case 'In':
    case 'NotIn':
      return `${key} ${operator === 'In' ? 'in' : 'notin'} (${values.toSorted(byUtf16).join(',')})`
    case 'Exists':
      return key
    case 'DoesNotExist':
      return `!${key}`
    case 'Gt':
      return `${key}>${values[0]}`
    case 'Lt':
      return `${key}<${values[0]}`
    default:
      return `${key}${operator}${values[0]}`
  }
}

const INT64_LIMIT = 1n << 63n
function readInteger(text: string | undefined): bigint | undefined {
  if (text === undefined || text.length > 20 || !/^[+-]?\d+$/.test(text)) return undefined
  const value = BigInt(text.replace(/^\+/, ''))
  return value < INT64_LIMIT && value >= -INT64_LIMIT ? value : undefined
}

function valueOf(labels: Labels, key: string): string | undefined {
  return Object.hasOwn(labels, key) ? labels[key] : undefined
}
