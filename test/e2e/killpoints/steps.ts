/**
 * Every step by which a process leaves a trace outside of itself: a call of the cluster or the hub, a commit of SQLite, a file
 * that is synced or renamed. Each is written to a log before and after; at the chosen one the process kills itself with SIGKILL.
 */
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { DatabaseSync } from 'node:sqlite'

export interface KillAt {
  /** Counted from 1; 0: never. */
  readonly step: number
  /** `before` it is done, or `after`, with its answer not heard. */
  readonly when: 'before' | 'after'
}

export class Steps {
  readonly #log: number
  readonly #at: KillAt
  #count = 0
  #armed = false

  constructor(logFile: string, at: KillAt) {
    this.#log = fs.openSync(logFile, 'a')
    this.#at = at
  }

  /** Before this nothing is counted: what opening a store does by itself. */
  arm(): void {
    this.#armed = true
  }

  #begin(name: string): number {
    const step = ++this.#count
    fs.writeSync(this.#log, `begin\t${step}\t${name}\n`)
    if (step === this.#at.step && this.#at.when === 'before') die()
    return step
  }

  #end(step: number, name: string, state = ''): void {
    fs.writeSync(this.#log, `end\t${step}\t${name}\t${state}\n`)
    if (step === this.#at.step && this.#at.when === 'after') die()
  }

  /** What the next commit is about. */
  keeps(keys: readonly string[]): void {
    fs.writeSync(this.#log, `keeps\t${keys.join(' ')}\n`)
  }

  async call<T>(name: string, work: () => Promise<T>): Promise<T> {
    if (!this.#armed) return work()
    const step = this.#begin(name)
    try {
      return await work()
    } finally {
      this.#end(step, name)
    }
  }

  #now<T>(name: string, work: () => T, state: () => string = () => ''): T {
    if (!this.#armed) return work()
    const step = this.#begin(name)
    const done = work()
    this.#end(step, name, state())
    return done
  }

  /** SQLite commits, files synced, files renamed: from now on all of this process's. */
  watchDisk(): void {
    // oxlint-disable-next-line typescript/unbound-method -- called with the database it was called on
    const { exec } = DatabaseSync.prototype
    const now = this.#now.bind(this)
    DatabaseSync.prototype.exec = function commit(this: DatabaseSync, sql: string) {
      return sql === 'COMMIT' ? now('store commit', () => exec.call(this, sql), () => stateOf(this)) : exec.call(this, sql) // prettier-ignore
    }
    const { fsyncSync, renameSync } = fs
    fs.fsyncSync = (file) => now('file sync', () => fsyncSync(file))
    fs.renameSync = (from, to) => now('file rename', () => renameSync(from, to))
    syncBuiltinESMExports()
  }
}

/** The sums over all groups of rows: what the store says, in one word. */
export function stateOf(db: DatabaseSync): string {
  return JSON.stringify(db.prepare('SELECT grp, count, hex(sum) AS sum FROM groups ORDER BY grp').all())
}

function die(): never {
  process.kill(process.pid, 'SIGKILL')
  for (;;);
}
