/** What must arrive: kept until the hub says that it has it, sent again until then, and not once more after. */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openAgentStore } from '../../../src/adapters/store/agent-store.ts'
import { createOutbox, type Outbox } from '../../../src/agent/outbox.ts'
import type { AgentStore } from '../../../src/agent/ports.ts'

let dir: string
let store: AgentStore
let outbox: Outbox
beforeEach(() => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'flotilla-outbox-'))
  store = openAgentStore(dir)
  outbox = createOutbox(store)
})
afterEach(() => {
  store.close()
  fs.rmSync(dir, { recursive: true, force: true })
})
/** As after SIGKILL: what is on the disk. */
const restart = (): void => {
  store.close()
  store = openAgentStore(dir)
  outbox = createOutbox(store)
}
const say = (...names: readonly string[]): void => {
  for (const name of names) outbox.put('result', 0, { name })
}
const sent = (): readonly (readonly [number, unknown])[] =>
  outbox.next(new Map()).items.map(({ seq, body }) => [seq, body['name']] as const)

describe.each([
  ['as it runs', (): void => undefined],
  ['over a restart after each step', restart],
])('results, %s', (_name, between) => {
  test('are sent again, under the same numbers, until they are acknowledged', () => {
    say('a', 'b')
    between()
    expect(sent()).toEqual([[1, 'a'], [2, 'b']]) // prettier-ignore
    between()
    expect(sent()).toEqual([[1, 'a'], [2, 'b']]) // prettier-ignore
    outbox.acknowledged(1, 1)
    between()
    expect(sent()).toEqual([[2, 'b']])
    outbox.acknowledged(2, 2)
    between()
    expect(sent()).toEqual([])
  })

  test('that were made while an answer was on its way wait for their own', () => {
    say('a')
    expect(sent()).toEqual([[1, 'a']])
    say('b', 'c')
    outbox.acknowledged(1, 1)
    between()
    expect(sent()).toEqual([[2, 'b'], [3, 'c']]) // prettier-ignore
    expect(outbox.hasNews(new Map())).toBe(true)
  })

  test('never take the number of one that the hub has', () => {
    say('a', 'b')
    outbox.acknowledged(1, 2)
    between()
    say('c')
    expect(sent()).toEqual([[3, 'c']])
  })

  test('an acknowledgement that comes late, or twice, takes nothing', () => {
    say('a', 'b')
    sent()
    outbox.acknowledged(1, 2)
    say('c')
    between()
    outbox.acknowledged(1, 1)
    outbox.acknowledged(1, 2)
    expect(sent()).toEqual([[3, 'c']])
  })
})
