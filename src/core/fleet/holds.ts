/** Which workloads an error holds, and where: gathered while rendering, spread to dependents at the end. */
import { byUtf16 } from '../model/json.ts'
import type { Problem } from '../model/problem.ts'
import type { Fleet, HeldWorkload } from './types.ts'

export class Holds {
  readonly problems: Problem[] = []
  readonly #everywhere = new Map<string, Problem[]>()
  readonly #at = new Map<string, { readonly problem: Problem; readonly sites: Set<string> }[]>()

  /** `sites` null: wherever the workload is targeted. A problem held twice is reported once. */
  hold(workload: string, sites: Iterable<string> | null, problem: Problem): void {
    if (!this.problems.includes(problem)) this.problems.push(problem)
    if (sites === null) this.#everywhere.set(workload, [...(this.#everywhere.get(workload) ?? []), problem])
    else this.#at.set(workload, [...(this.#at.get(workload) ?? []), { problem, sites: new Set(sites) }])
  }

  isHeld(workload: string, site: string): boolean {
    return this.#everywhere.has(workload) || (this.#at.get(workload) ?? []).some(({ sites }) => sites.has(site))
  }

  /** Dependents wait where what they depend on is held: at this revision it never becomes what they were written against. */
  spread(fleet: Fleet, targets: ReadonlyMap<string, readonly string[]>): void {
    let grew = true
    while (grew) {
      grew = false
      for (const { name, dependsOn } of fleet.workloads.values()) {
        for (const dependency of dependsOn) if (this.#follow(name, dependency.name, targets)) grew = true
      }
    }
  }

  #follow(workload: string, dependency: string, targets: ReadonlyMap<string, readonly string[]>): boolean {
    let grew = false
    const mine = targets.get(workload) ?? []
    const reasons = [
      ...(this.#everywhere.get(dependency) ?? []).map((problem) => ({ problem, sites: targets.get(dependency) ?? [] })),
      ...(this.#at.get(dependency) ?? []).map(({ problem, sites }) => ({ problem, sites: [...sites] })),
    ]
    for (const { problem, sites } of reasons) {
      const there = new Set(sites)
      const fresh = mine.filter((site) => there.has(site) && !this.isHeld(workload, site))
      if (fresh.length === 0) continue
      this.hold(workload, fresh, problem)
      grew = true
    }
    return grew
  }

  /** Sorted by workload; each problem once for each workload. */
  list(): readonly HeldWorkload[] {
    const held: HeldWorkload[] = []
    for (const [workload, problems] of this.#everywhere) {
      for (const problem of problems) held.push({ workload, sites: null, problem })
    }
    for (const [workload, entries] of this.#at) {
      for (const { problem, sites } of entries) held.push({ workload, sites: [...sites].toSorted(byUtf16), problem })
    }
    return held.toSorted((a, b) => byUtf16(a.workload, b.workload))
  }
}
