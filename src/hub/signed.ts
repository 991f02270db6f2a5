/** What release signers said of releases at sites: where the root demands their word, nothing is published without it. */
import type { Digest } from '../core/model/digest.ts'
import type { SignedStatement } from '../core/protocol/messages.ts'
import { readStatement, type ReleaseStatement } from '../core/protocol/statement.ts'
import type { Authority } from './ports.ts'

interface Word {
  readonly statement: SignedStatement
  readonly seq: number
}

export class Signed {
  /** The root asks for a signer's word on every release. */
  readonly demanded: boolean
  readonly #trust: Authority['trust']
  /** By workload and release: site → the newest word. */
  readonly #words = new Map<string, Map<string, Word>>()
  /** By workload: site → below this nothing counts any more. */
  readonly #floors = new Map<string, Map<string, number>>()

  constructor(trust: Authority['trust'], statements: Iterable<SignedStatement>) {
    this.#trust = trust
    this.demanded = trust.critical.includes('release')
    for (const statement of statements) this.add(statement)
  }

  /** What it says, where a signer that the root names signed it; a signer that was let go says nothing. */
  read(statement: SignedStatement): ReleaseStatement | undefined {
    return readStatement(statement, this.#trust.rings.release)
  }

  add(statement: SignedStatement): void {
    const said = this.read(statement)
    if (said === undefined) return
    const { workload, release, revisionSeq, notBelow } = said
    const words = entry(this.#words, `${workload}\n${release}`)
    const floors = entry(this.#floors, workload)
    for (const site of said.sites) {
      const known = words.get(site)
      if (known === undefined || known.seq < revisionSeq) words.set(site, { statement, seq: revisionSeq })
      floors.set(site, Math.max(floors.get(site) ?? 0, notBelow))
    }
  }

  /** The word that a site would take for this release. */
  of(site: string, workload: string, release: Digest): SignedStatement | undefined {
    const word = this.#words.get(`${workload}\n${release}`)?.get(site)
    return word === undefined || word.seq < (this.#floors.get(workload)?.get(site) ?? 0) ? undefined : word.statement
  }

  /** May this release be named in the site's manifest? */
  allows(site: string, workload: string, release: Digest): boolean {
    return !this.demanded || this.of(site, workload, release) !== undefined
  }
}

function entry<T>(maps: Map<string, Map<string, T>>, key: string): Map<string, T> {
  const known = maps.get(key) ?? new Map<string, T>()
  maps.set(key, known)
  return known
}
