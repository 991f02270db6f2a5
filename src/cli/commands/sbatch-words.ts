/** How sbatch's command line is read: our own options, sbatch's, the script, and the script's arguments. */

/** Options that are ours and not sbatch's, as far as they stand before the script. */
const OWN: Readonly<Record<string, string>> = {
  '--data': 'data',
  '-M': 'clusters',
  '--clusters': 'clusters',
  '--site': 'clusters',
  '--selector': 'selector',
  '--timeout': 'timeout',
  '--hub': 'hub',
  '--token': 'token',
}

export function ownWords(words: readonly string[]): {
  readonly flags: Readonly<Record<string, string>>
  readonly rest: readonly string[]
} {
  const flags: Record<string, string> = {}
  const rest: string[] = []
  let i = 0
  while (i < words.length) {
    const word = words[i] as string
    if (!word.startsWith('-')) break
    const [name, attached] = word.startsWith('--') ? splitOnce(word) : [word.slice(0, 2), word.slice(2) || undefined]
    const own = OWN[name]
    const takes = own === undefined ? takesValue(word) : attached === undefined
    const next = words[i + 1]
    if (own !== undefined) flags[own] = attached ?? next ?? ''
    else rest.push(word, ...(takes && next !== undefined ? [next] : []))
    i += takes ? 2 : 1
  }
  return { flags, rest: [...rest, ...words.slice(i)] }
}

function splitOnce(word: string): readonly [string, string | undefined] {
  const at = word.indexOf('=')
  return at < 0 ? [word, undefined] : [word.slice(0, at), word.slice(at + 1)]
}

/** Options that stand alone; all others of sbatch take the word that follows, unless they carry their value. */
const ALONE =
  /^(?:--(?:hold|no-kill|overcommit|quiet|oversubscribe|verbose|wait|exclusive|requeue|no-requeue|parsable|test-only|contiguous|spread-job|use-min-nodes|reboot|ignore-pbs|get-user-env|nice)|-[HkOQsvW]|-[A-Za-z].+|--[^=]+=.*)$/

function takesValue(word: string | undefined): boolean {
  return word !== undefined && word.startsWith('-') && !ALONE.test(word)
}

export function splitSbatch(words: readonly string[]): {
  readonly file: string | undefined
  readonly options: readonly string[]
  readonly args: readonly string[]
} {
  const at = words.findIndex((word, i) => !word.startsWith('-') && !takesValue(words[i - 1]))
  if (at < 0) return { file: undefined, options: words, args: [] }
  return { file: words[at], options: words.slice(0, at), args: words.slice(at + 1) }
}

/** `--wrap=COMMAND` in place of a script; undefined: there is none. */
export function wrapOf(
  options: readonly string[],
): { readonly script: string; readonly rest: readonly string[] } | undefined {
  const at = options.findIndex((word) => word === '--wrap' || word.startsWith('--wrap='))
  if (at < 0) return undefined
  const [, attached] = splitOnce(options[at] as string)
  const command = attached ?? options[at + 1] ?? ''
  const rest = [...options.slice(0, at), ...options.slice(at + (attached === undefined ? 2 : 1))]
  return { script: `#!/bin/sh\n# This script was created by sbatch --wrap.\n\n${command}\n`, rest }
}
