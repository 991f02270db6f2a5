/** A change of 200 objects over a real TCP link that loses and delays packets: hub and agent in network namespaces, `tunem.py` between. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const TUNEM = fileURLToPath(new URL('../../../../shared/tools/tunem.py', import.meta.url))
const CHILD = fileURLToPath(new URL('child.ts', import.meta.url))
const FIRST_MS = 200_000

export interface Profile {
  /** 0..1, of packets, each way. */
  readonly loss: number
  readonly rttMs: number
}

export const PROFILES: readonly Profile[] = [0, 0.01, 0.1, 0.5].flatMap((loss) =>
  [0, 300, 2_000].map((rttMs) => ({ loss, rttMs })),
)

export interface Converged {
  readonly profile: Profile
  /** From the commit until the hub knows that the site runs it; null: not within the time allowed. */
  readonly ms: number | null
  readonly requests: number
  readonly handshakes: number
  readonly failures: number
  /** On the link, IP headers and repeats included. */
  readonly bytes: { readonly up: number; readonly down: number }
  readonly packets: { readonly sent: number; readonly lost: number }
  /** What was last seen, where it did not converge. */
  readonly evidence: string
}

interface Way {
  readonly packets: number
  readonly bytes: number
  readonly lost: number
}

class Lines {
  readonly child: ChildProcess
  readonly #waiting: ((words: Record<string, unknown>) => void)[] = []
  readonly #said: Record<string, unknown>[] = []
  errors = ''

  constructor(command: readonly string[]) {
    const [program, ...args] = command
    this.child = spawn(program!, args, { stdio: ['pipe', 'pipe', 'pipe'] })
    // Whoever fails first ends the run: no relay outlives it.
    process.once('exit', () => this.child.kill('SIGKILL'))
    this.child.stderr!.on('data', (chunk: Buffer) => (this.errors = `${this.errors}${chunk.toString()}`.slice(-2_000)))
    createInterface({ input: this.child.stdout! }).on('line', (line) => {
      const words = (line.startsWith('{') ? JSON.parse(line) : { line }) as Record<string, unknown>
      const next = this.#waiting.shift()
      if (next === undefined) this.#said.push(words)
      else next(words)
    })
  }

  say(words: string): void {
    this.child.stdin!.write(`${words}\n`)
  }

  /** The next line; undefined after `ms`, or when nobody waits for it any more. */
  async next(ms: number, enough?: AbortSignal): Promise<Record<string, unknown> | undefined> {
    const said = this.#said.shift()
    if (said !== undefined) return said
    const { promise, resolve } = Promise.withResolvers<Record<string, unknown> | undefined>()
    this.#waiting.push(resolve)
    const leave = (): void => {
      this.#waiting.splice(this.#waiting.indexOf(resolve), 1)
      resolve(undefined)
    }
    const timer = setTimeout(leave, ms)
    enough?.addEventListener('abort', leave, { once: true })
    if (enough?.aborted === true) leave()
    const words = await promise
    clearTimeout(timer)
    enough?.removeEventListener('abort', leave)
    return words
  }

  async end(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    const ended = new Promise((resolve) => this.child.once('exit', resolve))
    this.child.kill('SIGTERM')
    await ended
  }
}

/** Root, TUN devices and the relay are needed: says what is missing. */
export function missing(): string | undefined {
  if (process.getuid?.() !== 0) return 'not root'
  if (!fs.existsSync('/dev/net/tun')) return 'no /dev/net/tun'
  if (!fs.existsSync(TUNEM)) return `no ${TUNEM}`
  if (spawnSync('ip', ['netns', 'list']).status !== 0) return 'no `ip netns`'
  return undefined
}

process.setMaxListeners(100)

/** `enough`: nobody waits for this run any more. */
export async function converge(
  profile: Profile,
  seed: number,
  withinMs: number,
  enough?: AbortSignal,
): Promise<Converged> {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'flotilla-tun-'))
  const [a, b] = ['a', 'b'].map((end) => `fl${process.pid}x${seed}${end}`) as [string, string]
  const running: Lines[] = []
  const start = (...command: string[]): Lines => {
    const lines = new Lines(command)
    running.push(lines)
    return lines
  }
  const weather = async (way: object): Promise<Lines> => {
    const lines = start('python3', TUNEM, String(seed), JSON.stringify(way), JSON.stringify(way), a, b)
    if ((await lines.next(10_000))?.['line'] !== 'up') throw new Error(`no link: ${lines.errors}`)
    return lines
  }
  try {
    const clear = await weather({})
    const hub = start('ip', 'netns', 'exec', a, process.execPath, CHILD, 'hub', path.join(dir, 'hub'))
    const line = (await hub.next(FIRST_MS))?.['line'] as string | undefined
    if (line === undefined) throw new Error(`no hub: ${hub.errors}`)
    const agent = start('ip', 'netns', 'exec', b, process.execPath, CHILD, 'agent', path.join(dir, 'agent'), line)
    const first = await hub.next(FIRST_MS)
    if (first === undefined) throw new Error(`never at the first version: ${hub.errors} ${agent.errors}`)
    agent.say('counts')
    const before = (await agent.next(10_000)) ?? {}
    // The link breaks and comes back as bad as it will be: what the agent holds open goes on over it.
    await clear.end()
    const link = await weather({ loss: profile.loss, delay: profile.rttMs / 2, queue: 1_000 })
    const began = performance.now()
    hub.say('commit')
    const done = await hub.next(withinMs, enough)
    const ms = done === undefined ? null : performance.now() - began
    agent.say('counts')
    const after = (await agent.next(10_000)) ?? {}
    if (done === undefined) hub.say('look')
    const last = done ?? (await hub.next(10_000)) ?? {}
    const count = (name: string, of = after, from = before): number => Number(of[name] ?? 0) - Number(from[name] ?? 0)
    link.child.kill('SIGTERM')
    const ways = ((await link.next(10_000)) ?? {}) as unknown as { a_to_b?: Way; b_to_a?: Way }
    const [down, up] = [ways.a_to_b, ways.b_to_a]
    return {
      profile,
      ms,
      requests: count('served', last, first),
      handshakes: count('handshakes', last, first),
      failures: count('failures'),
      bytes: { up: up?.bytes ?? -1, down: down?.bytes ?? -1 },
      packets: {
        sent: (up?.packets ?? 0) + (down?.packets ?? 0) + (up?.lost ?? 0) + (down?.lost ?? 0),
        lost: (up?.lost ?? 0) + (down?.lost ?? 0),
      },
      evidence:
        ms === null ? `agent ${JSON.stringify(after)} hub ${JSON.stringify(last)} ${hub.errors} ${agent.errors}` : '',
    }
  } finally {
    for (const lines of running.toReversed()) await lines.end()
    for (const ns of [a, b]) spawnSync('ip', ['netns', 'del', ns])
    fs.rmSync(dir, { recursive: true, force: true })
  }
}

export function table(all: readonly Converged[]): string {
  const head = '| loss | RTT | seconds | requests | handshakes | failed | KiB up | KiB down | packets | of them lost |'
  const rows = all.map(({ profile, ms, requests, handshakes, failures, bytes, packets }) =>
    [
      `${profile.loss * 100} %`,
      `${profile.rttMs} ms`,
      ms === null ? 'not in time' : (ms / 1_000).toFixed(1),
      requests,
      handshakes,
      failures,
      (bytes.up / 1_024).toFixed(1),
      (bytes.down / 1_024).toFixed(1),
      packets.sent,
      packets.lost,
    ].join(' | '),
  )
  return [head, '|---|---|---|---|---|---|---|---|---|---|', ...rows.map((row) => `| ${row} |`)].join('\n')
}
