/** What a terminal may be given: names, commit messages and log lines are whatever somebody wrote. */
import { escaped } from '../core/model/problem.ts'

/** Colours, line ends and tabs as they are; of all else that a terminal obeys its code. */
// oxlint-disable-next-line no-control-regex
const KEPT = /(\u001b\[[0-9;]*m|\r?\n|\t)/
export function printable(text: string): string {
  return text
    .split(KEPT)
    .map((part, i) => (i % 2 === 1 ? part : escaped(part)))
    .join('')
}
