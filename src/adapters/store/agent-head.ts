/**
 * How far the database had come, in a file beside it: a write-ahead log that is cut or damaged, or an old backup of the database,
 * is whole in itself and says less than was once kept. Overwritten in place and never synced, so it is never ahead of the disk.
 */
import { createHash } from 'node:crypto'
import { closeSync, constants, openSync, readFileSync, writeSync } from 'node:fs'

const DIGITS = 16

export interface Head {
  /** Commits that there were at least; 0: nothing is known. */
  readonly atLeast: number
  /** So many commits are on the disk. */
  moved(commits: number): void
  close(): void
}

/** Never throws: without it less is noticed, and nothing else is lost. */
export function openHead(path: string): Head {
  let file: number | undefined
  return {
    atLeast: readHead(path),
    moved: (commits) => {
      try {
        file ??= openSync(path, constants.O_WRONLY | constants.O_CREAT, 0o600)
        writeSync(file, headOf(commits), 0)
      } catch {
        // A disk that is full or broken: the database says so itself.
      }
    },
    close: () => {
      if (file !== undefined) closeSync(file)
      file = undefined
    },
  }
}

function readHead(path: string): number {
  try {
    const text = readFileSync(path, 'utf8')
    const commits = Number.parseInt(text.slice(0, DIGITS), 10)
    return text === headOf(commits) ? commits : 0
  } catch {
    return 0
  }
}

function headOf(commits: number): string {
  const text = String(commits).padStart(DIGITS, '0')
  return `${text} ${createHash('sha256').update(text).digest('hex').slice(0, 32)}\n`
}
