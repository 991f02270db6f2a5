/** Which commits bring a tip, and the first of them that no signer of the fleet stands for. */
import type { CommitRefusal } from '../../hub/ports.ts'
import type { ObjectDb } from './object-db.ts'
import { verifyCommit, type CommitVerdict } from './signature.ts'
import type { Signers } from './signers.ts'
import { readCommit } from './tree.ts'

/** A branch that moved on by more between two looks is judged by an operator. */
const MOST_COMMITS = 50_000

export interface ChangingSigners {
  /** What the signers are read from: other bytes, other signers. */
  at(commit: string): string | undefined
  /** null: nobody is asked for from here on. */
  after(commit: string): Promise<Signers | 'as before' | null>
}

/**
 * Judged is every commit that the branch itself went through since `good`: the tip and its first parents. What a merge brought in
 * from beside is vouched for by whoever signed the merge. Without `good` the tip alone. Each by the signers of its parent: who was
 * let go on the way signs nothing after that, however late the hub looks. Answers with the oldest that is refused.
 */
export async function judgeCommits(
  db: ObjectDb,
  {
    good,
    tip,
    signers,
    changing,
  }: {
    readonly good: string | null
    readonly tip: string
    readonly signers: Signers
    readonly changing?: ChangingSigners | undefined
  },
  shallow: ReadonlySet<string>,
): Promise<CommitRefusal | null> {
  const notBeforeMs = good === null ? 0 : readCommit(db, good).timeMs
  let now = signers
  let read = good === null ? undefined : changing?.at(good)
  for (const commit of good === null ? [tip] : lineSince(db, good, tip, shallow).toReversed()) {
    const refused = refusalOf(commit, await verifyCommit(db.read(commit, 'commit'), now, notBeforeMs))
    if (refused !== null) return refused
    if (changing === undefined || commit === tip || changing.at(commit) === read) continue
    read = changing.at(commit)
    const next = await changing.after(commit)
    if (next === null) return null
    if (next !== 'as before') now = next
  }
  return null
}

/** Newest first. */
function lineSince(db: ObjectDb, good: string, tip: string, shallow: ReadonlySet<string>): readonly string[] {
  const line: string[] = []
  for (let at: string | undefined = tip; at !== undefined && line.length < MOST_COMMITS;) {
    if (at === good) return line
    line.push(at)
    at = shallow.has(at) ? undefined : readCommit(db, at).parents[0]
  }
  // The good revision came in by a merge: what was in its history is not new.
  const before = historyOf(db, good, shallow)
  const known = line.findIndex((commit) => before.has(commit))
  return known < 0 ? line : line.slice(0, known)
}

function historyOf(db: ObjectDb, from: string, shallow: ReadonlySet<string>): ReadonlySet<string> {
  const seen = new Set([from])
  for (const commit of seen) {
    if (shallow.has(commit) || seen.size > MOST_COMMITS) continue
    for (const parent of readCommit(db, commit).parents) seen.add(parent)
  }
  return seen
}

function refusalOf(commit: string, verdict: CommitVerdict): CommitRefusal | null {
  const named = `commit ${commit.slice(0, 12)}`
  switch (verdict.kind) {
    case 'signed':
      return null
    case 'unsigned':
      return { commit, reason: 'CommitUnsigned', message: `${named} is not signed` }
    case 'unknown':
      return {
        commit,
        reason: 'SignerUnknown',
        message: `${named} is signed by ${verdict.key}, no signer of the fleet`,
      }
    case 'expired':
      return { commit, reason: 'SignerExpired', message: `${named} is signed by ${verdict.by}: ${verdict.because}` }
    case 'invalid':
      return { commit, reason: 'CommitForged', message: `${named}: ${verdict.because}` }
  }
}
