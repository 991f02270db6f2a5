/** The batch room of the agent that runs on a store, for commands at its box. */
import path from 'node:path'
import { createBoxClient } from '../adapters/http/box-client.ts'
import type { BatchPort } from '../cli/ports.ts'

/** Faults Unreachable where no agent runs there, and what it says. */
export async function openBatch(data: string): Promise<BatchPort> {
  const client = createBoxClient(path.resolve(data))
  return {
    ask: (ask) => client.batch(ask),
    askSite: (verb, args) => client.ask(verb, args),
    async [Symbol.asyncDispose]() {},
  }
}
