/** Load balancers get an address, claims a volume. */
import type { JsonObject } from '../../core/model/json.ts'
import type { Manifest } from '../../core/model/object.ts'
import { POD, put, specOf, statusOf, type Desk } from './desk.ts'

const CLAIM_FINALIZER = 'kubernetes.io/pvc-protection'

export function reconcileService(desk: Desk, service: Manifest): void {
  if (specOf(service)['type'] !== 'LoadBalancer' || service.metadata.deletionTimestamp !== undefined) return
  const loadBalancer = (statusOf(service)['loadBalancer'] ?? {}) as JsonObject
  if (loadBalancer['ingress'] !== undefined) return
  const octets = (specOf(service)['clusterIP'] as string).split('.').slice(2).join('.')
  put(desk, {
    ...service,
    status: { ...statusOf(service), loadBalancer: { ingress: [{ ip: `192.0.${octets}`, ipMode: 'VIP' }] } },
  })
}

export function reconcileClaim(desk: Desk, claim: Manifest): void {
  const { name, namespace = '', deletionTimestamp, finalizers = [] } = claim.metadata
  if (deletionTimestamp !== undefined) {
    if (!finalizers.includes(CLAIM_FINALIZER) || inUse(desk, namespace, name)) return
    return desk.server.removeFinalizer(desk.server.kinds.resolve(claim), claim, CLAIM_FINALIZER)
  }
  if (statusOf(claim)['phase'] === 'Bound') return
  const resources = (specOf(claim)['resources'] ?? {}) as JsonObject
  put(desk, {
    ...claim,
    spec: { ...specOf(claim), volumeName: `pvc-${claim.metadata.uid ?? ''}` },
    status: {
      phase: 'Bound',
      accessModes: specOf(claim)['accessModes'],
      capacity: (resources['requests'] ?? {}) as JsonObject,
    },
  })
}

function inUse(desk: Desk, namespace: string, name: string): boolean {
  return desk.server.storage
    .all(POD, namespace)
    .some((pod) =>
      ((specOf(pod)['volumes'] ?? []) as readonly JsonObject[]).some(
        (volume) => ((volume['persistentVolumeClaim'] ?? {}) as JsonObject)['claimName'] === name,
      ),
    )
}
