/** The kubelet: a pod from its node to ready, ended or gone. */
import type { Json, JsonObject } from '../../core/model/json.ts'
import type { Manifest } from '../../core/model/object.ts'
import { agendaKey, conditionsOf, POD, put, specOf, statusOf, type Behaviour, type Desk } from './desk.ts'
import { programOf } from './program.ts'

const CRASH_BACKOFF_MS = [10_000, 20_000, 40_000, 80_000, 160_000, 300_000]

/** `registry/team/app:broken` does not exist, `:crashloop` crashes, `:unready` never gets ready, `:fail` ends with an error. */
export function behaviourOfTag(image: string): Behaviour {
  const tag = image.slice(image.lastIndexOf(':') + 1)
  if (tag.includes('broken')) return 'image-missing'
  if (tag.includes('crashloop')) return 'crash'
  if (tag.includes('unready')) return 'never-ready'
  return tag.includes('fail') ? 'fail' : 'run'
}

type Stage = 'bound' | 'starting' | 'running' | 'ready' | 'crashed' | 'missing' | 'ended'

/** What the kubelet does with each pod, stage by stage; stages are read from the status, so that nothing is kept but due times. */
export class Kubelet {
  readonly #due = new Map<string, { readonly stage: Stage | 'stopping'; readonly atMs: number }>()

  reconcile(desk: Desk, pod: Manifest): void {
    if (specOf(pod)['nodeName'] === undefined) return
    const terminating = pod.metadata.deletionTimestamp !== undefined
    const stage = terminating ? 'stopping' : stageOf(pod)
    const waitMs = this.#waitMs(desk, pod, stage)
    if (waitMs === undefined || waitMs === Infinity) return
    const uid = pod.metadata.uid as string
    const known = this.#due.get(uid)
    if (known?.stage !== stage) {
      this.#due.set(uid, { stage, atMs: desk.monotonicMs() + waitMs })
      return desk.later(agendaKey(POD, pod), waitMs)
    }
    const leftMs = known.atMs - desk.monotonicMs()
    if (leftMs > 0) return desk.later(agendaKey(POD, pod), leftMs)
    this.#due.delete(uid)
    if (stage === 'stopping') desk.server.finishPod(pod)
    else advance(desk, pod, stage)
  }

  forget(uid: string): void {
    this.#due.delete(uid)
  }

  #waitMs(desk: Desk, pod: Manifest, stage: Stage | 'stopping'): number | undefined {
    const { delays } = desk
    const behaviour = behaviourOf(desk, pod)
    switch (stage) {
      case 'bound':
        return delays.reactMs
      case 'starting':
        return delays.startMs
      case 'running':
        if (isJobLike(pod)) return Math.min(runMs(desk, pod), isSlow(desk, pod) ? delays.readyMs : Infinity)
        if (behaviour === 'never-ready') return undefined
        return behaviour === 'crash' && delays.readyMs > delays.crashMs ? delays.crashMs : delays.readyMs
      case 'ready':
        if (isJobLike(pod)) return runMs(desk, pod) - delays.readyMs
        return behaviour === 'crash' ? delays.crashMs : undefined
      case 'crashed':
        return CRASH_BACKOFF_MS[Math.min(restartsOf(pod), CRASH_BACKOFF_MS.length) - 1] ?? CRASH_BACKOFF_MS[0]
      case 'stopping':
        return Math.min(delays.stopMs, Number(pod.metadata['deletionGracePeriodSeconds'] ?? 0) * 1000)
      default:
        return undefined
    }
  }
}

function behaviourOf(desk: Desk, pod: Manifest): Behaviour {
  const images = ((specOf(pod)['containers'] ?? []) as readonly JsonObject[]).map((one) => one['image'] as string)
  return images.map((image) => desk.options.behaviour(image, pod)).find((one) => one !== 'run') ?? 'run'
}

function isJobLike(pod: Manifest): boolean {
  return specOf(pod)['restartPolicy'] !== 'Always'
}

/** Of a pod that ends by itself; Infinity: until it is stopped. */
function runMs(desk: Desk, pod: Manifest): number {
  return saidMs(desk, pod) ?? desk.delays.jobMs
}

function saidMs({ options }: Desk, pod: Manifest): number | undefined {
  return programOf(pod).runMs ?? options.runMs?.(pod)
}

/** Somebody said how long it runs, and it is long enough to be ready before it ends. */
function isSlow(desk: Desk, pod: Manifest): boolean {
  return behaviourOf(desk, pod) !== 'never-ready' && (saidMs(desk, pod) ?? 0) > desk.delays.readyMs
}

function restartsOf(pod: Manifest): number {
  const containers = (statusOf(pod)['containerStatuses'] ?? []) as readonly JsonObject[]
  return Math.max(0, ...containers.map((one) => Number(one['restartCount'] ?? 0)))
}

function stageOf(pod: Manifest): Stage {
  const status = statusOf(pod)
  if (status['phase'] === 'Succeeded' || status['phase'] === 'Failed') return 'ended'
  if (status['startTime'] === undefined) return 'bound'
  const waiting = ((status['containerStatuses'] ?? []) as readonly JsonObject[]).map(
    (one) => ((one['state'] as JsonObject)['waiting'] as JsonObject | undefined)?.['reason'],
  )
  if (waiting.includes('ContainerCreating')) return 'starting'
  if (waiting.includes('CrashLoopBackOff')) return 'crashed'
  if (waiting.includes('ImagePullBackOff')) return 'missing'
  return conditionsOf(pod).some((one) => one['type'] === 'Ready' && one['status'] === 'True') ? 'ready' : 'running'
}

function advance(desk: Desk, pod: Manifest, stage: Stage): void {
  const behaviour = behaviourOf(desk, pod)
  if (stage === 'bound') return show(desk, pod, 'Pending', { waiting: { reason: 'ContainerCreating' } }, 'False')
  if (stage === 'starting' && behaviour === 'image-missing') {
    const image = ((specOf(pod)['containers'] as readonly JsonObject[])[0] as JsonObject)['image'] as string
    return show(
      desk,
      pod,
      'Pending',
      {
        waiting: { reason: 'ImagePullBackOff', message: `Back-off pulling image "${image}": ErrImagePull: not found` },
      },
      'False',
    )
  }
  if (stage === 'starting' || stage === 'crashed')
    return show(desk, pod, 'Running', { running: { startedAt: desk.server.now() } }, 'False')
  if (isJobLike(pod) && (stage === 'ready' || (stage === 'running' && !isSlow(desk, pod)))) {
    const exitCode = behaviour === 'fail' || behaviour === 'crash' ? 1 : programOf(pod).exitCode
    const failed = exitCode !== 0
    const terminated = { exitCode, reason: failed ? 'Error' : 'Completed', finishedAt: desk.server.now() }
    return show(desk, pod, failed ? 'Failed' : 'Succeeded', { terminated }, 'False')
  }
  if (stage === 'ready' && behaviour === 'crash') {
    const waiting = {
      reason: 'CrashLoopBackOff',
      message: `back-off restarting failed container of pod ${pod.metadata.name}`,
    }
    return show(desk, pod, 'Running', { waiting }, 'False', restartsOf(pod) + 1)
  }
  if (stage === 'running') show(desk, pod, 'Running', { running: { startedAt: desk.server.now() } }, 'True')
}

function show(
  desk: Desk,
  pod: Manifest,
  phase: string,
  state: JsonObject,
  ready: 'True' | 'False',
  restarts = restartsOf(pod),
): void {
  const at = desk.server.now()
  const status = statusOf(pod)
  const started = state['running'] !== undefined
  const containerStatuses = ((specOf(pod)['containers'] ?? []) as readonly JsonObject[]).map((container) => ({
    name: container['name'] as string,
    image: container['image'] as string,
    ready: ready === 'True',
    started,
    restartCount: restarts,
    state,
  }))
  const ended = phase === 'Succeeded' ? { reason: 'PodCompleted' } : {}
  const notReady =
    ready === 'False' && phase !== 'Succeeded'
      ? { reason: 'ContainersNotReady', message: 'containers with unready status' }
      : ended
  const conditions = [
    { type: 'PodReadyToStartContainers', status: 'True' },
    { type: 'Initialized', status: 'True' },
    { type: 'Ready', status: ready, ...notReady },
    { type: 'ContainersReady', status: ready, ...notReady },
    { type: 'PodScheduled', status: 'True' },
  ].map((next) => {
    const before = conditionsOf(pod).find((one) => one['type'] === next.type)
    const same = before?.['status'] === next.status
    return { ...next, lastTransitionTime: same ? (before['lastTransitionTime'] as Json) : at }
  })
  put(desk, {
    ...pod,
    status: {
      ...status,
      phase,
      observedGeneration: pod.metadata.generation ?? 1,
      startTime: status['startTime'] ?? at,
      conditions,
      containerStatuses,
      ...(started ? { podIP: podIp(pod), hostIP: '10.0.0.1' } : {}),
    },
  })
}

function podIp(pod: Manifest): string {
  const uid = pod.metadata.uid ?? '0000'
  return `10.244.${Number.parseInt(uid.slice(0, 2), 16)}.${Number.parseInt(uid.slice(2, 4), 16)}`
}
