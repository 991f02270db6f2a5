/** Sole copies that must outlive the database: identity and keys, and the floor. Text, with its checksum on the first line. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Fault, type FaultReason } from '../../core/model/fault.ts'
import { canonicalJson, type JsonObject } from '../../core/model/json.ts'
import { writeSecretFile } from '../../runtime/secret-file.ts'

export interface SummedFile {
  /** undefined: not there. Fault StoreCorrupt. */
  read(): JsonObject | undefined
  /** Whole or not at all, and on the disk when it returns. */
  write(body: JsonObject): void
}

/** Mode 0600: the identity's holds private keys. */
export function summedFile(path: string): SummedFile {
  return {
    read: () => {
      const text = onFiles(() => readText(path))
      if (text === undefined) return undefined
      const [sum, json = ''] = text.split('\n')
      if (sumOf(json) !== sum) throw new Fault('StoreCorrupt', `${path} does not match its sum`)
      return JSON.parse(json) as JsonObject
    },
    write: (body) => onFiles(() => writeSecretFile(path, encode(body))),
  }
}

/** For sites whose whole store is in memory. */
export function summedMemory(): SummedFile {
  let body: JsonObject | undefined
  return {
    read: () => body,
    write: (next) => {
      body = next
    },
  }
}

function encode(body: JsonObject): string {
  const text = canonicalJson(body)
  return `${sumOf(text)}\n${text}\n`
}

function sumOf(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

const BY_ERRNO: Readonly<Record<string, FaultReason>> = {
  ENOSPC: 'StoreFull',
  EDQUOT: 'StoreFull',
  EROFS: 'StoreReadOnly',
  EACCES: 'StoreReadOnly',
  EPERM: 'StoreReadOnly',
}

/** Errors of the file system as Faults, once. */
export function onFiles<T>(work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (error instanceof Fault) throw error
    const { code = '', message } = error as NodeJS.ErrnoException
    throw new Fault(BY_ERRNO[code] ?? 'StoreFailed', message, { cause: error })
  }
}
