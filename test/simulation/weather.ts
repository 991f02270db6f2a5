/** Which faults a seed switches on, and how often each comes. */
import { seededRandom } from '../../src/sim/random.ts'

export const FAULTS = ['loss', 'dark', 'replay', 'portal', 'hub-kill', 'agent-kill', 'power-cut', 'api-faults', 'site-clock', 'hub-clock', 'rewind', 'git-away'] as const // prettier-ignore
export type FaultName = (typeof FAULTS)[number]

export interface Weather {
  /** Chance in one step of a minute, by fault; absent: switched off. */
  readonly rates: ReadonlyMap<FaultName, number>
}

const MOST: Readonly<Record<FaultName, number>> = {
  loss: 0.4,
  dark: 0.04,
  replay: 0.4,
  portal: 0.2,
  'hub-kill': 0.05,
  'agent-kill': 0.15,
  'power-cut': 0.03,
  'api-faults': 0.3,
  'site-clock': 0.05,
  'hub-clock': 0.02,
  rewind: 0.01,
  'git-away': 0.05,
}

export function weatherOf(seed: number, only: readonly FaultName[] | 'any' = 'any'): Weather {
  const random = seededRandom(seed ^ 0x5eed)
  const rates = new Map<FaultName, number>()
  for (const name of FAULTS) {
    const [on, share] = [random(), random()]
    if (only === 'any' ? on < 0.4 : only.includes(name)) rates.set(name, MOST[name] * (0.2 + 0.8 * share))
  }
  return { rates }
}
