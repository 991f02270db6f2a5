/**
 * Follows one branch: of a Git server over HTTP(S), through a clone of our own, or of a repository on the local disk.
 * A poll of an unchanged branch costs one `ls-refs` (or one file read). Nothing is ever checked out.
 */
import fs from 'node:fs'
import path from 'node:path'
import * as git from 'isomorphic-git'
import { Fault } from '../../core/model/fault.ts'
import type { GitSource, SignerRules } from '../../hub/ports.ts'
import { fetchPack } from './fetch-pack.ts'
import { type GitCredentials, gitHttp } from './http.ts'
import { type ChangingSigners, judgeCommits } from './judge-commits.ts'
import { type ObjectDb, openObjectDb } from './object-db.ts'
import { readSigners } from './signers.ts'
import { blobAt, historyContains, readCommit, readFiles, TREE_LIMITS, type TreeFile } from './tree.ts'

export interface GitSourceOptions {
  /** `https://…`, `http://…`, or a folder on this machine: a work tree with `.git`, or a bare repository. */
  readonly url: string
  readonly branch: string
  /** Folder of the fleet inside the repository; '' for its root. */
  readonly root: string
  /** Where the clone of a remote repository is kept; not used for a local one. */
  readonly dir: string
  readonly credentials: GitCredentials | null
  readonly timeoutMs?: number
  readonly maxPackBytes?: number
}

/** Fetches that leave a pack each; above this the clone is made anew while nothing changes. */
const MAX_PACKS = 200
const DEFAULT_TIMEOUT_MS = 60_000
const DEFAULT_MAX_PACK_BYTES = 1024 * 1024 * 1024

export function createGitSource(options: GitSourceOptions): GitSource {
  const remote = /^https?:\/\//.test(options.url)
  if (!remote && /^[a-z+]+:\/\//i.test(options.url)) {
    throw new Fault('InvalidInput', `${options.url}: give an http(s) URL or a folder; other transports are not spoken`)
  }
  const gitDir = remote ? path.join(options.dir, 'clone.git') : localGitDir(options.url)
  const repository = remote ? remoteRepository(options, gitDir) : localRepository(options, gitDir)
  let files: ReadonlyMap<string, TreeFile> = new Map()

  const read = async (db: ObjectDb, revision: string): Promise<ReadonlyMap<string, TreeFile>> => {
    files = await readFiles(db, readCommit(db, revision), options.root, files)
    return files
  }
  /** A tip that cannot be taken as it is, whoever looks again. */
  let refused: { readonly tip: string; readonly fault: Fault } | undefined
  const remembered = async <T>(tip: string, work: () => Promise<T>): Promise<T> => {
    if (refused?.tip === tip) throw refused.fault
    try {
      return await work()
    } catch (error) {
      if (error instanceof Fault && (error.reason === 'TooLarge' || error.reason === 'UnsafeTree'))
        refused = { tip, fault: error }
      throw error
    }
  }

  return {
    url: options.url,
    branch: options.branch,
    async poll({ good, seen, accept }, signal) {
      const tip = await repository.tip(signal)
      if (tip === seen) return { kind: 'unchanged', revision: tip }
      await remembered(tip, () => repository.obtain(tip, good, signal))
      using db = openObjectDb(gitDir, TREE_LIMITS.fileBytes)
      if (good !== null && tip !== accept) {
        const ancestry = historyContains(db, tip, good, shallowOf(gitDir))
        if (ancestry !== 'contains') {
          throw new Fault(
            'HistoryRewritten',
            `the history of ${tip.slice(0, 12)} does not contain ${good.slice(0, 12)}`,
            {
              facts: { tip, good },
            },
          )
        }
      }
      const commit = readCommit(db, tip)
      return {
        kind: 'changed',
        revision: tip,
        message: commit.message,
        timeMs: commit.timeMs,
        tree: await remembered(tip, () => read(db, tip)),
      }
    },
    async open(revision) {
      using db = openObjectDb(gitDir, TREE_LIMITS.fileBytes)
      return await read(db, revision)
    },
    async judge({ good, tip, signers, rules }) {
      using db = openObjectDb(gitDir, TREE_LIMITS.fileBytes)
      const changing = rules === undefined ? undefined : changingSigners(db, rules)
      return await judgeCommits(db, { good, tip, signers: await readSigners(signers), changing }, shallowOf(gitDir))
    },
  }
}

function changingSigners(db: ObjectDb, rules: SignerRules): ChangingSigners {
  return {
    at: (commit) => blobAt(db, readCommit(db, commit), rules.file),
    async after(commit) {
      const texts = await rules.after(commit)
      if (texts === null || texts === 'as before') return texts
      try {
        return await readSigners(texts)
      } catch (error) {
        // Such a revision is never good: who signed before it signs on.
        if (error instanceof Fault && error.reason === 'InvalidInput') return 'as before'
        throw error
      }
    },
  }
}

interface Repository {
  tip(signal: AbortSignal): Promise<string>
  /** Make the objects of `tip`, and its history down to `last`, readable. */
  obtain(tip: string, last: string | null, signal: AbortSignal): Promise<void>
}

function localGitDir(folder: string): string {
  const dotGit = path.join(folder, '.git')
  if (fs.existsSync(path.join(dotGit, 'HEAD'))) return dotGit
  if (fs.existsSync(path.join(folder, 'HEAD'))) return folder
  throw new Fault('GitUnreachable', `${folder}: no Git repository there`)
}

function localRepository({ branch }: GitSourceOptions, gitdir: string): Repository {
  return {
    async tip() {
      if (!fs.existsSync(path.join(gitdir, 'HEAD')))
        throw new Fault('GitUnreachable', `${gitdir}: the repository is gone`)
      try {
        return await git.resolveRef({ fs, gitdir, ref: `refs/heads/${branch}` })
      } catch (error) {
        throw new Fault('BranchGone', `no branch ${branch} in ${gitdir}`, { cause: error })
      }
    },
    obtain: () => Promise.resolve(),
  }
}

function remoteRepository(options: GitSourceOptions, gitdir: string): Repository {
  const { url, branch, credentials } = options
  const ref = `refs/heads/${branch}`
  const http = (signal: AbortSignal): ReturnType<typeof gitHttp> =>
    gitHttp({
      credentials,
      signal,
      timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
      maxBytes: options.maxPackBytes ?? DEFAULT_MAX_PACK_BYTES,
    })

  /** Into a repository of ours, which need not be there yet. */
  const fetch = async (
    into: string,
    what: { readonly tip: string; readonly have: readonly string[]; readonly depth: number | undefined },
    signal: AbortSignal,
  ): Promise<void> => {
    const { addPack } = await import('./index-worker.ts')
    const dir = path.join(into, 'objects', 'pack')
    const file = path.join(dir, 'incoming.tmp')
    const { tip, have, depth } = what
    try {
      const shallow = await fetchPack(http(signal), { url, want: tip, have, shallow: shallowOf(into), depth, file })
      await addPack(file, signal)
      if (shallow.length > 0) fs.writeFileSync(path.join(into, 'shallow'), shallow.map((oid) => `${oid}\n`).join(''))
    } finally {
      fs.rmSync(file, { force: true })
    }
    fs.mkdirSync(path.join(into, 'refs', 'heads'), { recursive: true })
    fs.writeFileSync(path.join(into, 'HEAD'), `ref: ${ref}\n`)
    // What is asked for next is what came since.
    await git.writeRef({ fs, gitdir: into, ref, value: tip, force: true })
  }

  return {
    async tip(signal) {
      const refs = await mapped(url, signal, () =>
        git.listServerRefs({ http: http(signal), url, prefix: ref, protocolVersion: 2 }),
      )
      const found = refs.find((candidate) => candidate.ref === ref)
      if (found === undefined) throw new Fault('BranchGone', `no branch ${branch} at ${url}`)
      return found.oid
    },
    async obtain(tip, last, signal) {
      await mapped(url, signal, async () => {
        const state = inspect(gitdir, tip, last)
        if (state === 'ready') return
        if (state === 'fetch') return fetch(gitdir, { tip, have: havesOf(gitdir, ref, last), depth: undefined }, signal)
        // A clone made anew beside the old one, so that a cut leaves what was there. Without `last` in it, history is needed to judge it.
        const fresh = `${gitdir}.new`
        fs.rmSync(fresh, { recursive: true, force: true })
        await fetch(fresh, { tip, have: [], depth: last === null || last === tip ? 1 : undefined }, signal)
        fs.rmSync(gitdir, { recursive: true, force: true })
        fs.renameSync(fresh, gitdir)
      })
    },
  }
}

function inspect(gitdir: string, tip: string, last: string | null): 'ready' | 'fetch' | 'clone' {
  if (!fs.existsSync(path.join(gitdir, 'HEAD'))) return 'clone'
  try {
    using db = openObjectDb(gitdir, TREE_LIMITS.fileBytes)
    if (db.packs > MAX_PACKS) return 'clone'
    if (last !== null && !db.has(last)) return 'clone'
    return db.has(tip) ? 'ready' : 'fetch'
  } catch {
    return 'clone'
  }
}

/** What the branch was at when it was fetched last, and what is relied on. */
function havesOf(gitdir: string, ref: string, last: string | null): readonly string[] {
  const haves = new Set(last === null ? [] : [last])
  try {
    const tip = fs.readFileSync(path.join(gitdir, ref), 'utf8').trim()
    if (/^[0-9a-f]{40}$/.test(tip)) haves.add(tip)
  } catch {
    // A clone of before the branch was written there.
  }
  using db = openObjectDb(gitdir, TREE_LIMITS.fileBytes)
  return [...haves].filter((oid) => db.has(oid))
}

function shallowOf(gitdir: string): ReadonlySet<string> {
  try {
    return new Set(fs.readFileSync(path.join(gitdir, 'shallow'), 'utf8').split('\n').filter(Boolean))
  } catch {
    return new Set()
  }
}

/** Foreign errors of the transport, mapped once. */
async function mapped<T>(url: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof Fault) throw error
    if (signal.aborted) throw new Fault('Cancelled', 'cancelled', { cause: error })
    const { code, name, message } = error as { code?: string; name?: string; message?: string }
    if (code === 'HttpError' || code === 'SmartHttpError')
      throw new Fault('GitUnreachable', `${url}: ${message}`, { cause: error })
    if (code === 'NotFoundError') throw new Fault('BranchGone', `${url}: ${message}`, { cause: error })
    if (code === 'ENOSPC') throw new Fault('StoreFull', `no room for the clone of ${url}`, { cause: error })
    throw new Fault('GitUnreachable', `${url}: ${message ?? name ?? 'no answer'}`, { cause: error })
  }
}
