/**
 * The site's store: one SQLite file, and beside it the sole copies as files of their own. A damaged database is set aside and
 * rebuilt from what is still readable; what is lost is named in `opened.rebuilt`, and the agent gets it back from hub and cluster.
 */
import { randomUUID } from 'node:crypto'
import { copyFileSync, existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import type { AgentStore, SiteIdentity, StoredManifest, StoreWrite, WorkloadRecord } from '../../agent/ports.ts'
import { digestBytes, isDigest } from '../../core/model/digest.ts'
import { Fault, type FaultReason } from '../../core/model/fault.ts'
import type { JsonObject } from '../../core/model/json.ts'
import { compareGenerations } from '../../core/model/observation.ts'
import type { BlobDomain } from '../../core/model/release.ts'
import type { Floor } from '../../core/protocol/accept.ts'
import type { OutboxItem } from '../../core/protocol/messages.ts'
import type { HubTime } from '../../core/protocol/time.ts'
import { openHead } from './agent-head.ts'
import { onFiles, summedFile, summedMemory, type SummedFile } from './agent-files.ts'
import { GROUPS, openOrRebuild } from './agent-rebuild.ts'
import { decode, encode, identityBody, identityFrom, manifestBody, manifestFrom } from './agent-records.ts'
import { reserveAt, type Reserve } from './agent-reserve.ts'
import { copyAgentRows, openAgentRows, type AgentRows, type RowChange } from './agent-rows.ts'

type Inventory = ReturnType<AgentStore['inventory']>
type InventoryEntry = Inventory extends ReadonlyMap<string, infer Entry> ? Entry : never

/** The current manifest and the one before. */
const KEPT_MANIFESTS = 2
const DOMAINS: readonly BlobDomain[] = ['object', 'sealed', 'release', 'config', 'deletions']

/** `dir`: a folder of the store's own, made where it is not there; `:memory:` keeps nothing. `format`: the newest to know, else this code's. Faults as AgentStore. */
export function openAgentStore(dir: string, format?: number): AgentStore {
  if (dir === ':memory:') return storeOf(openAgentRows(':memory:', format), summedMemory(), summedMemory(), [])
  onFiles(() => mkdirSync(dir, { recursive: true, mode: 0o700 }))
  const file = join(dir, 'agent.db')
  const head = openHead(join(dir, 'head'))
  const reserve = reserveAt(join(dir, 'reserve'))
  const { rows, rebuilt } = withReserve(reserve, NO_ROOM, () => openOrRebuild(file, head, format))
  const floor = summedFile(join(dir, 'floor'))
  // A floor is written after the database: where only the floor is left, the database was lost whole.
  const lost = rebuilt.length === 0 && !rows.has('meta', 'floor') && readFloor(floor) !== undefined
  reserve.keep()
  const store = storeOf(rows, summedFile(join(dir, 'identity')), floor, lost ? GROUPS : rebuilt)
  return {
    ...store,
    // A word to the hub needs a small fact at times: it is not kept from speaking by what filled the disk.
    write: (write, outlives) =>
      withReserve(isSmall(write) ? reserve : undefined, FULL, () => store.write(write, outlives)),
    close: () => {
      store.close()
      head.close()
    },
  }
}

const FULL: ReadonlySet<FaultReason> = new Set(['StoreFull'])
/** SQLite does not say of every file that it cannot make why. */
const NO_ROOM: ReadonlySet<FaultReason> = new Set(['StoreFull', 'StoreFailed'])

/** Once more with the reserve given up, where that may help. The reserve is taken again when a store is opened with room. */
function withReserve<T>(reserve: Reserve | undefined, reasons: ReadonlySet<FaultReason>, work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (!(error instanceof Fault) || !reasons.has(error.reason) || reserve?.spend() !== true) throw error
    return work()
  }
}

function isSmall({ inventory, workloads, batch, outbox }: StoreWrite): boolean {
  return [inventory, workloads, batch, outbox].every((it) => it === undefined)
}

/** What another process has open, as it is now, for one that only wants to look. Faults as AgentStore. */
export function copyAgentStore(from: string, to: string): void {
  onFiles(() => {
    rmSync(to, { recursive: true, force: true })
    mkdirSync(to, { recursive: true, mode: 0o700 })
    for (const name of ['identity', 'floor'])
      if (existsSync(join(from, name))) copyFileSync(join(from, name), join(to, name))
  })
  copyAgentRows(join(from, 'agent.db'), join(to, 'agent.db'))
}

function storeOf(rows: AgentRows, identity: SummedFile, floorFile: SummedFile, rebuilt: readonly string[]): AgentStore {
  const storeEpoch = epochOf(rows, rebuilt)
  let manifests: readonly StoredManifest[] | undefined
  let identityHeld: SiteIdentity | undefined
  let inventory: Map<string, InventoryEntry> | undefined
  /** Somebody holds the map: the next change is made in a copy. */
  let lent = true
  let workloads: Map<string, WorkloadRecord> | undefined
  const readAll = <T>(group: string): Map<string, T> =>
    new Map([...rows.read(group).rows].map(([key, value]) => [key, decode(value) as T]))
  const floorOf = (): Floor | null => {
    const stored = rows.get('meta', 'floor')
    return higher(stored === undefined ? undefined : (decode(stored) as Floor), readFloor(floorFile))
  }
  const ahead = floorOf()
  /** Not in the file yet: nothing else is written before it is. */
  let owed =
    ahead !== null && !isDeepStrictEqual(readFloor(floorFile)?.generation, ahead.generation) ? ahead : undefined
  const raise = (): void => {
    if (owed === undefined) return
    floorFile.write(owed as unknown as JsonObject)
    owed = undefined
  }
  const identityOf = (): SiteIdentity | null => {
    const body = identityHeld === undefined ? identity.read() : undefined
    if (body !== undefined) identityHeld = identityFrom(body)
    return identityHeld ?? null
  }
  const saveIdentity = (it: SiteIdentity): void => {
    identity.write(identityBody(it))
    identityHeld = it
    if (it.floor === undefined || higher(it.floor, floorOf() ?? undefined) !== it.floor) return
    rows.write([{ group: 'meta', key: 'floor', value: encode(it.floor) }])
    floorFile.write(it.floor as unknown as JsonObject)
  }
  return {
    storeEpoch,
    opened: { rebuilt },
    confirmFormat: () => rows.confirmFormat(),
    identity: identityOf,
    saveIdentity,
    keys: () => {
      const held = identityOf()
      if (held === null) return null
      return { identity: identityBody(held), floor: floorOf() as unknown as JsonObject }
    },
    restoreKeys: (keys) => {
      const held = identityFrom(keys['identity'] as JsonObject)
      const floor = higher(held.floor, (keys['floor'] ?? undefined) as unknown as Floor | undefined)
      saveIdentity({ ...held, ...(floor === null ? {} : { floor }) })
    },
    floor: floorOf,
    manifests: () =>
      (manifests ??= [...readAll<JsonObject>('manifest').values()].flatMap(manifestFrom).toSorted(newestFirst)),
    accept: (manifest) => {
      const { content } = manifest
      const floor: Floor = {
        generation: manifest.generation,
        body: manifest.body,
        ...(content === undefined ? {} : { content }),
      }
      const key = ({ generation }: Pick<StoredManifest, 'generation'>): string =>
        `${generation.epoch}.${generation.counter}`
      const older = [...readAll<JsonObject>('manifest').values()].flatMap(manifestFrom).toSorted(newestFirst)
      const dropped = older.filter((it) => key(it) !== key(manifest)).slice(KEPT_MANIFESTS - 1)
      manifests = undefined
      rows.write([
        { group: 'manifest', key: key(manifest), value: encode(manifestBody(manifest)) },
        { group: 'meta', key: 'floor', value: encode(floor) },
        ...dropped.map((it) => ({ group: 'manifest', key: key(it), value: null })),
      ])
      owed = floor
      try {
        raise()
      } catch {
        // The manifest counts from here on: whoever wants to write the first step of it is told.
      }
    },
    has: (digest) => rows.has('blob', digest),
    blob: (domain, digest) => {
      const bytes = rows.get('blob', digest)
      if (bytes !== undefined && digestBytes(domain, bytes) === digest) return bytes
      // Damaged, so it must count as absent, or nobody would fetch it again.
      if (
        rows.has('blob', digest) &&
        !DOMAINS.some((other) => bytes !== undefined && digestBytes(other, bytes) === digest)
      )
        rows.write([{ group: 'blob', key: digest, value: null }])
      return undefined
    },
    putBlobs: (blobs) => rows.write(blobs.map(({ digest, bytes }) => ({ group: 'blob', key: digest, value: bytes }))),
    sweep: (keep) => {
      const gone = rows.keys('blob').filter((key) => !isDigest(key) || !keep.has(key))
      rows.write(gone.map((key) => ({ group: 'blob', key, value: null })))
      return gone.length
    },
    inventory: (): Inventory => {
      lent = true
      return (inventory ??= readAll<InventoryEntry>('inventory'))
    },
    workloads: () => (workloads ??= readAll<WorkloadRecord>('workload')),
    time: () => {
      const value = rows.get('meta', 'time')
      return value === undefined ? null : (decode(value) as HubTime)
    },
    note: (name) => {
      const value = rows.get('note', name)
      return value === undefined ? undefined : (decode(value) as JsonObject)
    },
    batch: () => readAll<JsonObject>('batch'),
    outbox: () => [...readAll<OutboxItem>('outbox').values()].toSorted((a, b) => a.seq - b.seq),
    write: (write, outlives) => {
      raise()
      rows.write(changesOf(write, rows), outlives)
      // Memory follows the disk, never the other way round; readers hold the map they were given.
      if (write.inventory !== undefined && inventory !== undefined) {
        inventory = merged(inventory, write.inventory, lent)
        lent = false
      }
      if (write.workloads !== undefined && workloads !== undefined) workloads = merged(workloads, write.workloads, true)
    },
    close: () => rows.close(),
  }
}

/** A store that lost what it said to the hub is another store. */
function epochOf(rows: AgentRows, rebuilt: readonly string[]): string {
  const known = rows.get('meta', 'epoch')
  if (known !== undefined && !rebuilt.includes('outbox') && !rebuilt.includes('meta')) return decode(known) as string
  const epoch = randomUUID()
  rows.write([{ group: 'meta', key: 'epoch', value: encode(epoch) }])
  return epoch
}

function changesOf(write: StoreWrite, rows: AgentRows): readonly RowChange[] {
  const changes: RowChange[] = []
  const put = (group: string, key: string, value: unknown): void => {
    changes.push({ group, key, value: value === null ? null : encode(value) })
  }
  for (const [key, entry] of write.inventory ?? []) put('inventory', key, entry)
  for (const [key, record] of write.workloads ?? []) put('workload', key, record)
  for (const [key, note] of write.notes ?? []) put('note', key, note)
  for (const [key, row] of write.batch ?? []) put('batch', key, row)
  if (write.time !== undefined) put('meta', 'time', write.time)
  const ack = write.outboxAck
  if (ack !== undefined) for (const key of rows.keys('outbox')) if (Number(key) <= ack) put('outbox', key, null)
  for (const item of write.outbox ?? []) put('outbox', String(item.seq), item)
  return changes
}

function merged<T>(before: Map<string, T>, change: ReadonlyMap<string, T | null>, lent: boolean): Map<string, T> {
  const after = lent ? new Map(before) : before
  for (const [key, value] of change) {
    if (value === null) after.delete(key)
    else after.set(key, value)
  }
  return after
}

/** A damaged file says nothing; the other place does. */
function readFloor(file: SummedFile): Floor | undefined {
  try {
    return file.read() as unknown as Floor | undefined
  } catch (error) {
    if (error instanceof Fault && error.reason === 'StoreCorrupt') return undefined
    throw error
  }
}

function higher(a: Floor | undefined, b: Floor | undefined): Floor | null {
  if (a === undefined || b === undefined) return a ?? b ?? null
  return compareGenerations(a.generation, b.generation) >= 0 ? a : b
}

function newestFirst(a: StoredManifest, b: StoredManifest): number {
  return compareGenerations(b.generation, a.generation)
}
