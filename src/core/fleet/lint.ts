import type { Problem } from '../model/problem.ts'
import { parseFleet } from './parse.ts'
import { renderFleet } from './render.ts'
import { sortProblems } from './sort.ts'
import type { ParsedFleet, ParseOptions, RenderedFleet, SourceTree } from './types.ts'

export interface Linted {
  readonly parsed: ParsedFleet
  /** null where the fleet does not parse. */
  readonly rendered: RenderedFleet | null
  /** Of both, errors first, each once. */
  readonly problems: readonly Problem[]
}

/** Everything that can be said of a fleet without a hub, many problems at once. */
export function lintFleet(tree: SourceTree, options: ParseOptions): Linted {
  const parsed = parseFleet(tree, options)
  const rendered = parsed.fleet === null ? null : renderFleet(parsed.fleet, tree, options.cache)
  return { parsed, rendered, problems: sortProblems([...parsed.problems, ...(rendered?.problems ?? [])]) }
}
