/**
 * Volumes before their pod: a free volume is kept for the claim, or the claim is told its node and whoever provisions makes one there.
 * The volume controller then binds the two, and only then may the pod go.
 */
import { asFault, Fault } from '../../core/model/fault.ts'
import { isObject, type Json, type JsonObject } from '../../core/model/json.ts'
import type { Manifest } from '../../core/model/object.ts'
import type { Bind } from '../../core/scheduler/types.ts'
import type { SchedulingPorts } from './ports.ts'

const CLAIM = { apiVersion: 'v1', kind: 'PersistentVolumeClaim' } as const
const VOLUME = { apiVersion: 'v1', kind: 'PersistentVolume' } as const
const SELECTED_NODE = 'volume.kubernetes.io/selected-node'
const BY_CONTROLLER = 'pv.kubernetes.io/bound-by-controller'
const COMPLETED = 'pv.kubernetes.io/bind-completed'

/** What is known of a claim, from the watch. */
export interface ClaimSeen {
  readonly uid: string
  readonly volume: string
  /** Both sides of the binding are done. */
  readonly isBound: boolean
  readonly selectedNode: string
}

export function readClaim(claim: Manifest): ClaimSeen {
  const spec = isObject(claim['spec']) ? claim['spec'] : {}
  const annotations = claim.metadata.annotations ?? {}
  const volume = typeof spec['volumeName'] === 'string' ? spec['volumeName'] : ''
  return {
    uid: claim.metadata.uid ?? '',
    volume,
    isBound: volume !== '' && annotations[COMPLETED] !== undefined,
    selectedNode: annotations[SELECTED_NODE] ?? '',
  }
}

export interface VolumeDeps {
  readonly ports: SchedulingPorts
  readonly waitMs: number
  claim(key: string): ClaimSeen | undefined
  /** Resolves when some claim changed after this was called. */
  claimsChanged(): Promise<void>
}

/** Returns when every claim of the pod is bound. Faults: those of the cluster; Conflict where somebody else took the volume; Timeout. */
export async function bindVolumes(deps: VolumeDeps, bind: Bind, signal: AbortSignal): Promise<void> {
  const wanted = bind.volumes ?? []
  for (const { claim, volume } of wanted)
    if (volume === null) await selectNode(deps, bind, claim, signal)
    else await keepVolume(deps, bind, claim, volume, signal)
  const endMs = deps.ports.clock.monotonicMs() + deps.waitMs
  for (const { claim, volume } of wanted) await bindingOf(deps, bind, claim, volume, endMs, signal)
}

async function keepVolume(
  { ports }: VolumeDeps,
  { namespace }: Bind,
  name: string,
  volumeName: string,
  signal: AbortSignal,
): Promise<void> {
  const claimRef = { group: '', kind: CLAIM.kind, namespace, name }
  const volumeRef = { group: '', kind: VOLUME.kind, namespace: '', name: volumeName }
  const [claim, volume] = await Promise.all([
    ports.cluster.get(CLAIM, claimRef, signal),
    ports.cluster.get(VOLUME, volumeRef, signal),
  ])
  if (claim === undefined) throw new Fault('NotFound', `claim ${namespace}/${name} is gone`)
  if (volume === undefined) throw new Fault('NotFound', `volume ${volumeName} is gone`)
  const holder = objectOf(objectOf(volume['spec'])['claimRef'])
  const isOurs = holder['namespace'] === namespace && holder['name'] === name
  if (holder['name'] !== undefined && (!isOurs || (holder['uid'] ?? claim.metadata.uid) !== claim.metadata.uid))
    throw new Fault('Conflict', `volume ${volumeName} is kept for another claim: ${JSON.stringify(holder)}`)
  if (isOurs && holder['uid'] !== undefined) return
  await ports.cluster.patch(
    VOLUME,
    volumeRef,
    {
      metadata: {
        ...version(volume),
        // Whoever deletes the claim may then take the volume back.
        annotations: { [BY_CONTROLLER]: 'yes' },
      },
      spec: {
        claimRef: {
          ...CLAIM,
          namespace,
          name,
          uid: claim.metadata.uid ?? '',
          resourceVersion: claim.metadata.resourceVersion ?? '',
        },
      },
    },
    {},
    signal,
  )
}

async function selectNode(
  { ports }: VolumeDeps,
  { namespace, node }: Bind,
  name: string,
  signal: AbortSignal,
): Promise<void> {
  const ref = { group: '', kind: CLAIM.kind, namespace, name }
  const claim = await ports.cluster.get(CLAIM, ref, signal)
  if (claim === undefined) throw new Fault('NotFound', `claim ${namespace}/${name} is gone`)
  if (claim.metadata.annotations?.[SELECTED_NODE] === node || readClaim(claim).volume !== '') return
  await ports.cluster.patch(
    CLAIM,
    ref,
    { metadata: { ...version(claim), annotations: { [SELECTED_NODE]: node } } },
    {},
    signal,
  )
}

async function bindingOf(
  deps: VolumeDeps,
  { namespace, node }: Bind,
  name: string,
  volume: string | null,
  endMs: number,
  signal: AbortSignal,
): Promise<void> {
  const key = `${namespace}/${name}`
  const { clock } = deps.ports
  let selected = false
  for (;;) {
    signal.throwIfAborted()
    const claim = deps.claim(key)
    if (claim === undefined) throw new Fault('NotFound', `claim ${key} is gone`)
    if (claim.isBound) {
      if (volume !== null && claim.volume !== volume)
        throw new Fault('Conflict', `claim ${key} was bound to ${claim.volume} instead of ${volume}`)
      return
    }
    // A provisioner that cannot make one there takes the node away again.
    if (claim.selectedNode === node) selected = true
    else if (selected) throw new Fault('Rejected', `no volume for claim ${key} can be made on ${node}`)
    const leftMs = endMs - clock.monotonicMs()
    if (leftMs <= 0) throw new Fault('Timeout', `claim ${key} was not bound in ${deps.waitMs} ms`)
    const timer = new AbortController()
    const slept = clock.sleep(leftMs, AbortSignal.any([signal, timer.signal])).catch(() => undefined)
    await Promise.race([slept, deps.claimsChanged()])
    timer.abort()
  }
}

/** The write counts only for what was read. */
function version({ metadata }: Manifest): { readonly resourceVersion?: string } {
  return metadata.resourceVersion === undefined ? {} : { resourceVersion: metadata.resourceVersion }
}

function objectOf(value: Json | undefined): JsonObject {
  return isObject(value) ? value : {}
}

/** For logs: what went wrong with the volumes of a pod. */
export function volumeFault(error: unknown): Fault {
  const fault = asFault(error)
  return new Fault(fault.reason, `volumes: ${fault.message}`, { cause: fault, retryAfterMs: fault.retryAfterMs })
}
