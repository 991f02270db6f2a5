/** The agent at this box, for its commands: the one that runs, or what its store says where none does. */
import { existsSync } from 'node:fs'
import path from 'node:path'
import { createBoxClient } from '../adapters/http/box-client.ts'
import { openAgentStore } from '../adapters/store/agent-store.ts'
import { takeStoreLock } from '../adapters/store/store-lock.ts'
import { createDesk } from '../agent/box/desk.ts'
import { createBoxWords } from '../agent/box/words.ts'
import { createHubClock } from '../agent/hub-time.ts'
import { createLibrary } from '../agent/library.ts'
import { newestManifest } from '../agent/newest.ts'
import { createOutbox } from '../agent/outbox.ts'
import type { BoxPort } from '../cli/ports.ts'
import { asFault, Fault } from '../core/model/fault.ts'
import { systemClock } from '../runtime/clock.ts'
import { thisMachine } from './agent.ts'

/** Faults NotFound, Unreachable, and those of the store. */
export async function openBox(data: string): Promise<BoxPort> {
  const dir = path.resolve(data)
  if (!existsSync(path.join(dir, 'agent.db')))
    throw new Fault('NotFound', `no agent keeps its store in ${dir}: give --data`)
  const client = createBoxClient(dir)
  try {
    await client.view()
    return { ...client, async [Symbol.asyncDispose]() {} }
  } catch (error) {
    const fault = asFault(error)
    if (fault.reason !== 'Unreachable') throw fault
  }
  const lock = takeStoreLock(dir)
  if (lock === undefined) throw new Fault('Unreachable', 'an agent has this store and does not answer: look at its log')
  return overStore(dir, () => lock.release())
}

/** What is said here is kept, and counts from the agent's next start. */
function overStore(dir: string, end: () => void): BoxPort {
  const store = openAgentStore(dir)
  const machine = thisMachine()
  const ports = { store, clock: systemClock, machine }
  const hubClock = createHubClock(store, machine)
  const desk = createDesk({
    store,
    clock: systemClock,
    words: createBoxWords(ports, createOutbox(store), () => hubClock.now()),
    library: createLibrary(store),
    agent: () => ({ state: 'stopped', version: null, confirmed: false, because: 'no agent runs on this store' }),
    current: () => newestManifest(store, undefined),
    observations: () => new Map(),
    conditions: () => [],
    mode: () => newestManifest(store, undefined)?.manifest.mode ?? 'enforce',
    lastExchangeMs: () => null,
    ring: () => undefined,
  })
  return {
    view: async () => desk.view(),
    why: async (subject) => desk.why(subject),
    say: async (word) => desk.say(word),
    async [Symbol.asyncDispose]() {
      store.close()
      end()
    },
  }
}
