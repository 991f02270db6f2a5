/**
 * Follows one branch: of a Git server over HTTP(S), through a clone of our own, or of a repository on the local disk.
 * A poll of an unchanged branch costs one `ls-refs` (or one file read). Nothing is ever checked out.
 */
import fs from 'node:fs'
import path from 'node:path'
import * as git from 'isomorphic-git'
import { Fault } from '../../core/model/fault.ts'
import type { GitSource } from '../../hub/ports.ts'
import { type GitCredentials, gitHttp } from './http.ts'
import { judgeCommits } from './judge-commits.ts'
import { type ObjectDb, openObjectDb } from './object-db.ts'
import { readSigners } from './signers.ts'
import { historyContains, readCommit, readFiles, TREE_LIMITS, type TreeFile } from './tree.ts'

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

  const read = (db: ObjectDb, revision: string): ReadonlyMap<string, TreeFile> => {
    files = readFiles(db, readCommit(db, revision), options.root, files)
    return files
  }

  return {
    url: options.url,
    branch: options.branch,
    async poll({ good, seen, accept }, signal) {
      const tip = await repository.tip(signal)
      if (tip === seen) return { kind: 'unchanged', revision: tip }
      await repository.obtain(tip, good, signal)
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
      return { kind: 'changed', revision: tip, message: commit.message, timeMs: commit.timeMs, tree: read(db, tip) }
    },
    async open(revision) {
      using db = openObjectDb(gitDir, TREE_LIMITS.fileBytes)
      return read(db, revision)
    },
    async judge({ good, tip, signers }) {
      using db = openObjectDb(gitDir, TREE_LIMITS.fileBytes)
      return judgeCommits(db, { good, tip, signers: await readSigners(signers) }, shallowOf(gitDir))
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

  const clone = async (into: string, depth: number | undefined, signal: AbortSignal): Promise<void> => {
    fs.rmSync(into, { recursive: true, force: true })
    fs.mkdirSync(into, { recursive: true })
    const shape = { singleBranch: true, noTags: true, noCheckout: true, ...(depth === undefined ? {} : { depth }) }
    await git.clone({ fs, http: http(signal), dir: into, gitdir: into, url, ref: branch, ...shape })
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
        if (state === 'fetch') {
          await git.fetch({ fs, http: http(signal), gitdir, url, ref: branch, singleBranch: true, tags: false })
          // isomorphic-git asks for all since the clone at each fetch unless the branch says what we have.
          await git.writeRef({ fs, gitdir, ref, value: tip, force: true })
          return
        }
        // A clone made anew beside the old one, so that a cut leaves what was there. Without `last` in it, history is needed to judge it.
        const fresh = `${gitdir}.new`
        await clone(fresh, last === null || last === tip ? 1 : undefined, signal)
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
