/** Why a pod waits, in words for `kubectl describe pod` and for the one who asks why. Kubernetes' own where it has some. */
import { formatQuantity } from '../../core/kube/quantity.ts'
import type { ClassReason, UnblockEvent, Waiting } from '../../core/scheduler/types.ts'

/** So many reasons are named; the API server cuts an event's message at 1,024 bytes. */
const MOST_REASONS = 8

export function wordsOf(waiting: Waiting, nodes: number): string {
  const notes = waiting.notes === undefined ? '' : ` Note: ${waiting.notes.join('; ')}.`
  return `${reasonOf(waiting, nodes)}${notes}`
}

function reasonOf(waiting: Waiting, nodes: number): string {
  switch (waiting.kind) {
    case 'nodes':
      return `${available(waiting, nodes)}.${nearest(waiting.classReasons)}${shareOf(waiting)}`
    case 'gang':
      return waiting.classReasons.length === 0
        ? `${waiting.message}.`
        : `${waiting.message}: ${available(waiting, nodes)}.${nearest(waiting.classReasons)}${shareOf(waiting)}`
    case 'queue':
      return `${queueWords(waiting)}.`
    case 'reservation':
      return `Room is reserved${startOf(waiting.next)}. ${available(waiting, nodes)}.`
    default:
      return `${waiting.message}.`
  }
}

function available({ classReasons }: Waiting, nodes: number): string {
  if (nodes === 0) return 'no nodes available to schedule pods'
  const named = classReasons.slice(0, MOST_REASONS).map(({ nodes: count, reason }) => `${count} ${reason}`)
  const more = classReasons.length - named.length
  const list = [...named, ...(more > 0 ? [`${more} more reasons`] : [])].join(', ')
  return `0/${nodes} nodes are available${list === '' ? '' : `: ${list}`}`
}

/** How little is missing, on the node that is nearest. */
function nearest(reasons: readonly ClassReason[]): string {
  const short = reasons.flatMap(({ shortfall }) => (shortfall === undefined ? [] : [shortfall]))
  if (short.length === 0) return ''
  const parts = short
    .slice(0, MOST_REASONS)
    .map(({ resource, amount, node }) => `${node} lacks ${amountOf(resource, amount)} ${resource}`)
  return ` Nearest: ${parts.join(', ')}.`
}

/** Whether its queue may take back from others, and why it does not. */
function shareOf({ share }: Waiting): string {
  if (share === undefined) return ''
  const { name, resource, used, deserved, asked } = share
  const part = ` Queue ${name} has ${amountOf(resource, used)} of the ${amountOf(resource, deserved)} ${resource} it deserves`
  return used + asked > deserved
    ? `${part}: with this it would have more, and takes nothing from other queues.`
    : `${part}: nobody who could make room holds more than its own queue deserves, or may be asked to leave.`
}

function queueWords({ message, queue }: Waiting): string {
  if (queue === undefined) return message
  const { name, resource, used, limit, asked } = queue
  const say = (amount: number): string => amountOf(resource, amount)
  return `queue ${name} has ${say(used)} of ${say(limit)} ${resource} in use, ${say(asked)} more asked for`
}

function amountOf(resource: string, amount: number): string {
  if (resource === 'memory' || resource === 'ephemeral-storage' || resource.startsWith('hugepages-'))
    return formatQuantity(BigInt(Math.ceil(amount)) * 1_000_000_000n, 'BinarySI')
  return resource === 'pods' ? String(amount) : formatQuantity(BigInt(Math.ceil(amount)) * 1_000_000n, 'DecimalSI')
}

function startOf(next: UnblockEvent): string {
  if (next.on !== 'reservation') return ''
  return `: it starts by ${new Date(next.atMs).toISOString().replace(/\.\d+Z$/, 'Z')} at the latest`
}
