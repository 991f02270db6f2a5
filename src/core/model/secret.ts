/** A text that cannot be printed: not by a log, an error, a template, JSON or a debugger's view. It is read where it is used, by name. */
export class SecretText {
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  /** In the clear: for the library that needs it, or a file of mode 0600. */
  reveal(): string {
    return this.#text
  }

  toString(): string {
    return SHOWN
  }

  toJSON(): string {
    return SHOWN
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return SHOWN
  }
}

const SHOWN = '[secret]'
