/** What a command in a container says, over the channels of a WebSocket: a byte for the channel, then what was written. */
import { Fault } from '../../core/model/fault.ts'
import type { ExecResult } from '../../core/kube/cluster.ts'
import { isObject, type Json } from '../../core/model/json.ts'

/** Every server that is maintained speaks it. */
export const EXEC_PROTOCOL = 'v4.channel.k8s.io'
const STDOUT = 1
const STDERR = 2
const STATUS = 3

/** As undici and browsers have it. */
export interface ExecSocket {
  binaryType: string
  addEventListener(type: 'message', listen: (event: { readonly data: unknown }) => void): void
  addEventListener(type: 'open' | 'close' | 'error', listen: () => void): void
  close(): void
}

export type Ended = { readonly opened: 'no' } | { readonly opened: 'yes'; readonly result: ExecResult }

/**
 * Until the command has ended; of what it writes the first `maxBytes` are kept. `opened` no: the server refused, and does not say
 * here why. Faults: OutcomeUnknown where the connection ends before the command, and the signal's reason.
 */
export function execOver(socket: ExecSocket, maxBytes: number, signal: AbortSignal): Promise<Ended> {
  const said: Record<typeof STDOUT | typeof STDERR, Buffer[]> = { [STDOUT]: [], [STDERR]: [] }
  const ended = Promise.withResolvers<Ended>()
  let opened = false
  let left = maxBytes
  let cutBytes = 0
  let status: Buffer = Buffer.alloc(0)

  const take = (channel: typeof STDOUT | typeof STDERR, bytes: Buffer): void => {
    const kept = bytes.subarray(0, left)
    left -= kept.length
    cutBytes += bytes.length - kept.length
    if (kept.length > 0) said[channel].push(kept)
  }
  socket.binaryType = 'arraybuffer'
  socket.addEventListener('open', () => (opened = true))
  socket.addEventListener('message', ({ data }) => {
    const bytes = Buffer.from(data as ArrayBuffer)
    const channel = bytes[0]
    if (channel === STDOUT || channel === STDERR) take(channel, bytes.subarray(1))
    else if (channel === STATUS) status = Buffer.concat([status, bytes.subarray(1)])
  })
  const over = (): void => {
    if (!opened) return ended.resolve({ opened: 'no' })
    const exitCode = exitCodeOf(status)
    if (exitCode instanceof Fault) return ended.reject(exitCode)
    const text = (channel: typeof STDOUT | typeof STDERR): string => Buffer.concat(said[channel]).toString('utf8')
    ended.resolve({ opened: 'yes', result: { stdout: text(STDOUT), stderr: text(STDERR), exitCode, cutBytes } })
  }
  socket.addEventListener('close', over)
  socket.addEventListener('error', over)
  const abort = (): void => {
    ended.reject(signal.reason)
    socket.close()
  }
  signal.addEventListener('abort', abort, { once: true })
  return ended.promise.finally(() => signal.removeEventListener('abort', abort))
}

/** A Status: Success, or a Failure whose cause is the exit code. */
function exitCodeOf(text: Buffer): number | Fault {
  let status: Json
  try {
    status = JSON.parse(text.toString('utf8')) as Json
  } catch (cause) {
    return new Fault('OutcomeUnknown', 'the connection ended before the command did', { cause })
  }
  if (!isObject(status) || status['status'] === 'Success') return 0
  const details = isObject(status['details']) ? status['details'] : {}
  const causes = Array.isArray(details['causes']) ? (details['causes'] as readonly Json[]) : []
  const code = causes.find((cause) => isObject(cause) && cause['reason'] === 'ExitCode')
  if (isObject(code)) return Number(code['message'])
  const message = typeof status['message'] === 'string' ? status['message'] : 'the command could not be run'
  return new Fault('Rejected', message)
}
