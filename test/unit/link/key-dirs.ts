/** Key directories on disk that live as long as a test. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface KeyDir extends Disposable {
  readonly path: string
  at(name: string): string
}

export function keyDir(copyOf?: KeyDir, without: readonly string[] = []): KeyDir {
  const path = mkdtempSync(join(tmpdir(), 'flotilla-keys-'))
  if (copyOf !== undefined) cpSync(copyOf.path, path, { recursive: true })
  for (const name of without) rmSync(join(path, name))
  return {
    path,
    at: (name) => join(path, name),
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }),
  }
}
