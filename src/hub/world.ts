/**
 * What the hub holds in memory, always equal to what its store holds: a change is committed first and folded in after.
 * One writer: exchanges of different sites share a transaction, turns of the loops have one of their own.
 */
import { digestBytes, type Digest } from '../core/model/digest.ts'
import { Fault } from '../core/model/fault.ts'
import { canonicalJson, jsonEqual, type Json, type JsonObject } from '../core/model/json.ts'
import type { SignedStatement } from '../core/protocol/messages.ts'
import type { WorkloadObservation } from '../core/model/observation.ts'
import { AskBook } from './ask-book.ts'
import type { SaidFacts } from './batch-views.ts'
import { leanBook, leanObservation } from './lean.ts'
import type {
  ApiTokenRecord,
  AtSite,
  AuditRecord,
  EntryRecord,
  FreezeRecord,
  HoldRecord,
  HubChange,
  HubSnapshot,
  HubStore,
  KeyRecord,
  Rename,
  RolloutRecord,
  SiteRecord,
  WithdrawnRecord,
} from './store.ts'

export interface NewEvent {
  readonly atMs: number
  readonly kind: string
  readonly subject: string
  readonly message: string
}
export interface NewAudit {
  readonly atMs: number
  readonly actor: string
  readonly action: string
  readonly subject: string
  readonly detail: JsonObject
}
/** A change before it has its place in the two logs. */
export type Draft = Omit<HubChange, 'events' | 'audit'> & {
  readonly events?: readonly NewEvent[]
  readonly audit?: readonly NewAudit[]
}

/** What those who only read ask of it: `Sight` is a smaller one. */
export interface WorldSeen {
  readonly store: HubStore
  readonly meta: ReadonlyMap<string, string>
  readonly sites: ReadonlyMap<string, SiteRecord>
  readonly rollouts: ReadonlyMap<string, RolloutRecord>
  readonly books: ReadonlyMap<string, ReadonlyMap<string, AtSite>>
  readonly holds: ReadonlyMap<string, HoldRecord>
  readonly freezes: ReadonlyMap<string, FreezeRecord>
  readonly siteFacts: ReadonlyMap<string, SaidFacts>
  readonly versions: ReadonlyMap<string, number>
}

/** Exchanges in one transaction: one fsync for so many sites, and no longer than so many rows. */
const MAX_GROUP = 256

interface Waiting {
  readonly site: string
  readonly decide: () => Draft
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

export class World implements WorldSeen {
  readonly store: HubStore
  readonly meta = new Map<string, string>()
  readonly sites = new Map<string, SiteRecord>()
  readonly keys = new Map<string, KeyRecord>()
  readonly rollouts = new Map<string, RolloutRecord>()
  readonly withdrawn = new Map<Digest, WithdrawnRecord>()
  readonly holds = new Map<string, HoldRecord>()
  readonly freezes = new Map<string, FreezeRecord>()
  readonly apiTokens = new Map<string, ApiTokenRecord>()
  readonly asks = new AskBook()
  /** As they are stored; `Signed` says which count. */
  statements: readonly SignedStatement[] = []
  /** Filled workload by workload when first asked for; kept equal from then on. */
  readonly books = new Map<string, Map<string, AtSite>>()
  /** Sites of which something that a rollout reads changed since it last looked. */
  readonly changed = new Set<string>()
  /** What sites say of themselves beside their workloads. */
  readonly siteFacts = new Map<string, SaidFacts>()
  /** Sites whose manifest may differ from what was published. */
  readonly unpublished = new Set<string>()
  /** Called after every commit that a loop may want to look at. */
  onChange: () => void = () => undefined
  /** Called with sites that have a new manifest: the link may tell them to come. */
  onPublished: (sites: readonly string[]) => void = () => undefined
  /** Called for each site that goes by another name from now on. */
  onRenamed: (rename: Rename) => void = () => undefined

  /** Raised by every change: what views were made from. */
  version = 0

  /** Sites of which something that people see changed: the views take them and forget them. */
  readonly unseen = new Set<string>()
  /** Raised for a workload by every change of its map, its entries or what sites say of it. */
  readonly versions = new Map<string, number>()
  /** Sites that some workload of the last good revision targets. */
  listed = 0

  #lastAudit: AuditRecord | null
  #lastEvent: number
  /** Every workload of the store has its book, those without a rollout too. */
  #allBooks = false
  #lock: Promise<unknown> = Promise.resolve()
  #queue: Waiting[] = []
  #draining = false
  /** False after a commit whose outcome is not known. */
  #equals = true

  static async open(store: HubStore): Promise<World> {
    return new World(store, await store.load())
  }

  private constructor(store: HubStore, loaded: HubSnapshot) {
    this.store = store
    this.#lastAudit = loaded.lastAudit
    this.#lastEvent = loaded.lastEvent
    this.#take(loaded)
  }

  #take(loaded: HubSnapshot): void {
    refill(this.meta, loaded.meta)
    refill(this.sites, loaded.sites.map((site) => [site.name, site])) // prettier-ignore
    refill(this.keys, loaded.keys.map((key) => [key.hash, key])) // prettier-ignore
    refill(this.rollouts, loaded.rollouts.map((rollout) => [rollout.spec.workload, rollout])) // prettier-ignore
    refill(this.withdrawn, loaded.withdrawn.map((record) => [record.digest, record])) // prettier-ignore
    refill(this.holds, loaded.holds.map((hold) => [hold.site, hold])) // prettier-ignore
    refill(this.freezes, loaded.freezes.map((freeze) => [freeze.id, freeze])) // prettier-ignore
    this.statements = loaded.statements
    this.asks.take(loaded)
    refill(this.apiTokens, loaded.apiTokens.map((token) => [token.hash, token])) // prettier-ignore
    this.books.clear()
    this.#allBooks = false
    this.versions.clear()
    this.listed = loaded.sites.filter(({ listed }) => listed).length
    for (const { name, published } of loaded.sites) {
      this.unseen.add(name)
      this.changed.add(name)
      if (published === 'behind') this.unpublished.add(name)
    }
    this.#lastAudit = loaded.lastAudit
    this.#lastEvent = loaded.lastEvent
    this.#equals = true
    this.version += 1
  }

  get auditHead(): { readonly seq: number; readonly hash: string } {
    return this.#lastAudit ?? { seq: 0, hash: '' }
  }

  /** Runs alone: nothing else is written meanwhile but what `work` commits. */
  turn<T>(work: (commit: (draft: Draft) => Promise<void>) => Promise<T>): Promise<T> {
    const run = this.#lock.then(async () => {
      if (!this.#equals) this.#take(await this.store.load())
      return work((draft) => this.#commit(draft))
    })
    this.#lock = run.catch(() => undefined)
    return run
  }

  /** For one site's exchange: decided under the lock, written with others', resolved once it is durable. */
  submit(site: string, decide: () => Draft): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ site, decide, resolve, reject })
      if (this.#draining) return
      this.#draining = true
      void this.#drain()
    })
  }

  async #drain(): Promise<void> {
    while (this.#queue.length > 0)
      await this.turn(async () => this.#group()).catch((error: unknown) => {
        // The store could not even be read: whoever waits comes again.
        for (const { reject } of this.#queue.splice(0)) reject(error)
      })
    this.#draining = false
  }

  /** One transaction for many sites; where it fails, one each, so that a bad one fails alone. */
  async #group(): Promise<void> {
    const names = new Set<string>()
    const group: Waiting[] = []
    const later: Waiting[] = []
    for (const item of this.#queue) {
      if (group.length < MAX_GROUP && !names.has(item.site)) group.push(item)
      else later.push(item)
      names.add(item.site)
    }
    this.#queue = later
    const drafts: { readonly item: Waiting; readonly draft: Draft }[] = []
    for (const item of group) {
      try {
        drafts.push({ item, draft: item.decide() })
      } catch (error) {
        item.reject(error)
      }
    }
    try {
      await this.#commit(joined(drafts.map(({ draft }) => draft)))
      for (const { item } of drafts) item.resolve()
    } catch (error) {
      if (drafts.length === 1) return drafts[0]?.item.reject(error)
      for (const { item, draft } of drafts) await this.#commit(draft).then(item.resolve, item.reject)
    }
  }

  /** What a rollout reads of a workload's sites. Under the lock only. */
  async book(workload: string): Promise<Map<string, AtSite>> {
    const known = this.books.get(workload)
    if (known !== undefined) return known
    const book = leanBook(workload, await this.store.book(workload), (site) => this.sites.get(site)?.name ?? site)
    this.books.set(workload, book)
    for (const site of book.keys()) this.unseen.add(site)
    this.#touch(workload)
    return book
  }

  /** Of every workload, those included that Git has no more. Under the lock only. */
  async openBooks(): Promise<void> {
    if (this.#allBooks) return
    for (const workload of await this.store.workloads()) await this.book(workload)
    this.#allBooks = true
  }

  /** What a site's manifest names, workloads that Git has no more included. Under the lock only. */
  async entriesOf(site: string): Promise<readonly EntryRecord[]> {
    await this.openBooks()
    const entries: EntryRecord[] = []
    for (const book of this.books.values()) {
      const entry = book.get(site)?.entry
      if (entry != null) entries.push(entry)
    }
    return entries
  }

  #touch(workload: string): void {
    this.versions.set(workload, (this.versions.get(workload) ?? 0) + 1)
  }

  /** What is known of some workloads of one site, from memory where it is there. */
  async atSite(site: string, workloads: readonly string[]): Promise<ReadonlyMap<string, AtSite>> {
    if (workloads.every((workload) => this.books.has(workload))) {
      const known = workloads.map((workload) => [workload, this.books.get(workload)?.get(site)] as const)
      return new Map(known.filter((pair): pair is [string, AtSite] => pair[1] !== undefined))
    }
    return this.store.atSite(site)
  }

  async #commit(draft: Draft): Promise<void> {
    const { events = [], audit = [], ...rest } = draft
    const change: HubChange = {
      ...rest,
      events: events.map((event, i) => ({ ...event, seq: this.#lastEvent + 1 + i })),
      audit: chain(this.#lastAudit, audit),
    }
    const before = this.store.written
    try {
      await this.store.commit(change)
    } catch (error) {
      // It may have been written all the same, or another hub wrote: what is in memory is read again before the next turn.
      this.#equals = false
      throw error
    }
    if (this.store.written === before) return
    this.#fold(change)
    this.version += 1
    this.onChange()
  }

  #fold(change: HubChange): void {
    this.#lastAudit = change.audit?.at(-1) ?? this.#lastAudit
    this.#lastEvent = change.events?.at(-1)?.seq ?? this.#lastEvent
    for (const rename of change.renames ?? []) this.#foldRename(rename)
    for (const [name, value] of Object.entries(change.meta ?? {})) this.meta.set(name, value)
    for (const site of change.forgetSites ?? []) {
      this.unseen.add(site)
      for (const [workload, book] of this.books) if (book.delete(site)) this.#touch(workload)
    }
    for (const site of change.sites ?? []) {
      this.listed += Number(site.listed) - Number(this.sites.get(site.name)?.listed ?? false)
      this.sites.set(site.name, site)
      this.changed.add(site.name)
      this.unseen.add(site.name)
      if (site.published === 'behind') this.unpublished.add(site.name)
    }
    for (const key of change.keys ?? []) this.keys.set(key.hash, key)
    this.asks.fold(change)
    this.#foldAtSites(change)
    for (const workload of change.rolloutsGone ?? []) {
      this.#see(this.rollouts.get(workload))
      this.rollouts.delete(workload)
      this.#touch(workload)
    }
    for (const { record, whole, sites } of change.rollouts ?? []) {
      const { workload } = record.spec
      if (whole) {
        this.#see(this.rollouts.get(workload))
        this.#see(record)
      } else for (const site of sites.keys()) this.unseen.add(site)
      this.rollouts.set(workload, record)
      this.#touch(workload)
    }
    for (const record of change.withdrawn ?? []) this.withdrawn.set(record.digest, record)
    for (const digest of change.readmitted ?? []) this.withdrawn.delete(digest)
    for (const hold of change.holds ?? []) this.holds.set(hold.site, hold)
    for (const site of change.holdsGone ?? []) this.holds.delete(site)
    for (const freeze of change.freezes ?? []) this.freezes.set(freeze.id, freeze)
    for (const id of change.freezesGone ?? []) this.freezes.delete(id)
    for (const token of change.apiTokens ?? []) this.apiTokens.set(token.hash, token)
  }

  #foldRename(rename: Rename): void {
    const { from, to } = rename
    this.listed -= Number(this.sites.get(from)?.listed ?? false)
    this.sites.delete(from)
    for (const [hash, key] of this.keys) if (key.site === from) this.keys.set(hash, { ...key, site: to })
    for (const [workload, book] of this.books) {
      const at = book.get(from)
      if (book.delete(to) || at !== undefined) this.#touch(workload)
      if (at === undefined) continue
      book.delete(from)
      book.set(to, { ...at, entry: at.entry === null ? null : { ...at.entry, site: to } })
    }
    const hold = this.holds.get(from)
    if (hold !== undefined) this.holds.set(to, { ...hold, site: to })
    this.holds.delete(from)
    const said = this.siteFacts.get(from)
    if (said !== undefined) this.siteFacts.set(to, said)
    this.siteFacts.delete(from)
    this.changed.delete(from)
    this.unpublished.delete(from)
    this.unseen.add(from)
    this.onRenamed(rename)
  }

  /** Another map: every site of it may stand otherwise now. */
  #see(record: RolloutRecord | undefined): void {
    for (const spec of [record?.spec, record?.next])
      for (const site of spec?.targets.keys() ?? []) this.unseen.add(site)
  }

  #foldAtSites(change: HubChange): void {
    const put = (workload: string, site: string, next: (at: AtSite) => AtSite): void => {
      this.changed.add(site)
      this.unseen.add(site)
      this.#touch(workload)
      const book = this.books.get(workload)
      book?.set(site, next(book.get(site) ?? { entry: null, observation: null }))
    }
    for (const gone of change.entriesGone ?? []) put(gone.workload, gone.site, (at) => ({ ...at, entry: null }))
    for (const gone of change.observationsGone ?? [])
      put(gone.workload, gone.site, (at) => ({ ...at, observation: null }))
    for (const entry of change.entries ?? []) put(entry.workload, entry.site, (at) => ({ ...at, entry }))
    for (const { site, observation } of change.observations ?? [])
      put(observation.workload, site, ({ entry }) => ({ entry, observation: leanObservation(observation, entry) }))
  }
}

/** The same map, for those who hold it, with other contents. */
function refill<K, V>(map: Map<K, V>, pairs: Iterable<readonly [K, V]>): void {
  map.clear()
  for (const [key, value] of pairs) map.set(key, value)
}

/** Several changes of different sites as one. */
function joined(drafts: readonly Draft[]): Draft {
  const lists: Record<string, unknown[]> = {}
  let spend: Draft['spend']
  for (const draft of drafts) {
    if (draft.spend !== undefined) {
      // Two tokens in one transaction would fail together: the caller commits each alone then.
      if (spend !== undefined) throw new Fault('Conflict', 'two tokens in one transaction')
      spend = draft.spend
    }
    for (const [name, part] of Object.entries(draft))
      if (Array.isArray(part)) (lists[name] ??= []).push(...(part as unknown[]))
  }
  return { ...(lists as Draft), ...(spend === undefined ? {} : { spend }) }
}

function chain(last: AuditRecord | null, added: readonly NewAudit[]): AuditRecord[] {
  const records: AuditRecord[] = []
  let before = last
  for (const item of added) {
    const seq = (before?.seq ?? 0) + 1
    const hash = digestBytes('audit', `${before?.hash ?? ''}\n${canonicalJson({ ...item, seq })}`)
    before = { ...item, seq, hash }
    records.push(before)
  }
  return records
}

/** The chain from the first record on: the sequence of the first record that does not follow, or undefined. */
export function brokenAudit(records: readonly AuditRecord[]): number | undefined {
  let before: AuditRecord | null = null
  for (const { hash, seq, ...item } of records) {
    const made: AuditRecord | undefined = chain(before, [item])[0]
    if (made?.seq !== seq || made.hash !== hash) return seq
    before = made
  }
  return undefined
}

/** Equal in all that is written down. */
export function sameObservation(a: WorkloadObservation | null | undefined, b: WorkloadObservation): boolean {
  return a != null && jsonEqual(a as unknown as Json, b as unknown as Json)
}
