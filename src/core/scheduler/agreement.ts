/** Which of several pods may leave, where several plugins have a say: agreed within a tier, and the first tier that names some wins. */
import type { Hooks } from './plugin.ts'

/** null is no opinion, an empty list is one. */
export type AskForVictims = (hooks: Hooks, asked: readonly number[]) => readonly number[] | null

/** Volcano's way: each is asked about all of them, and those stay that all name. */
export function agreedAtOnce(
  tiers: readonly (readonly Hooks[])[],
  candidates: readonly number[],
  ask: AskForVictims,
): readonly number[] {
  for (const tier of tiers) {
    let agreed: readonly number[] | null = null
    for (const hooks of tier) {
      const named = ask(hooks, candidates)
      if (named === null) continue
      if (named.length === 0) {
        agreed = []
        break
      }
      const set = new Set(named)
      agreed = agreed === null ? named : agreed.filter((task) => set.has(task))
    }
    // An empty agreement is an answer too: only a tier without any opinion leaves it to the next.
    if (agreed !== null) return agreed
  }
  return []
}

/** Each is asked about those that the others left, in the order in which they would go: what one may spare is not spent on who stays. */
export function agreedInTurn(
  tiers: readonly (readonly Hooks[])[],
  order: readonly number[],
  ask: AskForVictims,
): readonly number[] {
  for (const tier of tiers) {
    let left = order
    let heard = false
    for (const hooks of tier) {
      const named = left.length === 0 ? left : ask(hooks, left)
      if (named === null) continue
      heard = true
      if (named.length < left.length) left = left.filter((task) => named.includes(task))
    }
    if (heard) return left
  }
  return []
}

/** By hook, tier by tier: those that have it. Tiers without are left out. */
export function byHook(tiers: readonly (readonly Hooks[])[]): ReadonlyMap<keyof Hooks, readonly (readonly Hooks[])[]> {
  const on = new Map<keyof Hooks, Hooks[][]>()
  for (const tier of tiers) {
    const lists = new Map<keyof Hooks, Hooks[]>()
    for (const hooks of tier)
      for (const name in hooks) {
        const hook = name as keyof Hooks
        if (hooks[hook] === undefined) continue
        const list = lists.get(hook)
        if (list === undefined) lists.set(hook, [hooks])
        else list.push(hooks)
      }
    for (const [hook, list] of lists) {
      const known = on.get(hook)
      if (known === undefined) on.set(hook, [list])
      else known.push(list)
    }
  }
  return on
}
