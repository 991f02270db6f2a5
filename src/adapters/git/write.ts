/** Making commits: for the demo's repository and for people without the git program. */
import fs from 'node:fs'
import path from 'node:path'
import * as git from 'isomorphic-git'
import { Fault } from '../../core/model/fault.ts'

export interface Author {
  readonly name: string
  readonly email: string
}

/** A new repository whose work tree is what already lies in `dir`; one commit of all of it. Answers with its id. */
export async function initRepository(dir: string, branch: string, message: string, author: Author): Promise<string> {
  await git.init({ fs, dir, defaultBranch: branch })
  return commitAll(dir, message, author)
}

/** Stages every change of the work tree (additions, edits, removals) and commits. Fault NotFound: nothing changed. */
export async function commitAll(dir: string, message: string, author: Author): Promise<string> {
  if (!fs.existsSync(path.join(dir, '.git'))) throw new Fault('NotFound', `${dir}: no Git repository there`)
  const changed = (await git.statusMatrix({ fs, dir })).filter(
    ([, head, work, stage]) => head !== 1 || work !== 1 || stage !== 1,
  )
  if (changed.length === 0) throw new Fault('NotFound', `${dir}: nothing to commit`)
  for (const [filepath, , work] of changed) {
    await (work === 0 ? git.remove({ fs, dir, filepath }) : git.add({ fs, dir, filepath }))
  }
  return git.commit({ fs, dir, message, author })
}
