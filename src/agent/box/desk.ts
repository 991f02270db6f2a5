/** What is answered and taken at the box: the same words whether the hub is away for a minute or for a month. */
import { BOX_FORMAT, type BoxView, type BoxWord, type BoxWorkload } from '../../core/api/box.ts'
import type { WhyView } from '../../core/api/types.ts'
import type { Digest } from '../../core/model/digest.ts'
import { Fault } from '../../core/model/fault.ts'
import type { WorkloadObservation } from '../../core/model/observation.ts'
import type { SiteCondition } from '../../core/protocol/messages.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Library } from '../library.ts'
import type { Current } from '../newest.ts'
import type { AgentStore, WorkloadRecord } from '../ports.ts'
import { whyAtBox } from './why.ts'
import type { BoxWords } from './words.ts'

export interface Desk {
  view(): BoxView
  /** `WORKLOAD`, or an object as `kind/name` or `kind/namespace/name`. Fault NotFound. */
  why(subject: string): WhyView
  /** On the disk when it returns, and done by the turn that follows. Faults NotFound, Conflict, InvalidInput, Store*. */
  say(word: BoxWord): BoxView
}

export interface DeskParts {
  readonly store: AgentStore
  readonly clock: Clock
  readonly words: BoxWords
  readonly library: Library
  agent(): BoxView['agent']
  current(): Current | undefined
  /** By workload, as of now; empty where nothing looks. */
  observations(): ReadonlyMap<string, WorkloadObservation>
  conditions(): readonly SiteCondition[]
  mode(): 'enforce' | 'observe'
  lastExchangeMs(): number | null
  /** Somebody said something: a turn is due. */
  ring(): void
}

export function createDesk(parts: DeskParts): Desk {
  const { store, clock, words } = parts

  function view(): BoxView {
    const identity = store.identity()
    const current = parts.current()
    const pause = words.pause()
    const conditions = parts.conditions().filter(({ type }) => type !== 'Box')
    const away = conditions.find(({ type }) => type === 'Link')
    const lastExchangeMs = parts.lastExchangeMs()
    const lastWordMs = store.time()?.timeMs ?? null
    const agent = parts.agent()
    const tried = agent.state === 'running'
    const link =
      lastWordMs === null
        ? 'Never'
        : !tried
          ? 'Unknown'
          : away === undefined && lastExchangeMs !== null
            ? 'Online'
            : 'Away'
    return {
      formatVersion: BOX_FORMAT,
      asOfMs: Math.floor(clock.nowMs()),
      site: identity?.site ?? null,
      siteId: identity?.siteId ?? null,
      agent,
      mode: parts.mode(),
      generation: current?.stored.generation ?? null,
      revision: current?.manifest.revision ?? null,
      acceptedAtMs: current?.stored.acceptedAtMs ?? null,
      floor: store.floor()?.generation ?? null,
      hub: {
        url: identity?.hubUrl ?? null,
        link,
        lastExchangeMs,
        lastWordMs,
        fault: away === undefined ? null : { reason: away.reason, message: away.message, sinceMs: away.sinceMs },
      },
      paused:
        pause === undefined ? null : { by: pause.by, reason: pause.reason, sinceMs: pause.atMs, leftMs: pause.leftMs },
      conditions,
      objects: store.inventory().size,
      workloads: workloads(current),
    }
  }

  function workloads(current: Current | undefined): readonly BoxWorkload[] {
    const observations = parts.observations()
    const records = store.workloads()
    const pins = words.pins()
    return (current?.manifest.entries ?? []).map(({ workload, release }) => {
      const seen = observations.get(workload)
      const record = records.get(workload)
      const pin = pins.get(workload)
      return {
        workload,
        desired: release,
        applied: record?.applied?.digest ?? null,
        healthy: record?.healthy?.digest ?? null,
        previous: pin === undefined && current !== undefined ? (previousOf(workload, record, current) ?? null) : null,
        sync: seen?.sync ?? 'Unknown',
        health: seen?.health ?? 'Unknown',
        waiting: seen?.waiting ?? null,
        failure: seen?.failure ?? null,
        objects: seen?.objects ?? [],
        rolledBack: pin === undefined ? null : { by: pin.by, reason: pin.reason, atMs: pin.atMs },
      }
    })
  }

  /** The last release before this one that can be put back whole. */
  function previousOf(workload: string, record: WorkloadRecord | undefined, { manifest }: Current): Digest | undefined {
    if (record === undefined) return undefined
    const entry = manifest.entries.find((it) => it.workload === workload)
    const places = [entry?.release === record.release ? undefined : record.release, record.previous, entry?.fallback]
    return places.find(
      (place) =>
        place !== undefined &&
        place !== entry?.release &&
        !manifest.withdrawn.includes(place) &&
        isWhole(parts.library.pastRelease(place)),
    )
  }

  function isWhole(release: ReturnType<Library['pastRelease']>): boolean {
    return release !== undefined && release.objects.every(({ blob }) => store.has(blob))
  }

  function rollback({ workload: named, by, reason }: Extract<BoxWord, { kind: 'rollback' }>): void {
    const workload = named.replace(/^workload\//, '')
    const current = parts.current()
    const entry = current?.manifest.entries.find((it) => it.workload === workload)
    if (current === undefined || entry === undefined)
      throw new Fault('NotFound', `this site has no workload ${workload}`)
    const held = words.pins().get(workload)
    if (held !== undefined)
      throw new Fault(
        'Conflict',
        `${workload} was rolled back already, by ${held.by}: \`agent resume ${workload}\` first`,
      )
    const release = previousOf(workload, store.workloads().get(workload), current)
    if (release === undefined)
      throw new Fault('NotFound', `no earlier release of ${workload} is kept here that may run: nothing was changed`)
    const at = { since: entry.since, from: entry.release, atMs: Math.floor(clock.nowMs()) }
    words.pin({ workload, release, by, reason, cause: 'person', ...at })
  }

  return {
    view,
    why: (subject) => whyAtBox(subject, view(), store.inventory()),
    say(word) {
      if (word.kind === 'pause') words.startPause(word.by, word.reason, word.forMs)
      else if (word.kind === 'rollback') rollback(word)
      else if (word.workload === null) words.endPause(word.by)
      else words.unpin(word.workload.replace(/^workload\//, ''), word.by)
      parts.ring()
      return view()
    },
  }
}
