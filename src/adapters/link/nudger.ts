/** Says "come now" to many sites at a pace that the hub can answer: what it calls, it must serve. */

export interface Nudger {
  /** Told so far. */
  readonly sent: number
  /** A site that waits already is not added twice. */
  add(sites: readonly string[]): void
  close(): void
}

export interface NudgerParts {
  readonly perSecond: number
  /** There is room for those that would come. */
  readonly mayGo: () => boolean
  /** False: it could not be told. */
  readonly nudge: (site: string) => boolean
}

const TICK_MS = 20

/** A few are told at once, the others at `perSecond`. */
export function nudger({ perSecond, mayGo, nudge }: NudgerParts): Nudger {
  const waiting = new Set<string>()
  const perTick = Math.max(1, Math.round((perSecond * TICK_MS) / 1_000))
  let timer: NodeJS.Timeout | undefined
  let sent = 0

  const advance = (): void => {
    timer = undefined
    let left = mayGo() ? perTick : 0
    for (const site of waiting) {
      if (left === 0) break
      waiting.delete(site)
      if (!nudge(site)) continue
      sent++
      left--
    }
    if (waiting.size > 0) timer = setTimeout(advance, TICK_MS)
  }
  return {
    get sent() {
      return sent
    },
    add(sites) {
      for (const site of sites) waiting.add(site)
      if (timer === undefined && waiting.size > 0) advance()
    },
    close() {
      clearTimeout(timer)
      waiting.clear()
    },
  }
}
