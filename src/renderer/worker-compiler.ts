/** The compiler in a thread of its own, with a deadline and a memory limit; made anew after it was ended. */
import { Worker } from 'node:worker_threads'
import { judgeDeletions, type BrakeInput } from '../core/fleet/deletions.ts'
import { RENDERER_VERSION } from '../core/fleet/render.ts'
import type { BrakeVerdict, Fleet, ParsedFleet, ParseOptions, RenderedFleet, SourceTree } from '../core/fleet/types.ts'
import { Fault } from '../core/model/fault.ts'
import { type Answered, type Asked, KEPT, pack, WORKER_ROLE, WORKER_URL } from './compile-worker.ts'

/** Ten thousand sites take 2 s; text that takes longer than this is taken for an attack. */
const DEADLINE_MS = 60_000
/** Of its heap. */
const MEMORY_MIB = 768
/** A thread that has nothing to read for so long is ended: what it remembers only saves time. */
const IDLE_MS = 5 * 60_000

export interface WorkerCompiler extends AsyncDisposable {
  readonly version: string
  /** Faults: Timeout (the deadline), TooLarge (the memory), Unexpected. */
  parse(tree: SourceTree, options: ParseOptions): Promise<ParsedFleet>
  render(fleet: Fleet, tree: SourceTree): Promise<RenderedFleet>
  judgeDeletions(input: BrakeInput): BrakeVerdict
}

interface Pending {
  readonly resolve: (answered: Answered) => void
  readonly reject: (error: Fault) => void
  readonly timer: NodeJS.Timeout
}
type Question = Asked extends infer A ? (A extends Asked ? Omit<A, 'id'> : never) : never

export function createWorkerCompiler(limits: { readonly deadlineMs?: number } = {}): WorkerCompiler {
  const deadlineMs = limits.deadlineMs ?? DEADLINE_MS
  let worker: Worker | undefined
  const pending = new Map<number, Pending>()
  let asked = 0
  let idle: NodeJS.Timeout | undefined
  let treeCount = 0
  /** What the running thread has, latest last. */
  let trees = new Map<SourceTree, number>()
  let fleets = new Map<Fleet, number>()

  const end = (fault: Fault): void => {
    const ended = worker
    clearTimeout(idle)
    worker = undefined
    trees = new Map()
    fleets = new Map()
    for (const { reject, timer } of pending.values()) {
      clearTimeout(timer)
      reject(fault)
    }
    pending.clear()
    void ended?.terminate()
  }
  const start = (): Worker => {
    const made = new Worker(WORKER_URL, {
      workerData: WORKER_ROLE,
      resourceLimits: { maxOldGenerationSizeMb: MEMORY_MIB },
      // Nothing of the hub's environment is its business.
      env: {},
    })
    made.unref()
    made.on('message', (answered: Answered) => {
      const waits = pending.get(answered.id)
      if (waits === undefined) return
      pending.delete(answered.id)
      clearTimeout(waits.timer)
      waits.resolve(answered)
      if (pending.size === 0) idle = setTimeout(() => end(new Fault('Cancelled', 'idle')), IDLE_MS).unref()
    })
    made.on('error', (error: Error) => {
      if (made !== worker) return
      const isTooLarge = (error as { code?: unknown }).code === 'ERR_WORKER_OUT_OF_MEMORY'
      end(new Fault(isTooLarge ? 'TooLarge' : 'Unexpected', `reading the revision: ${error.message}`, { cause: error }))
    })
    made.on('exit', () => {
      if (made === worker) end(new Fault('Unexpected', 'the thread that reads revisions ended'))
    })
    return made
  }
  const ask = (question: Question): Promise<Answered> =>
    new Promise((resolve, reject) => {
      clearTimeout(idle)
      worker ??= start()
      asked += 1
      const id = asked
      const timer = setTimeout(
        () => end(new Fault('Timeout', `the revision was not read within ${deadlineMs / 1000} s`)),
        deadlineMs,
      )
      pending.set(id, { resolve, reject, timer })
      const transfer = question.packed === undefined ? [] : [question.packed.bytes.buffer as ArrayBuffer]
      worker.postMessage({ ...question, id }, transfer)
    })
  const treeRef = (tree: SourceTree): Pick<Question, 'tree' | 'packed'> => {
    const known = trees.get(tree)
    if (known !== undefined) return { tree: known }
    treeCount += 1
    remember(trees, tree, treeCount)
    return { tree: treeCount, packed: pack(tree) }
  }
  const fault = ({ reason, message, stack }: Answered & { readonly is: 'failed' }): Fault =>
    new Fault(reason, message, { facts: { stack } })

  return {
    version: RENDERER_VERSION,
    judgeDeletions,
    async parse(tree, { root, revision, previous }) {
      const before = previous === undefined ? {} : { previous: fleets.get(previous) ?? previous }
      const answered = await ask({ ask: 'parse', ...treeRef(tree), root, revision, ...before })
      if (answered.is === 'failed') throw fault(answered)
      if (answered.is !== 'parsed') throw new Fault('Unexpected', 'another answer than asked for')
      if (answered.parsed.fleet !== null) remember(fleets, answered.parsed.fleet, answered.fleet)
      return answered.parsed
    },
    async render(fleet, tree) {
      const answered = await ask({ ask: 'render', ...treeRef(tree), fleet: fleets.get(fleet) ?? fleet })
      if (answered.is === 'failed') throw fault(answered)
      if (answered.is !== 'rendered') throw new Fault('Unexpected', 'another answer than asked for')
      return answered.rendered
    },
    async [Symbol.asyncDispose]() {
      const ended = worker
      end(new Fault('Cancelled', 'the hub ends'))
      await ended?.terminate()
    },
  }
}

function remember<K>(map: Map<K, number>, key: K, ref: number): void {
  map.delete(key)
  map.set(key, ref)
  const oldest = map.keys().next().value
  if (map.size > KEPT && oldest !== undefined) map.delete(oldest)
}
