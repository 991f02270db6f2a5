import type { Manifest } from '../core/model/object.ts'

/** One write, as watches see it. */
export interface Change {
  readonly version: number
  readonly type: 'added' | 'modified' | 'deleted'
  /** group/Kind. */
  readonly key: string
  readonly object: Manifest
  readonly previous: Manifest | undefined
}

/** The first version a cluster hands out; watches from before it are too old. */
const FIRST_VERSION = 100

/**
 * The objects of one cluster and its recent past. Stored objects are never changed: a write puts a new one in the old one's
 * place, so that readers, watchers and history share them.
 */
export class Storage {
  readonly #kinds = new Map<string, Map<string, Manifest>>()
  #version = FIRST_VERSION
  #history: Change[] = []
  #oldest = FIRST_VERSION
  readonly #historyLimit: number
  readonly listeners = new Set<(change: Change) => void>()

  /** `historyLimit`: changes kept for watches that come back. */
  constructor(historyLimit: number) {
    this.#historyLimit = historyLimit
  }

  get version(): string {
    return String(this.#version)
  }

  get(key: string, id: string): Manifest | undefined {
    return this.#kinds.get(key)?.get(id)
  }

  /** All of a kind, in order of namespace and name. */
  all(key: string, namespace?: string): readonly Manifest[] {
    const objects = this.#kinds.get(key)
    if (objects === undefined) return []
    const prefix = namespace === undefined || namespace === '' ? '' : `${namespace}/`
    const ids = [...objects.keys()].filter((id) => id.startsWith(prefix))
    return ids.toSorted().map((id) => objects.get(id) as Manifest)
  }

  keys(): readonly string[] {
    return [...this.#kinds.keys()].filter((key) => (this.#kinds.get(key)?.size ?? 0) > 0)
  }

  get size(): number {
    let total = 0
    for (const objects of this.#kinds.values()) total += objects.size
    return total
  }

  put(key: string, id: string, object: Manifest): Manifest {
    let objects = this.#kinds.get(key)
    if (objects === undefined) this.#kinds.set(key, (objects = new Map()))
    const previous = objects.get(id)
    const stored = this.#stamped(object)
    objects.set(id, stored)
    this.#tell({
      version: this.#version,
      type: previous === undefined ? 'added' : 'modified',
      key,
      object: stored,
      previous,
    })
    return stored
  }

  /** `last`: the object as it is when it goes. */
  remove(key: string, id: string, last: Manifest): Manifest {
    const previous = this.#kinds.get(key)?.get(id)
    this.#kinds.get(key)?.delete(id)
    const gone = this.#stamped(last)
    this.#tell({ version: this.#version, type: 'deleted', key, object: gone, previous })
    return gone
  }

  /** What happened after `version`, oldest first; undefined: further back than is kept. */
  since(version: number): readonly Change[] | undefined {
    if (version < this.#oldest) return undefined
    return this.#history.filter((change) => change.version > version)
  }

  /** Forgets the past, as a compaction does: whoever comes back lists again. */
  forgetHistory(): void {
    this.#history = []
    this.#oldest = this.#version
  }

  #stamped(object: Manifest): Manifest {
    this.#version++
    return { ...object, metadata: { ...object.metadata, resourceVersion: String(this.#version) } }
  }

  #tell(change: Change): void {
    this.#history.push(change)
    // In steps, so that a full history costs one copy in many writes.
    if (this.#history.length > this.#historyLimit * 1.25) {
      const dropped = this.#history.length - this.#historyLimit
      this.#oldest = this.#history[dropped - 1]?.version ?? this.#oldest
      this.#history = this.#history.slice(dropped)
    }
    for (const listener of this.listeners) listener(change)
  }
}
