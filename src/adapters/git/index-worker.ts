/**
 * Reads what a Git host sent beside the thread that answers sites: unpacking is work of seconds for a large repository, and of
 * whatever is allowed for a hostile one. An entry point of its own: run as a worker, it serves; imported, it starts one.
 */
import fs from 'node:fs'
import path from 'node:path'
import { parentPort, Worker, workerData } from 'node:worker_threads'
import { asFault, Fault, type FaultReason } from '../../core/model/fault.ts'
import { INDEX_LIMITS, indexPack, type IndexLimits } from './index-pack.ts'

const ROLE = 'flotilla-index'
/** Unpacking all that a pack may hold takes half of it on a slow disk. */
const DEADLINE_MS = 10 * 60_000

interface Asked {
  readonly role: typeof ROLE
  readonly file: string
  readonly limits: IndexLimits
}
type Answered =
  | { readonly is: 'done' }
  | { readonly is: 'failed'; readonly reason: FaultReason; readonly message: string }

/** Puts the pack in `file` beside others in its folder, under its own name and with its index. Faults of `indexPack`, Timeout, Cancelled. */
export async function addPack(file: string, signal: AbortSignal, limits: IndexLimits = INDEX_LIMITS): Promise<void> {
  const asked: Asked = { role: ROLE, file, limits }
  const worker = new Worker(new URL(import.meta.url), { workerData: asked, env: {} })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const late = setTimeout(() => reject(new Fault('TooLarge', 'the pack was not unpacked in ten minutes')), DEADLINE_MS)
  const stop = (): void => reject(new Fault('Cancelled', 'cancelled'))
  worker.on('message', (answered: Answered) => {
    if (answered.is === 'done') resolve()
    else reject(new Fault(answered.reason, answered.message))
  })
  worker.on('error', (error) =>
    reject(new Fault('TooLarge', `unpacking: ${(error as Error).message}`, { cause: error })),
  )
  worker.on('exit', () => reject(new Fault('Unexpected', 'the thread that unpacks ended')))
  signal.addEventListener('abort', stop, { once: true })
  try {
    await promise
  } finally {
    clearTimeout(late)
    signal.removeEventListener('abort', stop)
    await worker.terminate()
  }
}

async function serve({ file, limits }: Asked): Promise<Answered> {
  try {
    const { name, index } = await indexPack(file, limits)
    const made = path.join(path.dirname(file), `pack-${name}`)
    // The pack first: without its index nobody looks at it.
    fs.renameSync(file, `${made}.pack`)
    fs.writeFileSync(`${made}.tmp`, index)
    fs.renameSync(`${made}.tmp`, `${made}.idx`)
    return { is: 'done' }
  } catch (error) {
    const { reason, message } = asFault(error)
    return { is: 'failed', reason, message }
  }
}

const given = workerData as Asked | null
const port = parentPort
if (port !== null && given?.role === ROLE) void serve(given).then((answered) => port.postMessage(answered))
