import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openHubStore } from '../../../src/adapters/store/hub-store.ts'
import { digestBytes } from '../../../src/core/model/digest.ts'
import type { RolloutState, SiteProgress } from '../../../src/core/rollout/types.ts'
import type { HubChange, RolloutRecord } from '../../../src/hub/store.ts'

const [OLD, NEW] = [digestBytes('release', 'old'), digestBytes('release', 'new')]
const SITES = Array.from({ length: 40 }, (_, i) => `site-${String(i).padStart(2, '0')}`)

function record(place: (i: number) => SiteProgress): RolloutRecord {
  const state: RolloutState = {
    id: digestBytes('rollout', 'till'),
    phase: 'Progressing',
    waves: [{ name: 'all', policyWave: 0, state: 'active' }],
    sites: new Map(SITES.map((site, i) => [site, place(i)])),
    approvals: {},
    established: true,
  }
  const spec = {
    workload: 'till',
    id: state.id,
    revision: 'r',
    createdAtMs: 1,
    priority: 0,
    policy: { name: 'p' },
    targets: new Map(SITES.map((site) => [site, NEW])),
    dependsOn: [],
    confirm: null,
    team: null,
  }
  return { spec, state, next: null } as unknown as RolloutRecord
}

const granted: SiteProgress = { wave: 0, phase: 'granted', from: OLD, grantedAtMs: 7 }
const changing: SiteProgress = { ...granted, phase: 'changing', begunAtMs: 9 }
const done: SiteProgress = { ...changing, phase: 'done' }

test('places that were written together, moved one by one and written together again are read as they were last', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'flotilla-rollouts-'))
  const file = join(dir, 'hub.db')
  const read = async (): Promise<readonly RolloutRecord[]> => {
    const store = await openHubStore({ file, durability: 'process' })
    const { rollouts } = await store.load()
    await store.close()
    return rollouts
  }
  const write = async (rollout: NonNullable<HubChange['rollouts']>[number]): Promise<void> => {
    const store = await openHubStore({ file, durability: 'process' })
    await store.commit({ rollouts: [rollout] })
    await store.close()
  }
  try {
    const told = record((i) => (i % 3 === 0 ? { wave: 0, phase: 'unchanged', from: NEW } : granted))
    await write({ record: told, whole: true, sites: new Map() })
    expect(await read()).toEqual([told])
    const begun = record((i) => (i === 5 ? changing : (told.state!.sites.get(SITES[i]!) as SiteProgress)))
    await write({ record: begun, whole: false, sites: new Map([[SITES[5]!, changing]]) })
    expect(await read()).toEqual([begun])
    // What moved one by one before is no more than what stands in the whole.
    const through = record(() => done)
    await write({ record: through, whole: true, sites: new Map() })
    expect(await read()).toEqual([through])
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
})
