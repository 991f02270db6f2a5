/** What is read of the cluster, put into the scheduler core; beside it, the little that the shell itself must know. */
import type { Manifest } from '../../core/model/object.ts'
import type { Delta, ObjectKind } from '../../core/scheduler/types.ts'
import type { Fault } from '../../core/model/fault.ts'
import { openFeed, type Feed, type Seen } from './feed.ts'
import { NODES, PODS, SURROUNDINGS, type Watched } from './kinds.ts'
import { readOwn, type OwnPod } from './own-pods.ts'
import type { SchedulingPorts } from './ports.ts'
import { readClaim, type ClaimSeen } from './volume-binder.ts'

export interface View {
  readonly own: ReadonlyMap<string, OwnPod>
  /** Of them: without a node. */
  readonly unplaced: number
  readonly nodes: ReadonlySet<string>
  readonly claims: ReadonlyMap<string, ClaimSeen>
  /** All of it is how things are. */
  isCurrent(): boolean
  fault(): Fault | null
  claimsChanged(): Promise<void>
  /** Resolves when everything was listed once. */
  open(): Promise<void>
  stop(): void
}

export interface ViewHooks {
  apply(delta: Delta): void
  /** What was applied may be let go. */
  settle(): void
  /** Before the core hears of a pod that waits: true keeps it from hearing. */
  keeps(pod: OwnPod, object: Manifest): boolean
  gone(key: string): void
  changed(): void
}

export function createView(ports: SchedulingPorts, schedulerName: string, hooks: ViewHooks): View {
  const own = new Map<string, OwnPod>()
  let unplaced = 0
  const nodes = new Set<string>()
  const claims = new Map<string, ClaimSeen>()
  const feeds: Feed[] = []
  let claimsBell = Promise.withResolvers<void>()

  function keepOwn(key: string, pod: OwnPod | undefined): void {
    if (own.get(key)?.node === '') unplaced--
    if (pod?.node === '') unplaced++
    if (pod === undefined) own.delete(key)
    else own.set(key, pod)
  }

  function take(kind: ObjectKind, seen: Seen): void {
    if (seen.is === 'gone') {
      const { namespace, name } = seen
      const key = `${namespace}/${name}`
      if (kind === 'Pod') {
        keepOwn(key, undefined)
        hooks.gone(key)
      } else if (kind === 'Node') nodes.delete(name)
      else if (kind === 'PersistentVolumeClaim') claims.delete(key)
      return hooks.apply({ kind, gone: { namespace, name } })
    }
    const { object } = seen
    const key = `${object.metadata.namespace ?? ''}/${object.metadata.name}`
    if (kind === 'Pod') {
      const pod = readOwn(object, schedulerName)
      keepOwn(key, pod)
      if (pod !== undefined && hooks.keeps(pod, object)) return
    } else if (kind === 'Node') nodes.add(object.metadata.name)
    else if (kind === 'PersistentVolumeClaim') claims.set(key, readClaim(object))
    hooks.apply({ kind, set: object })
  }

  function feed({ kind, query }: Watched): Promise<void> {
    const opened = openFeed(
      ports,
      query,
      (all) => {
        for (const seen of all) take(kind, seen)
        // What was read is compiled now: a page of objects is let go before the next is here.
        if (all.length > 1) hooks.settle()
        if (kind === 'PersistentVolumeClaim') {
          claimsBell.resolve()
          claimsBell = Promise.withResolvers<void>()
        }
        if (all.length > 0) hooks.changed()
      },
      () => hooks.changed(),
    )
    feeds.push(opened)
    return opened.listed
  }

  return {
    own,
    get unplaced() {
      return unplaced
    },
    nodes,
    claims,
    isCurrent: () => feeds.every((one) => one.isCurrent()),
    fault: () => feeds.map((one) => one.fault()).find((fault) => fault !== null) ?? null,
    claimsChanged: () => claimsBell.promise,
    async open() {
      await Promise.all(SURROUNDINGS.map(feed))
      await feed(NODES)
      await feed(PODS)
    },
    stop: () => {
      for (const one of feeds) one.stop()
    },
  }
}
