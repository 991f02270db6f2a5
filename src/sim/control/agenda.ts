interface Item {
  readonly key: string
  readonly dueMs: number
  readonly seq: number
}

/** What is to be done when: each key at most once, at the earliest time it was asked for; ties in the order of asking. */
export class Agenda {
  readonly #heap: Item[] = []
  readonly #dueOf = new Map<string, number>()
  #seq = 0

  /** Returns true where this is the new first. */
  add(key: string, dueMs: number): boolean {
    const known = this.#dueOf.get(key)
    if (known !== undefined && known <= dueMs) return false
    this.#dueOf.set(key, dueMs)
    const item = { key, dueMs, seq: this.#seq++ }
    this.#heap.push(item)
    this.#up(this.#heap.length - 1)
    return this.#heap[0] === item
  }

  get nextDueMs(): number | undefined {
    this.#dropStale()
    return this.#heap[0]?.dueMs
  }

  /** The next key that is due by then. */
  take(nowMs: number): string | undefined {
    this.#dropStale()
    const first = this.#heap[0]
    if (first === undefined || first.dueMs > nowMs) return undefined
    this.#pop()
    this.#dueOf.delete(first.key)
    return first.key
  }

  /** An item that was asked for earlier later on stands twice; only the earliest counts. */
  #dropStale(): void {
    for (let first = this.#heap[0]; first !== undefined; first = this.#heap[0]) {
      if (this.#dueOf.get(first.key) === first.dueMs) return
      this.#pop()
    }
  }

  #pop(): void {
    const last = this.#heap.pop() as Item
    if (this.#heap.length === 0) return
    this.#heap[0] = last
    let at = 0
    for (;;) {
      let least = at
      for (const child of [2 * at + 1, 2 * at + 2]) if (this.#before(child, least)) least = child
      if (least === at) return
      this.#swap(at, least)
      at = least
    }
  }

  #up(from: number): void {
    for (let at = from; at > 0;) {
      const parent = (at - 1) >> 1
      if (!this.#before(at, parent)) return
      this.#swap(at, parent)
      at = parent
    }
  }

  #before(a: number, b: number): boolean {
    const [x, y] = [this.#heap[a], this.#heap[b]]
    if (x === undefined || y === undefined) return false
    return x.dueMs < y.dueMs || (x.dueMs === y.dueMs && x.seq < y.seq)
  }

  #swap(a: number, b: number): void {
    const x = this.#heap[a] as Item
    this.#heap[a] = this.#heap[b] as Item
    this.#heap[b] = x
  }
}
