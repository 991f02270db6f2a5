/** What the hub tells of questions and orders that it carries to sites (ADR 0014). */
import type { JsonObject } from '../model/json.ts'

/**
 * `waiting`: not told yet. `told`: on its way, or its agent has not said that it has it. `taken`: the site is at it. `expired`: it was
 * not taken in time, and will not be any more. `unknown`: it was told, and was not heard since: nobody knows.
 */
export type AskState = 'waiting' | 'told' | 'taken' | 'answered' | 'expired' | 'unknown'

export type AskAnswerView =
  | { readonly ok: true; readonly said: JsonObject }
  | { readonly ok: false; readonly reason: string; readonly message: string }

export interface AskView {
  readonly formatVersion: number
  readonly asOfMs: number
  readonly id: string
  readonly verb: string
  readonly by: string
  readonly issuedMs: number
  readonly expiresMs: number
  readonly sites: number
  readonly counts: Readonly<Record<AskState, number>>
  /** Of what was not answered, the first few of each state. */
  readonly open: readonly AskOpenView[]
  /** Answers, where they were asked for, alike ones together, most sites first. */
  readonly groups: readonly AskGroupView[]
  /** Sites whose answers are in none of these groups. */
  readonly leftOut: number
}

export interface AskGroupView {
  readonly answer: AskAnswerView
  readonly count: number
  /** The first few by name. */
  readonly sites: readonly string[]
}

export interface AskOpenView {
  readonly site: string
  readonly state: AskState
  /** When it was first told; null: never. */
  readonly toldMs: number | null
  readonly lastContactMs: number | null
  readonly dueAtMs: number | null
  readonly agent: string | null
}
