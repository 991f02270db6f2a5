/** Which version of the agent has proved itself on this store, and which were given it and did not: kept with the store. */
import type { HandoverAnswer } from '../core/api/box.ts'
import { isObject, type JsonObject } from '../core/model/json.ts'
import { createOutbox } from './outbox.ts'
import type { AgentStore } from './ports.ts'

const NOTE = 'versions'
/** An outage of the hub may have been why: once more, and then never. */
const MOST_TRIES = 2

export interface Versions {
  /** Made a turn and reached the hub here; null: from before anybody kept it. */
  readonly confirmed: string | null
  readonly refused: Readonly<Record<string, { readonly tries: number; readonly because: string }>>
}

export function versionsOf(store: Pick<AgentStore, 'note'>): Versions {
  const note = store.note(NOTE) ?? {}
  const { confirmed, refused } = note
  return {
    confirmed: typeof confirmed === 'string' ? confirmed : null,
    refused: isObject(refused) ? (refused as unknown as Versions['refused']) : {},
  }
}

/** The way back to the version before ends here. */
export function confirmVersion(store: AgentStore, version: string): void {
  const { confirmed, refused } = versionsOf(store)
  if (confirmed === version) return
  const { [version]: _again, ...others } = refused
  store.write({ notes: new Map([[NOTE, { confirmed: version, refused: others } as unknown as JsonObject]]) })
  store.confirmFormat()
}

/** It had the store and gave it back, or lost it. The hub is told. */
export function refuseVersion(store: AgentStore, version: string, because: string, nowMs: number): void {
  const { confirmed, refused } = versionsOf(store)
  const tries = (refused[version]?.tries ?? 0) + 1
  const note = { confirmed, refused: { ...refused, [version]: { tries, because } } } as unknown as JsonObject
  createOutbox(store).put(
    'audit',
    nowMs,
    { kind: 'upgrade', reason: 'RevertedUnconfirmed', version, because, tries },
    {
      notes: new Map([[NOTE, note]]),
    },
  )
}

/** May this version have the store of the one that runs? */
export function answerHandover(asking: string, running: string, { confirmed, refused }: Versions): HandoverAnswer {
  const before = refused[asking]
  if (before !== undefined && before.tries >= MOST_TRIES)
    return { granted: false, because: `${asking} was tried ${before.tries} times: ${before.because}` }
  // Two that are both unproven would take turns; the one that proved itself may always have its store back.
  if (confirmed !== running && confirmed !== asking)
    return { granted: false, because: `${running} has not proved itself yet` }
  return { granted: true, because: `${running} steps back and stands by` }
}
