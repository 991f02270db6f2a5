/** What the hub may write down for a site to begin: few at once, on evidence, and nothing that an operator stopped. */
import type { Digest } from '../../../src/core/model/digest.ts'
import type { ManifestEntry, SiteManifest } from '../../../src/core/protocol/messages.ts'
import type { HubChange } from '../../../src/hub/store.ts'
import { BUDGET, CANARY, MOST_CHANGING } from '../author.ts'
import type { Known } from './known.ts'
import { Violation } from './violation.ts'

/** What was decided before an operator's word may still be written down with it. */
const GRACE_MS = 1_000

export interface Moment {
  readonly hubNowMs: number
  readonly monotonicMs: number
  /** Heard within what it was asked for: not excused by anybody's count. */
  readonly isDue: (site: string) => boolean
}

interface Until {
  readonly untilMs: number
  readonly sinceMs: number
}

export class GrantedLaws {
  readonly #known: Known
  /** Workload to when an operator paused, aborted or undid it, monotonic. */
  readonly #stopped = new Map<string, number>()
  readonly #promoted = new Set<string>()
  /** Site to until when (hub's clock), and since when (monotonic). */
  readonly #held = new Map<string, Until>()
  readonly #frozen = new Map<string, Until>()
  /** Words of which nobody knows whether the hub heard them. */
  readonly #doubted = new Set<string>()
  readonly undone = new Set<string>()
  /** What each site was told, for the trace. */
  readonly lines: string[] = []
  /** A hub with another memory: what it forgot is not held against it. */
  mode: 'judge' | 'note' = 'judge'

  constructor(known: Known) {
    this.#known = known
  }

  stop(workload: string, monotonicMs: number): void {
    this.#stopped.set(workload, monotonicMs)
  }
  resume(workload: string): void {
    this.#stopped.delete(workload)
  }
  /** It may be stopped or held, and it may be let go: neither is held against the hub. */
  doubt(workload: string, site: string): void {
    for (const subject of [workload, site, ...this.#known.names]) this.#doubted.add(subject)
    this.undone.add(workload)
    this.#stopped.delete(workload)
    this.#held.delete(site)
  }
  mayBeStopped(workload: string): boolean {
    return this.#stopped.has(workload) || this.#doubted.has(workload)
  }
  promote(workload: string): void {
    this.#promoted.add(workload)
  }
  hold(sites: Iterable<string>, untilMs: number, monotonicMs: number): void {
    for (const site of sites) this.#held.set(site, { untilMs, sinceMs: monotonicMs })
  }
  freeze(sites: Iterable<string>, untilMs: number, monotonicMs: number): void {
    const isLonger = (site: string): boolean => (this.#frozen.get(site)?.untilMs ?? 0) < untilMs
    for (const site of sites) if (isLonger(site)) this.#frozen.set(site, { untilMs, sinceMs: monotonicMs })
  }
  release(site: string): void {
    this.#held.delete(site)
  }
  mayBeHeld(site: string, hubNowMs: number): boolean {
    if (this.#doubted.has(site)) return true
    return [this.#held, this.#frozen].some((word) => (word.get(site)?.untilMs ?? 0) > hubNowMs)
  }

  committed(change: HubChange, moment: Moment): void {
    for (const { record } of change.rollouts ?? []) this.#map(record.spec.workload, record.spec.targets)
    for (const workload of change.rolloutsGone ?? []) this.#map(workload, new Map())
    for (const { record } of change.manifests ?? []) {
      const manifest = JSON.parse(Buffer.from(record.payload).toString()) as SiteManifest
      this.#written(record.site, manifest, moment)
    }
  }

  /** On its way to the site: a place that was given to another since is none any more. */
  told(name: string, { entries }: SiteManifest, { hubNowMs, monotonicMs, isDue }: Moment): void {
    if (this.mode !== 'judge' || name === CANARY) return
    for (const { workload, release, startBy } of entries) {
      const mine = this.#known.site(name).entries.get(workload)
      if (mine?.release !== release || mine.first || Date.parse(startBy) <= hubNowMs) continue
      if (this.#known.site(name).begun.has(`${workload} ${release}`)) continue
      const beside = this.#known.names.filter((other) => {
        if (other === name || other === CANARY || !isDue(other)) return false
        const since = this.#known.site(other).entries.get(workload)?.grantedMs ?? 0
        return since > mine.grantedMs && this.#known.isChanging(other, workload, hubNowMs, monotonicMs)
      })
      if (beside.length >= MOST_CHANGING)
        throw new Violation(
          'concurrency',
          `${name} is told to begin ${workload} ${release}, and its place went to ${beside.join()}`,
        )
    }
  }

  #map(workload: string, targets: ReadonlyMap<string, Digest>): void {
    const before = this.#known.targets.get(workload)
    this.#known.targets.set(workload, targets)
    if (before !== undefined && [...targets].every(([site, digest]) => before.get(site) === digest)) return
    this.#stopped.delete(workload)
    this.#promoted.delete(workload)
  }

  #written(name: string, manifest: SiteManifest, moment: Moment): void {
    const site = this.#known.site(name)
    const told = manifest.entries.map(
      ({ workload, release, startBy }) => `${workload} ${release.slice(7, 15)} ${startBy}`,
    )
    this.lines.push(`${moment.monotonicMs} ${name} ${manifest.generation.counter}: ${told.join()}`)
    for (const workload of site.entries.keys())
      if (!manifest.entries.some((entry) => entry.workload === workload)) site.entries.delete(workload)
    for (const entry of manifest.entries) this.#entry(name, entry, moment)
  }

  #entry(name: string, { workload, release, since, startBy }: ManifestEntry, moment: Moment): void {
    const site = this.#known.site(name)
    const key = `${workload} ${release}`
    const before = site.entries.get(workload)
    const startByMs = Date.parse(startBy)
    const isOpen = startByMs > moment.hubNowMs
    const isOther = before?.release !== release
    const isRenewed = !isOther && isOpen && before.startByMs <= moment.hubNowMs && !site.begun.has(key)
    const first =
      before === undefined ? ![...site.had].some((had) => had.startsWith(`${workload} `)) : before.first && !isOther
    const begins = isOpen && !first && (isRenewed || (isOther && !site.had.has(key)))
    const grantedMs = isOther || isRenewed ? moment.monotonicMs : before.grantedMs
    site.had.add(key)
    site.entries.set(workload, { release, since, startByMs, grantedMs, first })
    if (begins && this.mode === 'judge') this.#judge(name, workload, release, moment)
  }

  #judge(name: string, workload: string, release: Digest, moment: Moment): void {
    const { hubNowMs, monotonicMs, isDue } = moment
    const what = `${name} may begin ${workload} ${release}`
    const stoppedMs = this.#stopped.get(workload)
    if (stoppedMs !== undefined && monotonicMs > stoppedMs + GRACE_MS)
      throw new Violation('stopped', `${what}, which an operator stopped`)
    const words = [this.#held.get(name), this.#frozen.get(name)]
    if (words.some((it) => it !== undefined && it.untilMs > hubNowMs && monotonicMs > it.sinceMs + GRACE_MS))
      throw new Violation('held', `${what}, and it is held or frozen`)
    if (name !== CANARY && !this.#known.proven.has(`${workload} ${release}`) && !this.#promoted.has(workload))
      throw new Violation('evidence', `${what}, and nobody was well on it through the soak`)
    const others = this.#known.names.filter((other) => other !== name && isDue(other))
    const changing = (other: string, of: string): boolean => this.#known.isChanging(other, of, hubNowMs, monotonicMs)
    const beside = others.filter((other) => other !== CANARY && changing(other, workload))
    if (name !== CANARY && beside.length >= MOST_CHANGING)
      throw new Violation('concurrency', `${what} beside ${beside.join()}`)
    const all = others.filter((other) => [...this.#known.targets.keys()].some((of) => changing(other, of)))
    if (all.length >= BUDGET) throw new Violation('budget', `${what} beside ${all.join()}`)
  }
}
