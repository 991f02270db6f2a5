/** What the hub asks of the outside. Adapters fit by shape; `store.ts` beside this file holds the store's port. */
import type { SourceTree } from '../core/fleet/types.ts'
import type { SigningKey } from '../core/protocol/envelope.ts'
import type { TrustStatement } from '../core/protocol/ports.ts'
import type { Trust } from '../core/protocol/trust.ts'

/** One look at the branch. `unchanged` names the tip that was seen before, good or not. */
export type Polled =
  | { readonly kind: 'unchanged'; readonly revision: string }
  | {
      readonly kind: 'changed'
      readonly revision: string
      /** First line of the commit message. */
      readonly message: string
      readonly timeMs: number
      readonly tree: SourceTree
    }

/** Where a look at the branch starts from, as the hub's store has it. */
export interface PollFrom {
  /** Last good revision: a tip whose history does not contain it is HistoryRewritten. */
  readonly good: string | null
  /** Last tip that was looked at, good or not: the same tip again is `unchanged`. */
  readonly seen: string | null
  /** A tip that an operator accepts although the history was rewritten. */
  readonly accept: string | null
}

/** Which commits are judged, and by whom they must be signed. */
export interface CommitsToJudge {
  /** Last good revision: what the branch went through since is judged. null: the tip alone. */
  readonly good: string | null
  readonly tip: string
  /** Lines of SSH keys and OpenPGP blocks, as the fleet names them. */
  readonly signers: readonly string[]
  /** Absent: these are asked for to the end. */
  readonly rules?: SignerRules
}

/** On the way to the tip a commit may change who signs: those after it are judged by what it says, as if it had been seen alone. */
export interface SignerRules {
  /** From the root of the repository: only a commit that changes this file changes the signers. */
  readonly file: string
  /** null: nobody is asked for from here on. */
  after(commit: string): Promise<readonly string[] | 'as before' | null>
}

export interface CommitRefusal {
  readonly reason: 'CommitUnsigned' | 'SignerUnknown' | 'SignerExpired' | 'CommitForged'
  readonly commit: string
  readonly message: string
}

/**
 * One branch of one repository, read from the object database. Faults: GitUnreachable, GitUnauthorized, BranchGone,
 * HistoryRewritten (the tip's history does not contain the last good revision), ObjectUnreadable, UnsafeTree, TooLarge, NotFound (root).
 */
export interface GitSource {
  readonly url: string
  readonly branch: string
  /** Asks for the tip; an unchanged branch costs one `ls-refs`. */
  poll(from: PollFrom, signal: AbortSignal): Promise<Polled>
  /** The tree of a revision that was seen before: after a restart, and for comparing with the last good one. */
  open(revision: string, signal: AbortSignal): Promise<SourceTree>
  /** The oldest commit that no signer stands for; null: all are signed. Fault InvalidInput: a text that is no signer. */
  judge(commits: CommitsToJudge, signal: AbortSignal): Promise<CommitRefusal | null>
}

/** The hub's keys: what signs, who may issue, and the statements by which sites know them. `Pki` of the link fits by shape. */
export interface Authority {
  /** Oldest first; the last one holds. */
  readonly chain: readonly TrustStatement[]
  readonly trust: Pick<Trust, 'version' | 'timeEpoch' | 'critical' | 'rings'>
  /** Signs manifests and time. */
  readonly signer: SigningKey
  /** PEM of a client certificate whose life begins now; the subject is composed from the site's name and id, never copied from a request. */
  certify(
    subject: { readonly site: string; readonly siteId: string; readonly publicKey: Uint8Array },
    nowMs: number,
  ): Promise<string>
  /** The one line to run at a site that is to reach this hub at `url`. */
  joinLine(url: string, site: string, secret: string): string
}
