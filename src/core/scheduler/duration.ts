/** A Go duration, as plugin arguments and annotations write it: `3m`, `1h30m`, `100ms`. Undefined for anything else, and for zero. */
const PART = /(\d+(?:\.\d+)?)(ms|us|µs|μs|ns|h|m|s)/y
const UNIT_MS: Readonly<Record<string, number>> = {
  h: 3_600_000,
  m: 60_000,
  s: 1000,
  ms: 1,
  us: 0.001,
  µs: 0.001,
  μs: 0.001,
  ns: 0.000_001,
}

export function parseDurationMs(value: unknown): number | undefined {
  if (typeof value !== 'string' || value === '') return undefined
  let ms = 0
  PART.lastIndex = 0
  while (PART.lastIndex < value.length) {
    const match = PART.exec(value)
    if (match === null) return undefined
    ms += Number(match[1]) * (UNIT_MS[match[2] as string] as number)
  }
  return ms > 0 ? ms : undefined
}
