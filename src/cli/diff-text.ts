/** What differs at a site, for people: objects that differ alike together, what is there against what should be. */
import type { FieldShown, ObjectShown } from '../core/diff/shown.ts'
import { formatRef } from '../core/model/object.ts'
import { formatWaiting, type Waiting } from '../core/model/state.ts'

/** As `agent/asks/diff.ts` says it. */
export interface DiffSaid {
  readonly revision: string | null
  readonly idle: Waiting | null
  readonly compared: number
  readonly workloads: readonly {
    readonly workload: string
    readonly sync: string
    readonly health: string
    readonly waiting: Waiting | null
    readonly failure: string | null
  }[]
  readonly objects: readonly ObjectShown[]
  readonly leftOut: number
}

/** Objects of one group that are named. */
const MOST_NAMED = 5

/** `who`: `site/0417`, or `12 sites (0417 0418 …)`. */
export function diffText(who: string, said: DiffSaid): string {
  const at = said.revision === null ? 'told nothing yet' : said.revision.slice(0, 7)
  const total = said.objects.length + said.leftOut
  const idle = said.idle === null ? '' : `; nothing is done about it now: ${formatWaiting(said.idle)}`
  if (total === 0 && said.workloads.length === 0) return `${who}: no difference in ${said.compared} objects (${at})`
  const unread = said.objects.filter(({ change }) => change === 'unread').length
  const doubt = unread === 0 ? '' : `, ${unread} cannot be compared`
  const differ = `${total - unread} of ${said.compared} objects differ${doubt}`
  const head = `${who}: ${differ} (${at}${idle}; - is there, + should be)`
  const lines = [head]
  for (const { workload, sync, health, waiting, failure } of said.workloads) {
    const because = [...(waiting === null ? [] : [formatWaiting(waiting)]), ...(failure === null ? [] : [failure])]
    lines.push(`${workload}  ${[`${sync}, ${health}`, ...because].join('  ')}`)
    lines.push(...objectTexts(said.objects.filter((object) => object.workload === workload)))
  }
  const known = new Set(said.workloads.map(({ workload }) => workload))
  const others = said.objects.filter(({ workload }) => !known.has(workload))
  if (others.length > 0) lines.push('of workloads that the hub no longer names', ...objectTexts(others))
  if (said.leftOut > 0) lines.push(`… and ${said.leftOut} more objects that differ`)
  return lines.join('\n')
}

export function hasDifference({ objects, leftOut }: DiffSaid): boolean {
  return objects.length + leftOut > 0
}

function objectTexts(objects: readonly ObjectShown[]): readonly string[] {
  const alike = new Map<string, ObjectShown[]>()
  for (const object of objects) {
    const text = bodyOf(object).join('\n')
    alike.set(text, [...(alike.get(text) ?? []), object])
  }
  return [...alike].flatMap(([text, [first, ...rest]]) => {
    if (first === undefined) return []
    const names = [first, ...rest].slice(0, MOST_NAMED).map(({ ref }) => formatRef(ref))
    const more = rest.length + 1 - names.length
    return [`  ${names.join(', ')}${more > 0 ? ` and ${more} more` : ''}  ${text}`]
  })
}

function bodyOf({ change, because, fields, leftOut }: ObjectShown): readonly string[] {
  const word = WORDS[because] ?? `${CHANGES[change]} (${because})`
  const more = leftOut > 0 ? [`    … and ${leftOut} more fields`] : []
  return [word, ...fields.flatMap(fieldText), ...more]
}

function fieldText({ pointer, desired, live, managers, drift }: FieldShown): readonly string[] {
  const by = managers.length === 0 ? '' : `  by ${managers.join(', ')}`
  const both = drift === 'conflict' ? '  changed there and in Git' : ''
  // What only a dry run of the server finds has no values of its own here.
  if (desired === null && live === null) return [`    ${pointer}${by}${both}  found by a dry run`]
  return [
    `    ${pointer}${by}${both}`,
    ...(live === null ? [] : [`    - ${live}`]),
    ...(desired === null ? [] : [`    + ${desired}`]),
  ]
}

const CHANGES: Readonly<Record<ObjectShown['change'], string>> = {
  missing: 'is not there',
  differs: 'differs',
  extra: 'is there, and nothing names it',
  foreign: 'is there, and is not ours',
  unread: 'cannot be compared',
}

const WORDS: Readonly<Record<string, string>> = {
  absent: 'is not there: it is made in the next turn',
  lost: 'was deleted there: it is made again',
  needed: 'is not there: it is made by need',
  drift: 'was changed there: it is corrected',
  pending: 'is not applied yet',
  conflict: 'was changed there and in Git: it is corrected',
  'drift-reported': 'was changed there, and is reported only',
  fought: 'is changed back by another again and again: it is left alone for a while',
  removed: 'is no longer in Git: it is deleted',
  'workload-removed': 'is of a workload that is gone from Git: it is deleted',
  DeletionBrake: 'is no longer in Git: its deletion waits for a yes',
  'never-adopt': 'is there, and is not ours: Git says to leave it',
  differs: 'is there, is not ours, and is not the same: Git says to leave it',
  'owned-by-another': 'is no longer in Git, and another controller owns it',
  terminating: 'is being deleted',
  unread: 'cannot be read',
  Secret: 'cannot be opened: its key is missing',
}
