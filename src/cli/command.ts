/** A command is data plus one function; `program.ts` turns a list of them into what the shell sees. */
import type { ExitCode } from './exit.ts'

export interface Io {
  /** Results, one call a line or block; ends with a line break by itself. */
  out(text: string): void
  /** Progress and errors. */
  err(text: string): void
  readonly terminal: boolean
  readonly color: boolean
  /** No box drawing, no ellipsis. */
  readonly ascii: boolean
  readonly columns: number
  nowMs(): number
  readonly signal: AbortSignal
}

export interface Flag {
  readonly type: 'string' | 'number' | 'switch' | 'list'
  readonly help: string
  readonly short?: string
  readonly placeholder?: string
  readonly default?: string | number
}

export interface Argument {
  readonly name: string
  readonly help: string
  readonly optional?: boolean
}

export type Values = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>

export interface Command<Ports> {
  /** Words after `flotilla`, `rollout pause`. */
  readonly name: string
  readonly group: Group
  readonly summary: string
  readonly arguments?: readonly Argument[]
  readonly flags?: Readonly<Record<string, Flag>>
  /** Any number of words; where the command has no flags, options too are words and the command reads them. */
  readonly words?: Argument
  run(args: readonly string[], flags: Values, ports: Ports, io: Io): Promise<ExitCode>
}

export type Group = 'Try' | 'Author' | 'Observe' | 'Operate' | 'Batch' | 'Sites' | 'Run'

export const OUTPUT_FLAG: Flag = {
  type: 'string',
  short: 'o',
  placeholder: 'FORMAT',
  help: 'text, wide, json, yaml or name',
  default: 'text',
}
export const SELECTOR_FLAG: Flag = {
  type: 'string',
  short: 'l',
  placeholder: 'SELECTOR',
  help: 'labels, as kubectl takes them: country=dk,format!=kiosk',
}
