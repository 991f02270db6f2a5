/** Who owns a file: the Team with the longest matching path. A file that no Team claims belongs to the root team. */
import { isUnder } from './documents.ts'
import type { Team } from './types.ts'

export type Owner = { readonly team: Team | null; readonly root: boolean }

/** Paths of Teams count from the folder of the root file; `/` is that folder, and whoever owns it is the root team. */
export function ownerOf(file: string, root: string, teams: Iterable<Team>): Owner {
  let best: Team | null = null
  let length = -1
  for (const team of teams) {
    for (const path of team.paths) {
      const folder = path
        .split('/')
        .filter((part) => part !== '' && part !== '.')
        .join('/')
      const full = [root, folder].filter((part) => part !== '').join('/')
      if (folder.length <= length || !(full === '' || file === full || isUnder(file, full))) continue
      best = team
      length = folder.length
    }
  }
  return { team: best, root: length <= 0 }
}
