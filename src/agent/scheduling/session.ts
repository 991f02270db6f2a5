/**
 * The scheduler core over a cluster that is watched: what changed goes in, and what a cycle decides is assumed, done, and taken back
 * where it could not be done. It keeps nothing: a new session reads everything anew.
 */
import type { Manifest } from '../../core/model/object.ts'
import type { Fault } from '../../core/model/fault.ts'
import { createScheduler, type LiveScheduler } from '../../core/scheduler/scheduler.ts'
import type { Bind, CycleResult, Waiting } from '../../core/scheduler/types.ts'
import { createBell } from '../../runtime/bell.ts'
import { restUntilHeard } from '../../runtime/turns.ts'
import { createBinder, POD, refTo } from './binder.ts'
import { createEvictor } from './evictor.ts'
import { createHolds } from './holds.ts'
import type { SchedulingCounts, SchedulingOptions, SchedulingPorts } from './ports.ts'
import { createReporter, type Word } from './reporter.ts'
import { batchDeltas } from './told-batch.ts'
import type { Troubles } from '../room-trouble.ts'
import { createView } from './view.ts'
import { bindVolumes, volumeFault } from './volume-binder.ts'
import { wordsOf } from './words.ts'

/** Something is looked at again at least so often, whatever was heard. */
const MOST_REST_MS = 60_000
/** Reasons of all that wait are worked out anew at most so often, and take a tenth of the time at most. */
const EXPLAIN_EVERY_MS = 500
const EXPLAIN_SHARE = 10
/** Nothing is decided while the cluster is not read; it is tried again by the feeds. */
const BLIND_REST_MS = 1_000

export interface SessionState {
  readonly counts: SchedulingCounts
  readonly troubles: Troubles
  /** In the cluster, when it was last looked at. */
  nodes: number
  /** By job, of the last explained cycle. */
  waiting: ReadonlyMap<string, Waiting>
  expected: ReadonlyMap<string, number>
}

/** Until the signal aborts, the site is another's, or there was nothing of ours for long. */
export async function runSession(
  ports: SchedulingPorts,
  options: SchedulingOptions,
  state: SessionState,
  outer: AbortSignal,
): Promise<void> {
  const { clock, log } = ports
  const { counts } = state
  const end = new AbortController()
  const signal = AbortSignal.any([outer, end.signal])
  const bell = createBell()
  const scheduler: LiveScheduler = createScheduler({
    ...options.core,
    seed: options.seed,
    schedulerNames: [options.schedulerName],
    explain: 'each',
    budgets: 'honour',
  })
  const holds = createHolds(ports)
  const view = createView(ports, options.schedulerName, {
    apply: (delta) => scheduler.apply(delta),
    settle: () => scheduler.settle(),
    keeps: (pod, object) => holds.keeps(pod, object),
    gone: (key) => {
      holds.drop(key)
      reporter.forget(key)
    },
    changed: () => bell.ring(),
  })
  const preparing = new Set<string>()

  /** The pod of that name is still the one that was decided about, and nobody else gave it a node: then the core knows already. */
  const isOpen = ({ namespace, name, uid }: Bind): boolean => {
    const pod = view.own.get(`${namespace}/${name}`)
    return pod?.uid === uid && pod.node === ''
  }

  const binder = createBinder({
    ports,
    parallel: options.parallelBinds,
    signal,
    objection(bind) {
      const pod = view.own.get(`${bind.namespace}/${bind.name}`)
      if (pod?.uid !== bind.uid) return 'the pod is gone'
      if (pod.node !== '') return `it stands on ${pod.node} already`
      return view.nodes.has(bind.node) ? null : `node ${bind.node} is gone`
    },
    bound(bind) {
      counts.bound++
      state.troubles.writes('bind', null)
      holds.succeeded(bind.uid)
      reporter.assigned(bind, bind.node)
    },
    failed(bind, fault, because) {
      if (fault !== null) state.troubles.writes('bind', fault)
      takeBack(bind, fault, because)
    },
  })
  const evictor = createEvictor({
    ports,
    signal,
    evicted(eviction) {
      counts.evicted++
      state.troubles.writes('evict', null)
      const taker = view.own.get(eviction.for)?.uid ?? eviction.for
      reporter.preempted(eviction, taker, eviction.node)
    },
    refused(eviction, fault, because) {
      counts.evictionsRefused++
      if (fault !== null) state.troubles.writes('evict', fault)
      log.info({ pod: `${eviction.namespace}/${eviction.name}`, because }, 'an eviction was refused')
      const pod = view.own.get(`${eviction.namespace}/${eviction.name}`)
      // One that leaves for another reason leaves.
      if (pod?.uid !== eviction.uid || pod.leaving) return
      scheduler.forget(eviction.namespace, eviction.name)
      bell.ring()
    },
  })
  const reporter = createReporter({
    ports,
    counts,
    troubles: state.troubles,
    component: options.schedulerName,
    parallelEvents: options.parallelBinds,
    instance: `${options.schedulerName}-${options.seed}`,
    signal,
    pod: (key) => view.own.get(key),
    isBusy: () => binder.size > 0,
  })

  function takeBack(bind: Bind, fault: Fault | null, because: string): void {
    if (fault !== null) {
      counts.bindsFailed++
      log.info({ pod: `${bind.namespace}/${bind.name}`, node: bind.node, reason: fault.reason, because }, 'a pod was not bound') // prettier-ignore
    }
    if (isOpen(bind)) {
      scheduler.forget(bind.namespace, bind.name)
      if (fault !== null) {
        holds.hold(bind, fault)
        scheduler.apply({ kind: 'Pod', gone: { namespace: bind.namespace, name: bind.name } })
      }
    }
    bell.ring()
  }

  async function prepare(bind: Bind): Promise<void> {
    preparing.add(bind.uid)
    try {
      const deps = { ports, waitMs: options.volumeBindMs, claim: (key: string) => view.claims.get(key), claimsChanged: () => view.claimsChanged() } // prettier-ignore
      await bindVolumes(deps, bind, signal)
      state.troubles.writes('volumes', null)
      binder.add(bind)
    } catch (error) {
      const fault = volumeFault(error)
      if (signal.aborted) return
      state.troubles.writes('volumes', fault)
      takeBack(bind, fault, fault.message)
    } finally {
      preparing.delete(bind.uid)
    }
  }

  let explainedAtMs = Number.NEGATIVE_INFINITY
  let explainMs = 0
  let owesReasons = false

  /** One cycle, and its decisions on their way. Ms until the next is due by itself. */
  function decide(): number {
    const startMs = clock.monotonicMs()
    const pauseMs = Math.max(EXPLAIN_EVERY_MS, EXPLAIN_SHARE * explainMs)
    const explains = startMs - explainedAtMs >= pauseMs
    const nowMs = clock.nowMs()
    const result = scheduler.cycle(nowMs, explains ? 'now' : 'later')
    for (const bind of result.binds)
      if (bind.volumes === undefined) binder.add(bind)
      else void prepare(bind)
    for (const eviction of result.evictions) evictor.add(eviction)
    const tookMs = clock.monotonicMs() - startMs
    counts.cycles++
    counts.cycleMsTotal += tookMs
    counts.cycleMsMost = Math.max(counts.cycleMsMost, tookMs)
    if (explains) {
      explainedAtMs = startMs
      explainMs = tookMs
      tell(result, nowMs)
    }
    owesReasons = !explains
    const dueMs = result.nextMs === null ? MOST_REST_MS : result.nextMs - nowMs
    return Math.min(dueMs, owesReasons ? explainedAtMs + pauseMs - startMs : MOST_REST_MS)
  }

  function tell(result: CycleResult, nowMs: number): void {
    const nominated = new Map(result.nominations.map(({ namespace, name, node }) => [`${namespace}/${name}`, node]))
    const words = new Map<string, Word>(holds.words(nowMs))
    const waiting = new Map<string, Waiting>()
    for (const one of result.reasons) {
      if (!waiting.has(one.job)) waiting.set(one.job, one)
      // What a gate says is said by the API server already.
      if (one.kind === 'gated') continue
      const message = wordsOf(one, view.nodes.size)
      const kind = `${one.kind} ${one.classReasons.map(({ refusal }) => refusal).join(' ')}`
      for (const key of one.members ?? [one.example])
        words.set(key, { reason: 'Unschedulable', kind, message, nominated: nominated.get(key) ?? '' })
    }
    reporter.say(words)
    state.nodes = view.nodes.size
    state.waiting = waiting
    state.expected = new Map(result.reservations.map((one) => [`${one.namespace}/${one.name}`, one.expectedMs]))
  }

  /** Pods whose time has come are as they now are. */
  async function release(): Promise<void> {
    for (const { key, namespace, name, uid, object } of holds.due()) {
      const pod: Manifest | undefined =
        object ?? (await ports.cluster.get(POD, refTo({ namespace, name }), signal).catch(() => undefined))
      if (pod?.metadata.uid !== uid || view.own.get(key)?.uid !== uid) continue
      scheduler.apply({ kind: 'Pod', set: pod })
    }
  }

  const batch = ports.batch === undefined ? null : batchDeltas(ports.batch)
  let batchChanged = true
  const unlisten = ports.batch?.onChange(() => {
    batchChanged = true
    bell.ring()
  })
  try {
    await Promise.race([view.open(), aborted(signal)])
    let lastOwnMs = clock.monotonicMs()
    while (!signal.aborted && ports.mayWrite()) {
      const startMs = clock.monotonicMs()
      state.troubles.reads(view.fault())
      if (view.own.size > 0) lastOwnMs = startMs
      else if (startMs - lastOwnMs >= options.idleMs) return
      let nextMs = BLIND_REST_MS
      if (view.isCurrent()) {
        if (batch !== null && batchChanged) {
          batchChanged = false
          for (const delta of batch()) scheduler.apply(delta)
        }
        await release()
        nextMs = Math.min(decide(), holds.nextMs())
      }
      counts.bindingPods = binder.size + preparing.size
      counts.pendingPods = Math.max(0, view.unplaced - counts.bindingPods)
      // A cycle that takes long is not followed by the next at once: half of the time is for others.
      const tookMs = clock.monotonicMs() - startMs
      await restUntilHeard(clock, Math.min(nextMs, MOST_REST_MS), bell, signal)
      await clock.sleep(Math.max(options.coalesceMs, tookMs), signal).catch(() => undefined)
    }
  } finally {
    unlisten?.()
    end.abort()
    binder.clear()
    evictor.clear()
    view.stop()
    state.troubles.calm()
    counts.pendingPods = 0
    counts.bindingPods = 0
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
