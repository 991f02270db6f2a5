import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openAgentStore } from '../../../src/adapters/store/agent-store.ts'
import { BODY, sealed } from './fixed.ts'

test('the content floor is on the disk in two places: either alone is enough', () => {
  for (const lost of ['agent.db', 'floor']) {
    const dir = mkdtempSync(join(tmpdir(), 'flotilla-floor-'))
    const { generation } = BODY
    const store = openAgentStore(dir)
    const body = `sha256:${'1'.repeat(64)}` as const
    store.accept({ envelope: sealed(BODY), generation, body, acceptedAtMs: 1, content: { 'pos/till': 12 } })
    store.close()
    for (const suffix of ['', '-wal', '-shm']) rmSync(join(dir, lost + suffix), { force: true })
    const again = openAgentStore(dir)
    expect(again.floor()).toEqual({ generation, body, content: { 'pos/till': 12 } })
    again.close()
    rmSync(dir, { recursive: true })
  }
})
