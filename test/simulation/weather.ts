/** Which faults a seed switches on, and how often each comes. */
import { seededRandom } from '../../src/sim/random.ts'

/** Chance in one step of a minute at most, by fault; for what lasts (loss, replay, …) the share of exchanges or requests. */
const MOST = {
  loss: 0.4,
  dark: 0.04,
  'one-way': 0.02,
  region: 0.01,
  dead: 0.02,
  replay: 0.4,
  portal: 0.2,
  'blob-cut': 0.5,
  'hub-kill': 0.05,
  'hub-disk': 0.03,
  'hub-clock': 0.02,
  'hub-2036': 0.01,
  rewind: 0.01,
  clone: 0.01,
  'agent-kill': 0.15,
  'agent-pause': 0.01,
  twin: 0.01,
  'power-cut': 0.03,
  'site-clock': 0.05,
  'store-rot': 0.02,
  'store-old': 0.02,
  'api-faults': 0.3,
  'api-empty': 0.2,
  'api-down': 0.02,
  'git-away': 0.05,
  'git-back': 0.03,
  operator: 0.05,
} as const

export type FaultName = keyof typeof MOST
export const FAULTS = Object.keys(MOST) as readonly FaultName[]

/** So many of them are on in a seed, on average. */
const SHARE_ON = 0.3

export interface Weather {
  /** Absent: switched off. */
  readonly rates: ReadonlyMap<FaultName, number>
}

export function weatherOf(seed: number, only: readonly FaultName[] | 'any' = 'any'): Weather {
  const random = seededRandom(seed ^ 0x5eed)
  const rates = new Map<FaultName, number>()
  for (const name of FAULTS) {
    const [on, share] = [random(), random()]
    if (only === 'any' ? on < SHARE_ON : only.includes(name)) rates.set(name, MOST[name] * (0.2 + 0.8 * share))
  }
  return { rates }
}
