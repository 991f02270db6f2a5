/** What the program of a pod that runs to its end does, as far as its words say it: for how long, and with which exit code it ends. */
import type { JsonObject } from '../../core/model/json.ts'
import type { Manifest } from '../../core/model/object.ts'
import { specOf } from './desk.ts'

export interface Program {
  /** Infinity: it goes on until it is stopped. undefined: it does not say. */
  readonly runMs: number | undefined
  readonly exitCode: number
}

const UNIT_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }
/** `sleep 90`, `sleep 1.5h`, `sleep 1m 30s`, `sleep infinity`. */
const SLEEP = /\bsleep[\s,]+(infinity|\d+(?:\.\d+)?[smhd]?(?:[\s,]+\d+(?:\.\d+)?[smhd]?\b)*)/g
/** As its last word: one in the middle depends on what comes before. */
const EXIT = /\bexit[\s,]+(\d{1,3})\W*$/

/** Containers run side by side: the longest counts, and the first exit code that is not 0. */
export function programOf(pod: Manifest): Program {
  const containers = (specOf(pod)['containers'] ?? []) as readonly JsonObject[]
  const programs = containers.map(readProgram)
  const said = programs.flatMap(({ runMs }) => runMs ?? [])
  return {
    runMs: said.length === 0 ? undefined : Math.max(...said),
    exitCode: programs.find(({ exitCode }) => exitCode !== 0)?.exitCode ?? 0,
  }
}

function readProgram(container: JsonObject): Program {
  const words = [container['command'], container['args']].flatMap((list) => (Array.isArray(list) ? list : []))
  // `#SBATCH` and other comments are not run.
  const text = words.join(' ').replaceAll(/^\s*#.*$/gm, '')
  const sleeps = [...text.matchAll(SLEEP)].map(([, times = '']) => sleepMs(times))
  return {
    runMs: sleeps.length === 0 ? undefined : sleeps.reduce((sum, ms) => sum + ms, 0),
    exitCode: Number(EXIT.exec(text)?.[1] ?? (/\bfalse\s*$/.test(text) ? 1 : 0)) % 256,
  }
}

function sleepMs(times: string): number {
  if (times === 'infinity') return Infinity
  return times
    .split(/[\s,]+/)
    .reduce((sum, time) => sum + Number.parseFloat(time) * (UNIT_MS[time.at(-1) ?? ''] ?? 1_000), 0)
}
