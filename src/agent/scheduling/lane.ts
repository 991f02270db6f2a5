/** Work done beside each other, so many at once, first in first out. A worker that throws ends nothing else. */
export interface Lane<T> {
  add(item: T): void
  /** Waiting and under way. */
  readonly size: number
  /** Forgets what waits, and gives it back. */
  clear(): readonly T[]
}

export function createLane<T>(width: () => number, work: (item: T) => Promise<void>): Lane<T> {
  let waiting: T[] = []
  let head = 0
  let underWay = 0

  function pump(): void {
    while (underWay < width() && head < waiting.length) {
      const item = waiting[head++] as T
      underWay++
      void work(item)
        .catch(() => undefined)
        .finally(() => {
          underWay--
          pump()
        })
    }
    if (head === waiting.length) {
      waiting = []
      head = 0
    }
  }

  return {
    add(item) {
      waiting.push(item)
      pump()
    },
    get size() {
      return waiting.length - head + underWay
    },
    clear() {
      const left = waiting.slice(head)
      waiting = []
      head = 0
      return left
    },
  }
}
