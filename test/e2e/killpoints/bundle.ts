/** The agent as a program to be killed, bundled once; or with a mistake planted in its text, which is not touched where it stands. */
import { mkdtempSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { rolldown } from 'rolldown'
import { ROOT } from '../fleet.ts'
import type { KillAt } from './steps.ts'
import type { story } from './run.ts'

export interface Mistake {
  readonly mistake: string
  readonly file: string
  /** Each stands in the file exactly once. */
  readonly swaps: readonly { readonly old: string; readonly new: string }[]
}

/** A story whose processes, the killed one and those before and after it, are all of one text. */
export type Tell = (at: KillAt) => ReturnType<typeof story>

/** `home`: where the bundle and the lives of its processes are. */
export async function bundle(home: string, mistake?: Mistake): Promise<Tell> {
  const dir = mkdtempSync(join(home, 'bundle-'))
  const plugins = mistake === undefined ? [] : [{ name: 'mistake', transform: planted(mistake) }]
  const made = await rolldown({
    input: { child: join(import.meta.dirname, 'child.ts'), run: join(import.meta.dirname, 'run.ts') },
    platform: 'node',
    external: [/^node:/],
    plugins,
  })
  await made.write({ dir, format: 'esm' })
  const told = (await import(pathToFileURL(join(dir, 'run.js')).href)) as { story: typeof story }
  return (at) => told.story(join(dir, 'child.js'), home, at)
}

function planted({ file, swaps }: Mistake): (code: string, id: string) => string | undefined {
  // Read here, so that a text that has moved on is an error and not a mistake that was never made.
  const text = readFileSync(join(ROOT, file), 'utf8')
  for (const { old } of swaps)
    if (text.split(old).length !== 2) throw new Error(`${file} does not hold this text exactly once:\n${old}`)
  return (code, id) => {
    if (id !== join(ROOT, file)) return undefined
    // As it stands, before its types are taken out.
    return swaps.reduce((changed, swap) => changed.replace(swap.old, () => swap.new), code)
  }
}
