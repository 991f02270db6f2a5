/** The part of pino that loops use; the logger is passed in, with site and revision bound at the top of a turn. */
export interface Logger {
  info(facts: object, message: string): void
  warn(facts: object, message: string): void
  error(facts: object, message: string): void
  debug(facts: object, message: string): void
  child(facts: object): Logger
}
