/** What release signers said of releases at sites: where the root demands their word, nothing is published without it. */
import type { Digest } from '../core/model/digest.ts'
import type { SignedStatement } from '../core/protocol/messages.ts'
import { readStatement, type ReleaseStatement } from '../core/protocol/statement.ts'
import type { Authority } from './ports.ts'

interface Word {
  readonly statement: SignedStatement
  readonly seq: number
}
interface FloorWord extends Word {
  readonly notBelow: number
}

export class Signed {
  /** The root asks for a signer's word on every release. */
  readonly demanded: boolean
  readonly #trust: Authority['trust']
  /** All that counts, by its bytes and signature: the same one again is nothing new. */
  readonly #said = new Map<string, { readonly statement: SignedStatement; readonly said: ReleaseStatement }>()
  /** By workload and release: site → the newest word. */
  readonly #words = new Map<string, Map<string, Word>>()
  /** By workload: site → below this nothing counts any more. */
  readonly #floors = new Map<string, Map<string, FloorWord>>()
  /** By site: name that it had → the newest word that says so. */
  readonly #renames = new Map<string, Map<string, Word>>()

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
    this.#said.set(keyOf(statement), { statement, said })
    const { workload, release, revisionSeq: seq, notBelow, formerNames = {} } = said
    const words = entry(this.#words, `${workload}\n${release}`)
    const floors = entry(this.#floors, workload)
    for (const site of said.sites) {
      if (seq > (words.get(site)?.seq ?? -1)) words.set(site, { statement, seq })
      const floor = floors.get(site)
      if (notBelow > (floor?.notBelow ?? 0) || (notBelow === floor?.notBelow && seq > floor.seq))
        floors.set(site, { statement, seq, notBelow })
    }
    for (const [site, names] of Object.entries(formerNames)) {
      const renames = entry(this.#renames, site)
      for (const name of names) if (seq > (renames.get(name)?.seq ?? -1)) renames.set(name, { statement, seq })
    }
  }

  /** The word that a site would take for this release. */
  of(site: string, workload: string, release: Digest): SignedStatement | undefined {
    const word = this.#words.get(`${workload}\n${release}`)?.get(site)
    const notBelow = this.#floors.get(workload)?.get(site)?.notBelow ?? 0
    return word === undefined || word.seq < notBelow ? undefined : word.statement
  }

  /** May this release be named in the site's manifest? */
  allows(site: string, workload: string, release: Digest): boolean {
    return !this.demanded || this.of(site, workload, release) !== undefined
  }

  /** Words by which a box that goes by any of its names of before knows itself under this one; fewest where those given say it. */
  renames(site: string, given: ReadonlySet<SignedStatement>): readonly SignedStatement[] {
    const out: SignedStatement[] = []
    const seen = new Set([site])
    for (const name of seen) {
      const links = this.#renames.get(name) ?? new Map<string, Word>()
      for (const [former, { statement }] of links) {
        seen.add(former)
        const isSaid = [...given, ...out].some((one) => this.#saysThat(one, name, former))
        if (!isSaid) out.push(statement)
      }
    }
    return out
  }

  #saysThat(statement: SignedStatement, site: string, former: string): boolean {
    return this.#said.get(keyOf(statement))?.said.formerNames?.[site]?.includes(former) === true
  }

  /** Releases that are signed for by words which may go with them, whether this hub ever had them or not. */
  releases(): ReadonlySet<Digest> {
    const kept = this.#kept()
    const words = [...this.#said.values()].filter(({ statement }) => !kept.has(statement))
    return new Set(words.map(({ said }) => said.release))
  }

  /** What sets a floor, or says whom a site was. */
  #kept(): ReadonlySet<SignedStatement> {
    const kept = new Set<SignedStatement>()
    for (const links of [...this.#floors.values(), ...this.#renames.values()])
      for (const { statement } of links.values()) kept.add(statement)
    return kept
  }

  /**
   * Statements that nothing rests on: of releases that are gone, and those after which each of their sites was signed for anew.
   * Without what sets a floor, or says whom a site was, the hub would tell what its sites refuse: it is kept.
   */
  spent(gone: ReadonlySet<Digest>): readonly SignedStatement[] {
    const kept = this.#kept()
    return [...this.#said.values()]
      .filter(({ statement, said: { workload, release, sites } }) => {
        if (kept.has(statement)) return false
        if (gone.has(release)) return true
        const words = this.#words.get(`${workload}\n${release}`)
        return sites.every((site) => words?.get(site)?.statement !== statement)
      })
      .map(({ statement }) => statement)
  }

  /** What `spent` named, once it is gone from the store. */
  forget(statements: Iterable<SignedStatement>): void {
    for (const statement of statements) {
      const said = this.#said.get(keyOf(statement))?.said
      if (said === undefined) continue
      this.#said.delete(keyOf(statement))
      const key = `${said.workload}\n${said.release}`
      const words = this.#words.get(key)
      for (const site of said.sites) if (words?.get(site)?.statement === statement) words.delete(site)
      if (words?.size === 0) this.#words.delete(key)
    }
  }
}

function keyOf({ payload, keyid, sig }: SignedStatement): string {
  return `${keyid}\n${sig}\n${payload}`
}

function entry<T>(maps: Map<string, Map<string, T>>, key: string): Map<string, T> {
  const known = maps.get(key) ?? new Map<string, T>()
  maps.set(key, known)
  return known
}
