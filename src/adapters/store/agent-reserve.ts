/** Room that is taken while there is some, and given up when the disk is full: enough to open the store and to tell the hub. */
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Bytes for a shared-memory file, a write-ahead log and some small facts; files, because a disk can be out of those as well. */
const FILES = 4
const FILE_BYTES = 32 * 1024

export interface Reserve {
  /** Takes the room, where it is not taken and there is some; not in the life in which it was given up. */
  keep(): void
  /** Gives it up; false: there was none. */
  spend(): boolean
}

export function reserveAt(dir: string): Reserve {
  const whole = join(dir, String(FILES))
  let spent = false
  return {
    keep: () => {
      if (spent || existsSync(whole)) return
      try {
        mkdirSync(dir, { recursive: true, mode: 0o700 })
        for (let i = 1; i <= FILES; i++) writeFileSync(join(dir, String(i)), Buffer.alloc(FILE_BYTES))
      } catch {
        // Half a reserve would stand in the way of what needs the room now.
        spend(dir)
      }
    },
    spend: () => {
      const gave = !spent && spend(dir)
      spent = true
      return gave
    },
  }
}

function spend(dir: string): boolean {
  const was = existsSync(dir)
  try {
    rmSync(dir, { recursive: true, force: true })
  } catch {
    return false
  }
  return was
}
