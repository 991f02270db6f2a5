/** The options of sbatch as they stand after #SBATCH or on the command line, by their long names. */
import { type Gathering, refuse } from './fields.ts'

const SHORT: Readonly<Record<string, string>> = {
  A: 'account', a: 'array', b: 'begin', C: 'constraint', c: 'cpus-per-task', D: 'chdir', d: 'dependency', e: 'error', F: 'nodefile',
  G: 'gpus', H: 'hold', i: 'input', J: 'job-name', k: 'no-kill', L: 'licenses', m: 'distribution', M: 'clusters', N: 'nodes', n: 'ntasks', o: 'output',
  O: 'overcommit', p: 'partition', Q: 'quiet', q: 'qos', s: 'oversubscribe', t: 'time', v: 'verbose', W: 'wait', w: 'nodelist',
  x: 'exclude',
} // prettier-ignore

/** Those that stand alone, or whose value must follow an `=`. */
const ALONE = new Set([
  'hold', 'no-kill', 'overcommit', 'quiet', 'oversubscribe', 'verbose', 'wait', 'exclusive', 'requeue', 'no-requeue', 'parsable', 'test-only',
  'contiguous', 'spread-job', 'use-min-nodes', 'reboot', 'ignore-pbs', 'get-user-env', 'nice',
]) // prettier-ignore

/** As the shell splits words: quotes hold together, a # after a blank begins a comment. */
export function splitWords(line: string): readonly string[] {
  const words: string[] = []
  const word = /\s*(?:(#.*)|((?:"(?:[^"\\]|\\.)*"|'[^']*'|\\.|[^\s"'\\])+))/sy
  for (let match = word.exec(line); match !== null; match = word.exec(line)) {
    if (match[2] === undefined) break
    words.push(
      match[2].replaceAll(
        /"((?:[^"\\]|\\.)*)"|'([^']*)'|\\(.)/gs,
        (_all, double, single, escaped) => double ?? single ?? escaped ?? '',
      ),
    )
  }
  return words
}

/** Later ones win. What is left over (the script and its arguments, on a command line) comes back as `rest`. */
export function readOptions(
  into: Gathering,
  words: readonly string[],
  path: string,
): { options: Map<string, string>; rest: readonly string[] } {
  const options = new Map<string, string>()
  let i = 0
  for (; i < words.length; i++) {
    const word = words[i] as string
    const long = /^--([a-z][-a-z0-9]*)(?:=(.*))?$/is.exec(word)
    const short = /^-([A-Za-z])(.*)$/s.exec(word)
    const name = long === null ? shortName(short?.[1]) : long[1]?.toLowerCase()
    if (name === undefined) {
      if (!word.startsWith('-')) break
      refuse(into, path, `${word} is no option of sbatch; short ones are -${Object.keys(SHORT).join(', -')}`)
      continue
    }
    const attached = long === null ? (short?.[2] === '' ? undefined : short?.[2]?.replace(/^=/, '')) : long[2]
    if (attached !== undefined || ALONE.has(name)) options.set(name, attached ?? '')
    else if (words[i + 1] === undefined) refuse(into, path, `--${name} needs a value`)
    else options.set(name, words[++i] as string)
  }
  return { options, rest: words.slice(i) }
}

function shortName(letter: string | undefined): string | undefined {
  return letter !== undefined && Object.hasOwn(SHORT, letter) ? SHORT[letter] : undefined
}

/** #SBATCH lines count up to the first line that is a command. */
export function readScript(into: Gathering, script: string): Map<string, string> {
  const options = new Map<string, string>()
  for (const [i, line] of script.split(/\r?\n/).entries()) {
    const match = /^#SBATCH\s+(.*)$/.exec(line)
    if (match !== null) {
      const path = `line ${i + 1}`
      const read = readOptions(into, splitWords(match[1] ?? ''), path)
      for (const [name, value] of read.options) options.set(name, value)
      if (read.rest.length > 0) refuse(into, path, `"${read.rest.join(' ')}" belongs to no option`)
    } else if (line.trim() !== '' && !line.startsWith('#')) break
  }
  return options
}
