/** Lets raw connections through to TLS at a bounded rate, the rest wait in line: a fleet that comes back at once costs a steady load. */
import type { Socket } from 'node:net'

export interface HandshakeGate {
  enter(socket: Socket, start: () => void): void
  close(): void
}

export interface GateLimits {
  readonly perSecond: number
  /** Sockets that may wait; one more is hung up on. */
  readonly line: number
}

const TICK_MS = 20

/** `nowMs` is monotonic. */
export function handshakeGate(limits: GateLimits, nowMs: () => number): HandshakeGate {
  const line: { readonly socket: Socket; readonly start: () => void }[] = []
  const burst = Math.max(1, limits.perSecond / 2)
  let tokens = burst
  let filledAtMs = nowMs()
  let timer: NodeJS.Timeout | undefined

  const take = (): boolean => {
    const now = nowMs()
    tokens = Math.min(burst, tokens + ((now - filledAtMs) * limits.perSecond) / 1000)
    filledAtMs = now
    if (tokens < 1) return false
    tokens--
    return true
  }
  const advance = (): void => {
    timer = undefined
    while (line.length > 0 && (line[0]!.socket.destroyed || take())) {
      const next = line.shift()!
      if (!next.socket.destroyed) next.start()
    }
    if (line.length > 0) timer = setTimeout(advance, TICK_MS)
  }
  return {
    enter(socket, start) {
      if (line.length === 0 && take()) return start()
      if (line.length >= limits.line) {
        socket.resetAndDestroy()
        return
      }
      socket.on('error', () => socket.destroy())
      line.push({ socket, start })
      timer ??= setTimeout(advance, TICK_MS)
    },
    close() {
      clearTimeout(timer)
      for (const { socket } of line.splice(0)) socket.destroy()
    },
  }
}
