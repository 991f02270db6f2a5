/** Expressions of a Workload's `healthChecks` are read when Git is, so that no site finds out what a pull request could have. */
import { readCel } from '../kube/cel-parse.ts'
import type { Problem } from '../model/problem.ts'
import type { OurDocument } from './documents.ts'
import { formatPath } from './yaml-text.ts'

interface Checked {
  readonly healthChecks?: readonly Readonly<Record<string, string>>[]
}

export function badHealthChecks(document: OurDocument): readonly Problem[] {
  const { healthChecks = [] } = document.value['spec'] as Checked
  return healthChecks.flatMap((check, i) =>
    ['current', 'inProgress', 'failed'].flatMap((name): readonly Problem[] => {
      const text = check[name]
      const read = text === undefined ? undefined : readCel(text)
      if (text === undefined || read === undefined || read.ok) return []
      const path = ['spec', 'healthChecks', i, name]
      return [
        {
          code: 'FLT1003',
          severity: 'error',
          place: document.at(path),
          path: formatPath(path),
          message: `not an expression: ${read.message}`,
          found: text.slice(0, 80),
          expected: 'CEL over the object, as status.phase == "Ready"',
          next: 'Correct the expression.',
        },
      ]
    }),
  )
}
