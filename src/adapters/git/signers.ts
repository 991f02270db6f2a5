/** Who may sign commits, as a fleet names them: lines of ssh-keygen's `allowed_signers` or of `authorized_keys`, and OpenPGP blocks. */
import type { Key } from 'openpgp'
import { Fault } from '../../core/model/fault.ts'

export interface SshSigner {
  readonly name: string
  /** Base64 of the key as SSH writes it. */
  readonly key: string
  readonly fromMs: number
  readonly untilMs: number
}

export interface Signers {
  readonly ssh: readonly SshSigner[]
  readonly pgp: readonly Key[]
}

const SSH_LINE = /^(.*?)\b(?:ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521))\s+([A-Za-z0-9+/]+={0,2})(?:\s+(.*))?$/

/** Fault InvalidInput: a text that is no signer. */
export async function readSigners(texts: readonly string[]): Promise<Signers> {
  const ssh: SshSigner[] = []
  const pgp: Key[] = []
  for (const text of texts) {
    if (text.trimStart().startsWith('-----BEGIN PGP')) {
      pgp.push(...(await pgpKeys(text.trim())))
    } else {
      ssh.push(...text.split('\n').filter(isLine).flatMap(sshSigner))
    }
  }
  return { ssh, pgp }
}

function isLine(line: string): boolean {
  return line.trim() !== '' && !line.trimStart().startsWith('#')
}

/** `[principals] [options] type key [comment]`: the first word and the options may be left out. */
function sshSigner(line: string): readonly SshSigner[] {
  const [, before = '', key, comment] = SSH_LINE.exec(line.trim()) ?? []
  if (key === undefined) throw new Fault('InvalidInput', `a signer that is no SSH key: ${line.slice(0, 60)}`)
  if (/\bcert-authority\b/.test(before)) throw new Fault('InvalidInput', 'certificate authorities do not sign commits')
  const option = (name: string): string | undefined => new RegExp(`\\b${name}="([^"]*)"`, 'i').exec(before)?.[1]
  const namespaces = option('namespaces')
  // A key that its line gives to something else than Git signs no commit.
  if (namespaces !== undefined && !namespaces.split(',').includes('git')) return []
  const principal = /^[^\s="]+(?=\s|$)/.exec(before)?.[0]
  const name = principal ?? comment ?? `${key.slice(0, 16)}…`
  const fromMs = timeOf(option('valid-after')) ?? 0
  return [{ name, key, fromMs, untilMs: timeOf(option('valid-before')) ?? Number.POSITIVE_INFINITY }]
}

/** `YYYYMMDD[HHMM[SS]][Z]`, read as UTC. */
function timeOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const parts = /^(\d{4})(\d\d)(\d\d)(?:(\d\d)(\d\d)(\d\d)?)?Z?$/.exec(text)
  if (parts === null)
    throw new Fault('InvalidInput', `a signer's time ${JSON.stringify(text)}: give YYYYMMDD[HHMM[SS]]Z`)
  const [year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0] = parts
    .slice(1)
    .map((part) => Number(part ?? 0))
  return Date.UTC(year, month - 1, day, hour, minute, second)
}

async function pgpKeys(armored: string): Promise<readonly Key[]> {
  try {
    // Read when a fleet names one: no other start of the program pays for this library.
    const { readKeys } = await import('openpgp')
    const keys = await readKeys({ armoredKeys: armored })
    if (keys.some((key) => key.isPrivate())) throw new Error('a private key; give the public one')
    return keys
  } catch (error) {
    throw new Fault('InvalidInput', `a signer that is no OpenPGP key: ${(error as Error).message}`, { cause: error })
  }
}
