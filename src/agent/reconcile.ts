/**
 * One turn of a site: gather, plan, write down what is intended, act, write down what is owned, report. The decisions are in
 * `plan` and `desiredOf`; a turn in which nothing changed writes nothing and reads nothing but its watches.
 */
import { brakedBy, confirmBraked, confirmedKeys } from '../core/diff/confirmed.ts'
import { endedJobs, intend } from '../core/diff/inventory.ts'
import type { Inventory, InventoryChange, Outcome, PlanInput, Step, WriteStep } from '../core/diff/types.ts'
import { plan } from '../core/diff/plan.ts'
import { healthOf } from '../core/health/health.ts'
import type { Cluster } from '../core/kube/cluster.ts'
import { Fault } from '../core/model/fault.ts'
import { refKey, type Manifest } from '../core/model/object.ts'
import type { Release } from '../core/model/release.ts'
import type { Waiting } from '../core/model/state.ts'
import type { SiteManifest } from '../core/protocol/messages.ts'
import { type BoxWords, pausedWaiting } from './box/words.ts'
import { confirmedHere, confirmedNote } from './confirmed.ts'
import { batchOf, desiredOf, healthChecksOf, type Desired } from './desired.ts'
import { execute, type ExecutePorts } from './execute.ts'
import { gather, type Gathered } from './gather.ts'
import { keeper, type Keeper } from './keep.ts'
import { createLibrary, type Library } from './library.ts'
import { countInstances } from './instances.ts'
import { isOlder } from './observe.ts'
import { beginsOwn, NOTE_UPGRADE, stuckOwn } from './own-upgrade.ts'
import { ensureParent } from './parent.ts'
import { behindFloor, newestManifest, type Current } from './newest.ts'
import type { LeasePort, StoreWrite } from './ports.ts'
import { recoverInventory } from './recover.ts'
import { isGood } from './soak.ts'
import { clusterFor } from './account.ts'
import { concludeTurn } from './conclude.ts'
import { isSettled, type ReconcileDeps } from './settled.ts'
import { isWhole, stopOf } from './windows.ts'

/** Set once an inventory was looked for in the cluster. */
const NOTE_RECOVERED = 'recovered'
const OBSERVES: Waiting = { reason: 'Observe' }
/** Another turn may find what this one could not read. */
const UNREAD_RETRY_MS = 5_000
/** Some health changes with time alone (a progress deadline). */
const UNHEALTHY_LOOK_MS = 10_000

export interface Look {
  readonly current: Current
  /** Why none of it is done now; undefined: it is. */
  readonly idle: Waiting | undefined
  readonly desired: Desired
  readonly steps: readonly Step[]
  readonly actual: ReadonlyMap<string, Manifest | null>
}

interface Scene {
  readonly mode: 'enforce' | 'observe'
  readonly pause: ReturnType<BoxWords['pause']>
  readonly paused: Waiting | undefined
  readonly before: Inventory
  readonly desired: Desired
  readonly gathered: Gathered
  readonly input: Omit<PlanInput, 'confirmed' | 'instances'>
}

export interface Reconciler {
  /** Ms until the next turn is due without a change; Infinity: none is. */
  turn(signal: AbortSignal): Promise<{ readonly nextMs: number }>
  /** What a turn would decide now; nothing is done, and nothing written. undefined: there is no manifest yet. */
  look(signal: AbortSignal): Promise<Look | undefined>
  /** The manifest that turns act on. */
  manifest(): Current | undefined
  readonly library: Library
}

export function createReconciler(deps: ReconcileDeps): Reconciler {
  const { ports, options, marks, observer, state, words } = deps
  const { store, clock } = ports
  const library = createLibrary(store)
  let held: Current | undefined
  const manifest = (): Current | undefined => (held = newestManifest(store, held))

  async function turn(signal: AbortSignal): Promise<{ readonly nextMs: number }> {
    const current = manifest()
    if (current === undefined) {
      // Jobs that were submitted here need no manifest; a pause and another agent's lease hold for them too.
      const pause = words.pause()
      const isOurs = pause === undefined && notOurs(ports.lease) === undefined
      deps.batch.want({ wanted: [], kept: 'all', mode: isOurs ? options.mode : 'observe' })
      return { nextMs: pause?.leftMs ?? Infinity }
    }
    state.counts.turns += 1
    state.tickMs = clock.monotonicMs()
    const behind = behindFloor(current, store)
    // A word at the box is about an entry that an older manifest does not know.
    if (behind === null) words.follow(current.manifest)
    const fresh = await recoverOnce(current.manifest, signal)
    const { mode, pause, paused, before, desired, gathered, input } = await sceneOf(current, fresh, signal)
    const steps = await planned(input, current.manifest, desired, signal)
    rememberVerified(steps, gathered.actual, before)
    const idle = idleBy(mode, paused)
    const outcomes = idle === undefined ? await act(steps, desired, gathered.actual, signal) : []
    if (mode === 'enforce' && paused !== undefined && behind === null) commit({ workloads: desired.begins })
    deps.batch.want(batchOf(desired, idle))
    deps.uplink.acted(outcomes)
    const nextMs = await concludeTurn({ ...deps, current, desired, steps, outcomes, library, mode, idle }, signal)
    if (idle === undefined && (tookBack(desired) || deps.uplink.revert(current.manifest))) return { nextMs: 0 }
    const doubtful = steps.some(
      (step) => step.kind === 'leave' && ['unread', 'terminating', 'uncounted'].includes(step.because),
    )
    const sick = [...state.observations.values()].some(({ health, begun }) => begun && !isGood(health))
    const looks = [doubtful ? UNREAD_RETRY_MS : Infinity, sick ? UNHEALTHY_LOOK_MS : Infinity]
    return { nextMs: Math.min(nextMs, pause?.leftMs ?? Infinity, deps.uplink.nextMs(), ...looks) }
  }

  /** All that a turn decides on, as it is now. */
  async function sceneOf(current: Current, fresh: boolean, signal: AbortSignal): Promise<Scene> {
    const mode = options.mode === 'observe' ? 'observe' : current.manifest.mode
    const pause = words.pause()
    const paused = pause === undefined ? (behindFloor(current, store) ?? undefined) : pausedWaiting(pause)
    const before = store.inventory()
    const desired = desiredOf({
      manifest: current.manifest,
      acceptedAtMs: current.stored.acceptedAtMs,
      records: store.workloads(),
      library,
      hubNow: deps.hubNow(),
      mode,
      paused,
      pins: words.pins(),
      settled: (workload) => isSettled(workload, current.manifest, store.workloads(), state),
    })
    const checks = healthChecksOf(desired)
    const gathered = await gather(observer, before, desired, signal)
    const input: Omit<PlanInput, 'confirmed' | 'instances'> = {
      marks,
      workloads: desired.intents.map(({ desired }) => desired),
      gone: new Map([...desired.gone].map(([name, { rules }]) => [name, rules] as const)),
      inventory: before,
      actual: gathered.actual,
      prune: fresh ? 'off' : 'on',
      fuse: { objects: options.fuseObjects },
      applied: (digest) => library.past(digest),
      verified: (key, resourceVersion, digest) => state.verified.get(key) === `${resourceVersion} ${digest}`,
      healthy: (key, live) => isReady(before, key, live, checks),
      suspected: (key) => state.suspected.get(key) ?? [],
      fought: (key, differences) => state.attempts.fought(key, differences, clock.monotonicMs()),
    }
    return { mode, pause, paused, before, desired, gathered, input }
  }

  function idleBy(mode: 'enforce' | 'observe', paused: Waiting | undefined): Waiting | undefined {
    return mode === 'observe' ? OBSERVES : (notOurs(ports.lease) ?? paused)
  }

  async function look(signal: AbortSignal): Promise<Look | undefined> {
    const current = manifest()
    if (current === undefined) return undefined
    // Before the inventory was looked for in the cluster nobody knows what is ours.
    const fresh = store.note(NOTE_RECOVERED) === undefined
    const { mode, paused, before, desired, gathered, input } = await sceneOf(current, fresh, signal)
    const confirmed = confirmedKeys(confirmedHere(store, current.manifest, before))
    const steps = plan({ ...input, confirmed, instances: new Map() })
    return { current, idle: idleBy(mode, paused), desired, steps, actual: gathered.actual }
  }

  /** With every yes that this site has: by the lists that the hub made for it, and to what its own fuse would stop. */
  async function planned(
    input: Omit<PlanInput, 'confirmed' | 'instances'>,
    manifest: SiteManifest,
    desired: Desired,
    signal: AbortSignal,
  ): Promise<readonly Step[]> {
    let confirmed = confirmedHere(store, manifest, input.inventory)
    let instances: PlanInput['instances'] = new Map()
    const steps = (): readonly Step[] => plan({ ...input, confirmed: confirmedKeys(confirmed), instances })
    const first = steps()
    const braked = brakedBy(first, manifest.siteId)
    const yes = braked === null ? null : confirmBraked(confirmed, manifest.deletionsConfirmed, braked)
    if (yes !== null) {
      store.write({ notes: confirmedNote(yes) })
      confirmed = yes
    }
    instances = await countInstances(first, input.actual, (step) => clusterOf(step, desired), ports.log, signal)
    return yes === null && instances.size === 0 ? first : steps()
  }

  async function act(
    steps: readonly Step[],
    desired: Desired,
    actual: ReadonlyMap<string, Manifest | null>,
    signal: AbortSignal,
  ): Promise<readonly Outcome[]> {
    const before = store.inventory()
    // On the disk first: what is made after this can be found again, and what is ours is told from what is not.
    const intended = new Map([...endedJobs(before, actual), ...intend(before, steps)])
    commit({
      inventory: intended,
      workloads: desired.begins,
      notes: new Map([...beginsOwn(desired, options), ...deps.uplink.begins(desired)]),
    })
    const acting = steps.some((step) => step.kind === 'delete' || 'desired' in step)
    if (!acting) return []
    await parent(signal)
    const kept = keeper(store)
    const outcomes = await execute(steps, executePorts(desired, kept), signal)
    kept.end(clock.nowMs())
    for (const outcome of outcomes) remember(outcome)
    return outcomes
  }

  /** The agent's own new version is not there in time: the one before is put back, and the hub is told so. */
  function tookBack(desired: Desired): boolean {
    const stuck = stuckOwn(desired, options, store.note(NOTE_UPGRADE), store.workloads(), state.soaks)
    if (stuck === undefined) return false
    const { workload, since, release } = stuck.intent.entry
    const at = { workload, since, from: release, release: stuck.back, atMs: Math.floor(clock.nowMs()) }
    words.pin({ ...at, by: `agent ${options.version}`, reason: stuck.because, cause: 'upgrade' })
    return true
  }

  function commit(write: Pick<StoreWrite, 'inventory' | 'workloads' | 'notes'>): void {
    const empty = (map: ReadonlyMap<string, unknown> | undefined): boolean => map === undefined || map.size === 0
    if (!empty(write.inventory) || !empty(write.workloads)) store.write(write)
  }

  async function parent(signal: AbortSignal): Promise<void> {
    try {
      await ensureParent(ports.cluster, store, options.applySet, store.inventory(), signal)
    } catch (error) {
      // kubectl shows less without it; nothing of ours rests on it.
      if (signal.aborted || !(error instanceof Fault) || error.reason.startsWith('Store')) throw error
      ports.log.warn({ reason: error.reason }, 'cannot write the ApplySet parent')
    }
  }

  function executePorts(desired: Desired, kept: Keeper): ExecutePorts {
    const checks = healthChecksOf(desired)
    return {
      marks,
      parallel: options.parallelApplies,
      clusterOf: (step) => clusterOf(step, desired),
      healthy: (key, live) => isReady(kept.inventory, key, live, checks),
      entry: (key) => kept.inventory.get(key),
      done: (outcome) => kept.done(outcome),
      stopped: (step) => stopOfStep(step, desired),
      held: (step) => state.attempts.held(refKey(step.ref), attemptDigest(step, desired), clock.monotonicMs()),
      gate: () => {
        kept.check()
        const nowMs = clock.monotonicMs()
        if (state.throttledUntilMs > nowMs)
          throw new Fault('Throttled', 'the API server asked to slow down', {
            retryAfterMs: state.throttledUntilMs - nowMs,
          })
        if (nowMs - state.tickMs > options.maxGapMs) {
          state.broken = true
          throw new Fault('Stale', 'the process stood still: what was read is too old to act on')
        }
        state.tickMs = nowMs
      },
      saw: (key, live) => {
        state.tickMs = clock.monotonicMs()
        if (live === null) observer.forget(key)
        else observer.put(live)
      },
      failed: (step, fault) => {
        state.counts.failures += 1
        const nowMs = clock.monotonicMs()
        if (fault.reason === 'Throttled') state.throttledUntilMs = nowMs + (fault.retryAfterMs ?? 1_000)
        state.attempts.failed(refKey(step.ref), attemptDigest(step, desired), fault, nowMs)
        ports.log.debug({ object: refKey(step.ref), reason: fault.reason }, 'a step failed')
      },
    }
  }

  /** A turn may last: a window that closes in the middle of it ends there what is not through. */
  function stopOfStep({ workload }: Step, { intents }: Desired): Waiting | undefined {
    const intent = intents.find(({ entry }) => entry.workload === workload)
    const current = manifest()
    if (intent === undefined || current === undefined || intent.entry.gates.length === 0) return undefined
    const through = isWhole(intent.record) || intent.instead !== undefined
    return through ? undefined : stopOf(current.manifest, intent.entry, deps.hubNow())
  }

  function clusterOf(step: Step, desired: Desired): Cluster {
    // A namespace made by need is the site's own doing.
    if (step.kind === 'create' && step.because === 'needed') return ports.cluster
    return clusterFor(ports.cluster, releaseOf(step, desired))
  }

  function remember(outcome: Outcome): void {
    const key = refKey(outcome.step.ref)
    if (outcome.kind === 'failed' || outcome.kind === 'waits' || outcome.kind === 'stopped') return
    state.attempts.succeeded(key)
    if (outcome.kind === 'deleted') state.counts.deletes += 1
    if (outcome.kind !== 'applied') return
    const { step, live } = outcome
    state.counts.writes += 1
    if (step.kind === 'adopt') state.counts.adopted += 1
    state.suspected.delete(key)
    state.verified.set(key, `${live.metadata.resourceVersion ?? ''} ${step.digest}`)
    if (step.kind === 'update' && (step.because === 'drift' || step.because === 'conflict')) {
      state.counts.corrected += 1
      state.attempts.corrected(key, step.differences, clock.monotonicMs())
    }
  }

  /** What was compared and found equal needs no second look until it changes. */
  function rememberVerified(
    steps: readonly Step[],
    actual: ReadonlyMap<string, Manifest | null>,
    inventory: Inventory,
  ): void {
    for (const step of steps) {
      if (step.kind !== 'leave' || step.because !== 'in-sync') continue
      const key = refKey(step.ref)
      const entry = inventory.get(key)
      const live = actual.get(key)
      if (entry?.state !== 'owned' || entry.applied === null || live === undefined || live === null) continue
      state.verified.set(key, `${live.metadata.resourceVersion ?? ''} ${entry.applied}`)
    }
  }

  /** True: the inventory was looked for in the cluster in this turn, so nothing is pruned in it. */
  async function recoverOnce(manifest: SiteManifest, signal: AbortSignal): Promise<boolean> {
    if (store.note(NOTE_RECOVERED) !== undefined) return false
    const found = await recoverInventory(ports.cluster, marks, signal)
    const known = store.inventory()
    const inventory: InventoryChange = new Map([...found].filter(([key]) => !known.has(key)))
    // With the inventory went what was used of each yes: none of them counts any more.
    const spent = new Set(found.size === 0 ? [] : manifest.deletionsConfirmed)
    const notes = new Map([[NOTE_RECOVERED, { objects: inventory.size }], ...confirmedNote({ open: new Map(), spent })])
    store.write({ inventory, notes })
    return inventory.size > 0
  }

  function isReady(
    inventory: Inventory,
    key: string,
    live: Manifest,
    checksOf: ReturnType<typeof healthChecksOf>,
  ): boolean {
    const entry = inventory.get(key)
    if (entry?.state === 'owned' && entry.uid === live.metadata.uid) {
      const applied = { apiVersion: '', kind: '', metadata: { name: '', resourceVersion: entry.resourceVersion } }
      if (isOlder(live, applied)) return false
    }
    return isGood(healthOf(live, { nowMs: clock.nowMs(), checks: checksOf.get(entry?.workload ?? '') ?? [] }).health)
  }

  return { turn, look, manifest, library }
}

/** Another agent may write here, or may for all that is known: nothing is begun. */
function notOurs(lease: LeasePort | undefined): Waiting | undefined {
  const state = lease?.state()
  if (state === undefined || state.held === 'yes') return undefined
  return { reason: 'Hold', detail: state.because }
}

/** What is asked for, and what may be done for it: another account or a `replace` is another attempt. */
function attemptDigest(step: WriteStep | Extract<Step, { kind: 'delete' }>, desired: Desired): string {
  const what = step.kind === 'delete' ? `delete ${step.actual.metadata.uid ?? ''}` : step.digest
  const how = 'onImmutable' in step ? step.onImmutable : ''
  return `${what} ${how} ${releaseOf(step, desired)?.rules.serviceAccount ?? ''}`
}

function releaseOf({ workload }: Step, desired: Desired): Release | undefined {
  return desired.intents.find(({ entry }) => entry.workload === workload)?.release ?? desired.gone.get(workload)
}
