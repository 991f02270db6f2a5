/** Texts as small integers, in the order in which they were first seen. */
export class Interner {
  readonly names: string[] = []
  readonly #ids = new Map<string, number>()

  id(name: string): number {
    let id = this.#ids.get(name)
    if (id === undefined) {
      id = this.names.length
      this.names.push(name)
      this.#ids.set(name, id)
    }
    return id
  }

  /** -1 where it was never seen. */
  find(name: string): number {
    return this.#ids.get(name) ?? -1
  }

  get size(): number {
    return this.names.length
  }
}
