/** The path of the agent's own socket, in the folder of its store: who may read the store may speak to the agent, and nobody else. */
import { closeSync, openSync } from 'node:fs'
import path from 'node:path'

const NAME = 'agent.sock'
/** Of `sun_path`, with its end. */
const MAX_PATH_BYTES = 107

/** `run` gets a path that the kernel takes, however deep the folder lies; the path is good until `run` has ended. */
export async function atSocket<T>(dir: string, run: (file: string) => Promise<T>): Promise<T> {
  const file = path.join(path.resolve(dir), NAME)
  if (Buffer.byteLength(file) <= MAX_PATH_BYTES) return run(file)
  const fd = openSync(dir, 'r')
  try {
    return await run(`/proc/self/fd/${fd}/${NAME}`)
  } finally {
    closeSync(fd)
  }
}
