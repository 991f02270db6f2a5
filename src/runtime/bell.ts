/** Something that is waited for without knowing when: many rings before anybody listens are one. */
export interface Bell {
  ring(): void
  /** Resolves at the next ring, or at once where it rang meanwhile. */
  heard(): Promise<void>
}

export function createBell(): Bell {
  let rung = false
  let waiter = Promise.withResolvers<void>()
  return {
    ring: () => {
      rung = true
      waiter.resolve()
    },
    heard: async () => {
      if (!rung) await waiter.promise
      rung = false
      waiter = Promise.withResolvers<void>()
    },
  }
}
