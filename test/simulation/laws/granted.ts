/** What the hub may write down for a site to begin: few at once, on evidence, with a yes, and nothing that an operator stopped. */
import type { Digest } from '../../../src/core/model/digest.ts'
import type { ManifestEntry, SiteManifest } from '../../../src/core/protocol/messages.ts'
import type { HubChange } from '../../../src/hub/store.ts'
import { boxOf, type FleetFacts } from '../author.ts'
import type { Shape } from '../shape.ts'
import type { Known } from './known.ts'
import { Violation } from './violation.ts'

/** What was decided before an operator's word may still be written down with it. */
const GRACE_MS = 1_000
/** The policies give none that is longer: one of a year is a way back, or provisions outside of waves. */
const LONGEST_PERMIT_MS = 48 * 3_600_000
/** A hub whose disk is full, or that does not believe its clock, takes a permit back later. */
const TOLD_GRACE_MS = 20 * 60_000

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

interface Begun {
  readonly name: string
  readonly workload: string
  readonly release: Digest
}

const FOR_EVER = Number.POSITIVE_INFINITY

export class GrantedLaws {
  readonly #known: Known
  readonly #shape: Shape
  readonly #factsOf: (revision: string) => FleetFacts
  /** Workload to when an operator paused, aborted or undid it, monotonic. */
  readonly #stopped = new Map<string, number>()
  readonly #promoted = new Set<string>()
  /** `workload release` that a team said yes to. */
  readonly #approved = new Set<string>()
  /** Site to until when (hub's clock), and since when (monotonic): by operators, and by Git. */
  readonly #held = new Map<string, Until>()
  readonly #frozen = new Map<string, Until>()
  readonly #gitHeld = new Map<string, Until>()
  /** Words of which nobody knows whether the hub heard them. */
  readonly #doubted = new Set<string>()
  readonly undone = new Set<string>()
  /** What a policy that failed took back. */
  readonly failed = new Set<string>()
  /** What each site was told, for the trace. */
  readonly lines: string[] = []
  /** Of the revision that the hub follows. */
  facts: FleetFacts
  #revision: string
  /** A hub with another memory: what it forgot is not held against it. */
  mode: 'judge' | 'note' = 'judge'

  constructor(known: Known, shape: Shape, first: string, factsOf: (revision: string) => FleetFacts) {
    this.#known = known
    this.#shape = shape
    this.#factsOf = factsOf
    this.#revision = first
    this.facts = factsOf(first)
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
    this.#promoted.add(workload)
  }
  mayBeStopped(workload: string): boolean {
    return this.#stopped.has(workload) || this.#doubted.has(workload)
  }
  /** What was taken back may be given again. */
  readmit(workload: string): void {
    this.#stopped.delete(workload)
    this.undone.delete(workload)
    this.failed.delete(workload)
  }
  promote(workload: string): void {
    this.#promoted.add(workload)
  }
  /** A yes is to what the rollout brings; where no canary is on its way any more it stands in for the evidence as well. */
  approve(workload: string, { hubNowMs, monotonicMs, isDue }: Moment): void {
    const isOnTheWay = [...this.facts.canaries].some(
      (name) => isDue(name) && this.#known.isChanging(name, workload, hubNowMs, monotonicMs),
    )
    if (!isOnTheWay) this.#promoted.add(workload)
    for (const release of this.#known.targets.get(workload)?.values() ?? [])
      this.#approved.add(`${workload} ${release}`)
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
    return [this.#held, this.#frozen, this.#gitHeld].some((word) => (word.get(site)?.untilMs ?? 0) > hubNowMs)
  }

  committed(change: HubChange, moment: Moment): void {
    const source = change.meta?.['source']
    if (source !== undefined)
      this.#follows((JSON.parse(source) as { readonly revision: string | null }).revision, moment)
    for (const { record } of change.rollouts ?? []) this.#map(record.spec.workload, record.spec.targets)
    for (const workload of change.rolloutsGone ?? []) this.#map(workload, new Map())
    for (const { workload, by } of change.withdrawn ?? []) if (by === 'policy') this.failed.add(workload)
    const begun: Begun[] = []
    for (const { record } of change.manifests ?? []) {
      const manifest = JSON.parse(Buffer.from(record.payload).toString()) as SiteManifest
      begun.push(...this.#written(boxOf(record.site), manifest, moment))
    }
    // What the same transaction takes from one site it may give to another.
    if (this.mode === 'judge') for (const one of begun) this.#judge(one, moment)
  }

  /** On its way to the site: a place that was given to another since is none any more, nor is one that is held. */
  told(name: string, { entries }: SiteManifest, { hubNowMs, monotonicMs, isDue }: Moment): void {
    if (this.mode !== 'judge') return
    for (const { workload, release, startBy } of entries) {
      const mine = this.#known.site(name).entries.get(workload)
      // Git took it out of the list: it keeps what it has, and is nobody's count.
      if (this.#known.targets.get(workload)?.has(name) !== true) continue
      const leftMs = Date.parse(startBy) - hubNowMs
      if (mine?.release !== release || mine.first || leftMs <= 0 || leftMs > LONGEST_PERMIT_MS) continue
      const { begun, failed } = this.#known.site(name)
      if (begun.has(`${workload} ${release}`) || failed.has(`${workload} ${release}`)) continue
      if (this.#isHeld(name, hubNowMs, monotonicMs - TOLD_GRACE_MS))
        throw new Violation('held', `${name} is told to begin ${workload} ${release}, and it is held or frozen`)
      if (this.#isCanary(name)) continue
      const beside = this.#known.names.filter((other) => {
        if (other === name || this.#isCanary(other) || !isDue(other)) return false
        const since = this.#known.site(other).entries.get(workload)?.grantedMs ?? 0
        return since > mine.grantedMs && this.#known.isChanging(other, workload, hubNowMs, monotonicMs)
      })
      if (beside.length >= this.#shape.mostChanging)
        throw new Violation(
          'concurrency',
          `${name} is told to begin ${workload} ${release}, and its place went to ${beside.join()}`,
        )
    }
  }

  /** Since before that moment. */
  #isHeld(name: string, hubNowMs: number, beforeMs: number): boolean {
    const words = [this.#held.get(name), this.#frozen.get(name), this.#gitHeld.get(name)]
    return words.some((it) => it !== undefined && it.untilMs > hubNowMs && it.sinceMs < beforeMs)
  }

  #isCanary(name: string): boolean {
    return this.facts.canaries.has(name)
  }

  #follows(revision: string | null, { monotonicMs }: Moment): void {
    if (revision === null || revision === this.#revision) return
    this.#revision = revision
    this.facts = this.#factsOf(revision)
    for (const name of this.#gitHeld.keys()) if (!this.facts.held.has(name)) this.#gitHeld.delete(name)
    for (const name of this.facts.held)
      if (!this.#gitHeld.has(name)) this.#gitHeld.set(name, { untilMs: FOR_EVER, sinceMs: monotonicMs })
  }

  #map(workload: string, byName: ReadonlyMap<string, Digest>): void {
    const targets = new Map([...byName].map(([name, release]) => [boxOf(name), release]))
    const before = this.#known.targets.get(workload)
    this.#known.targets.set(workload, targets)
    if (before !== undefined && [...targets].every(([site, digest]) => before.get(site) === digest)) return
    this.#stopped.delete(workload)
    this.#promoted.delete(workload)
  }

  /** Those that may begin something by it. */
  #written(name: string, manifest: SiteManifest, moment: Moment): readonly Begun[] {
    const site = this.#known.site(name)
    const told = manifest.entries.map(
      ({ workload, release, startBy }) => `${workload} ${release.slice(7, 15)} ${startBy}`,
    )
    this.lines.push(`${moment.monotonicMs} ${name} ${manifest.generation.counter}: ${told.join()}`)
    for (const workload of site.entries.keys())
      if (!manifest.entries.some((entry) => entry.workload === workload)) site.entries.delete(workload)
    return manifest.entries.flatMap((entry) =>
      this.#begins(name, entry, moment) ? [{ name, workload: entry.workload, release: entry.release }] : [],
    )
  }

  #begins(name: string, { workload, release, since, startBy }: ManifestEntry, moment: Moment): boolean {
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
    return begins
  }

  #judge({ name, workload, release }: Begun, { hubNowMs, monotonicMs, isDue }: Moment): void {
    const what = `${name} may begin ${workload} ${release}`
    const key = `${workload} ${release}`
    const stoppedMs = this.#stopped.get(workload)
    if (stoppedMs !== undefined && monotonicMs > stoppedMs + GRACE_MS)
      throw new Violation('stopped', `${what}, which an operator stopped`)
    if (this.#isHeld(name, hubNowMs, monotonicMs - GRACE_MS))
      throw new Violation('held', `${what}, and it is held or frozen`)
    const isCanary = this.#isCanary(name)
    if (!isCanary && !this.#promoted.has(workload)) {
      if (!this.#known.proven.has(key))
        throw new Violation('evidence', `${what}, and nobody was well on it through the soak`)
      if (this.#shape.isGated && !this.#approved.has(key))
        throw new Violation('approval', `${what}, and nobody said yes to it`)
    }
    const web = this.#known.targets.get('web')?.get(name)
    if (workload === 'b' && this.#shape.depends && !this.#known.site(name).well.has(`web ${web}`))
      throw new Violation('depends', `${what}, and web was never well there as it is to be`)
    const others = this.#known.names.filter((other) => other !== name && isDue(other))
    const changing = (other: string, of: string): boolean => this.#known.isChanging(other, of, hubNowMs, monotonicMs)
    const beside = others.filter((other) => !this.#isCanary(other) && changing(other, workload))
    if (!isCanary && beside.length >= this.#shape.mostChanging)
      throw new Violation('concurrency', `${what} beside ${beside.join()}`)
    const all = others.filter((other) => [...this.#known.targets.keys()].some((of) => changing(other, of)))
    if (all.length >= this.#shape.budget) throw new Violation('budget', `${what} beside ${all.join()}`)
  }
}
