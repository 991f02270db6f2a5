/** One life, one kill, and what is there afterwards: on the disk at once, and in the cluster once another process went on. */
import { fork } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { isDeepStrictEqual } from 'node:util'
import { openAgentStore } from '../../../src/adapters/store/agent-store.ts'
import { blobsOf } from '../../../src/agent/stage.ts'
import { marksOf, PART_OF } from '../../../src/core/diff/marks.ts'
import { normalise } from '../../../src/core/diff/normalise.ts'
import { readManifestHead } from '../../../src/core/protocol/manifest.ts'
import type { SiteManifest } from '../../../src/core/protocol/messages.ts'
import { canonicalJson } from '../../../src/core/model/json.ts'
import { refKey, refOf, type Manifest } from '../../../src/core/model/object.ts'
import { AGENT_DEFAULTS } from '../../../src/agent/defaults.ts'
import { VirtualClock } from '../../../src/sim/clock.ts'
import { SimCluster, type SimRequest } from '../../../src/sim/cluster.ts'
import { HubStub, IDENTITY, SIGNAL } from '../../unit/agent/site.ts'
import { NOW_MS } from '../../unit/protocol/fixed.ts'
import { live, type Lived, type World } from './lives.ts'
import { stateOf, type KillAt } from './steps.ts'
import { ADOPTED, tellFirst, tellSecond } from './story.ts'
import { serve } from './wire.ts'

/** A process that does not come to its step. */
const CHILD_MS = 60_000
const { applySetId } = marksOf(AGENT_DEFAULTS.applySet)
const KINDS = ['v1/ConfigMap', 'v1/Service', 'v1/Secret', 'v1/Namespace', 'apps/v1/Deployment', 'batch/v1/Job']

export interface End {
  /** Content of every object, without what the server makes. */
  readonly objects: readonly string[]
  readonly inventory: readonly string[]
  readonly records: readonly string[]
  /** What the hub knows of each workload. */
  readonly reports: readonly string[]
  /** Writes by what they wrote, over the whole story. */
  readonly writes: ReadonlyMap<string, number>
}

export interface Story {
  readonly end: End
  /** Names of the steps that the process made. */
  readonly steps: readonly string[]
  /** `null`: it was not killed. */
  readonly signal: NodeJS.Signals | null
  /** What is wrong with what the kill left on the disk and in the cluster, and with what the hub heard. */
  readonly left: readonly string[]
  /** Writes that the process sent and of which it heard no answer, or died before it could keep it. */
  readonly unheard: readonly string[]
}

/** `child`: the program to be killed, of the same text as this. `at.step` 0: nothing is killed. */
export async function story(child: string, home: string, at: KillAt): Promise<Story> {
  const dir = mkdtempSync(join(home, 'life-'))
  const writes = new Map<string, number>()
  const clock = new VirtualClock(NOW_MS)
  const cluster = new SimCluster({ clock, seed: 1, onRequest: (request) => count(writes, request) })
  const hub = new HubStub(() => clock.nowMs())
  const pass = async (ms: number): Promise<void> => {
    await clock.advance(ms)
    await breath()
  }
  const world: World = { dir: join(dir, 'store'), cluster, link: hub, clock, signal: SIGNAL, pass }
  try {
    tellFirst(hub)
    const first = await live(world, IDENTITY)
    first.end()
    for (const object of ADOPTED) await cluster.create(object, { fieldManager: 'kubectl-create' }, SIGNAL)
    tellSecond(hub)
    writes.clear()
    const killed = await life(child, dir, world, at)
    // What was on its way when the process ended is done by now.
    await breath()
    const left = killed.signal === null ? [] : await wrongLeft(world, hub, killed.log)
    const there = await uidsOf(cluster)
    const next = await live(world, IDENTITY)
    const end = await endOf(world, hub, next, writes)
    next.end()
    const moved = killed.signal === null ? [] : await madeAgain(cluster, there)
    return {
      end,
      steps: namesOf(killed.log),
      signal: killed.signal,
      left: [...left, ...moved, ...wrongHeard(hub, killed.log)],
      unheard: unheardOf(killed.log),
    }
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

interface Killed {
  readonly signal: NodeJS.Signals | null
  readonly log: readonly string[]
}

async function life(
  program: string,
  dir: string,
  { cluster, link, clock, ...world }: World,
  at: KillAt,
): Promise<Killed> {
  const logFile = join(dir, 'steps.log')
  const args = [join(dir, 'store'), logFile, String(at.step), at.when, String(clock.monotonicMs())]
  const child = fork(program, args, { serialization: 'advanced', stdio: ['ignore', 'ignore', 'pipe', 'ipc'] })
  let said = ''
  child.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString()))
  serve(child, { cluster, link, pass: (ms) => world.pass(ms) })
  const timer = setTimeout(() => child.kill('SIGTERM'), CHILD_MS)
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) => {
    child.on('exit', (...how) => resolve(how))
  })
  clearTimeout(timer)
  const log = readFileSync(logFile, 'utf8').trimEnd().split('\n')
  const wanted = at.step === 0 ? code === 0 : signal === 'SIGKILL'
  if (!wanted && !(signal === null && code === 0)) throw new Error(`the process ended with ${code ?? signal}: ${said}`)
  return { signal, log }
}

/** Everything that waits for nothing but its turn. */
async function breath(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => void setImmediate(resolve))
}

function namesOf(log: readonly string[]): readonly string[] {
  return log.filter((line) => line.startsWith('begin')).map((line) => line.split('\t')[2] ?? '')
}

/** Asked, and no answer came; or it came, and died with the process before a commit that names its object was done. */
function unheardOf(log: readonly string[]): readonly string[] {
  const asked = new Map<string, string>()
  const heard = new Set<string>()
  let keeps: readonly string[] = []
  for (const [what, step = '', name = ''] of log.map((line) => line.split('\t'))) {
    if (what === 'keeps') keeps = step.split(' ').map(nameOf)
    else if (name === 'store commit') {
      if (what !== 'end') continue
      for (const it of heard) if (keeps.some((kept) => it.endsWith(kept))) heard.delete(it)
      keeps = []
    } else if (what === 'begin') asked.set(step, name)
    else {
      asked.delete(step)
      if (/^cluster (apply|delete)/.test(name)) heard.add(name)
    }
  }
  return [...asked.values(), ...heard]
}

/** `/ConfigMap/shop/a` as steps name it. What the ApplySet's parent says is kept as a note. */
function nameOf(key: string): string {
  const [, kind = '', , name = ''] = key.split('/')
  return key === 'applyset' ? ' ConfigMap flotilla' : ` ${kind} ${name}`
}

/** The disk says what the last commit said, and knows of everything that is ours in the cluster. */
async function wrongLeft({ dir, cluster }: World, hub: HubStub, log: readonly string[]): Promise<readonly string[]> {
  const wrong: string[] = []
  const commits = log.filter((line) => line.startsWith('end') && line.includes('store commit'))
  const db = new DatabaseSync(join(dir, 'agent.db'))
  const state = stateOf(db)
  db.close()
  const committed = commits.at(-1)?.split('\t')[3]
  if (committed !== undefined && state !== committed) wrong.push('the store is not at its last commit')
  const store = openAgentStore(dir)
  try {
    if (store.opened.rebuilt.length > 0) wrong.push(`the store was rebuilt: ${store.opened.rebuilt.join()}`)
    const [newest] = store.manifests()
    if (newest !== undefined && !isDeepStrictEqual(newest.generation, store.floor()?.generation))
      wrong.push('the floor is not of the newest manifest')
    const head = newest === undefined ? undefined : readManifestHead(newest.envelope.payload)
    const manifest = head?.ok === true ? (head.value.json as unknown as SiteManifest) : undefined
    for (const digest of manifest === undefined ? [] : blobsOf(manifest, store))
      if (!store.has(digest)) wrong.push(`the newest manifest names ${digest}, which is not there`)
    const named = manifest?.entries.map(({ release }) => release) ?? []
    for (const release of named) if (!store.has(release)) wrong.push(`the release ${release} is not there`)
    const known = new Set(store.inventory().keys())
    for (const object of await all(cluster))
      if (object.metadata.labels?.[PART_OF] === applySetId && !known.has(refKey(refOf(object))))
        wrong.push(`${refKey(refOf(object))} is ours and the inventory does not know it`)
    const heard = hub.heard.some(({ outbox }) => outbox.length > 0)
    if (commits.length > 0 && !heard && store.outbox().length === 0) wrong.push('a word that must arrive is gone')
  } finally {
    store.close()
  }
  return wrong
}

/** A sequence number says one thing once. */
function wrongHeard({ heard }: HubStub, log: readonly string[]): readonly string[] {
  const wrong: string[] = []
  const seqs = heard.map(({ seq }) => seq)
  if (seqs.some((seq, i) => i > 0 && seq <= (seqs[i - 1] ?? 0))) wrong.push('a sequence number was used twice')
  const kept = log.some((line) => line.startsWith('end') && line.includes('store commit'))
  if (kept && !heard.some(({ outbox }) => outbox.length > 0)) wrong.push('a word that must arrive did not')
  return wrong
}

async function all(cluster: World['cluster']): Promise<readonly Manifest[]> {
  const found: Manifest[] = []
  for (const text of KINDS) {
    const at = text.lastIndexOf('/')
    const kind = { apiVersion: text.slice(0, at), kind: text.slice(at + 1) }
    for (const item of (await cluster.list(kind, SIGNAL)).items) found.push({ ...item, ...kind })
  }
  return found
}

async function uidsOf(cluster: SimCluster): Promise<ReadonlyMap<string, string>> {
  return new Map((await all(cluster)).map((object) => [refKey(refOf(object)), object.metadata.uid ?? '']))
}

/** Whatever was there when the process died is the same object afterwards, but for the Job that is to be replaced. */
async function madeAgain(cluster: SimCluster, before: ReadonlyMap<string, string>): Promise<readonly string[]> {
  const after = await uidsOf(cluster)
  return [...before]
    .filter(([key, uid]) => after.has(key) && after.get(key) !== uid && !key.startsWith('batch/'))
    .map(([key]) => `${key} was made again`)
}

async function endOf({ cluster }: World, hub: HubStub, { agent, store }: Lived, writes: End['writes']): Promise<End> {
  const live = await all(cluster)
  const uids = new Map(live.map((object) => [refKey(refOf(object)), object.metadata.uid]))
  const told = new Map(hub.heard.flatMap(({ observations }) => observations).map((it) => [it.workload, it]))
  const reports = [...told.values(), ...agent.status().workloads].map((it) => {
    const { workload, sync, health, begun, desired, applied, healthy, objects, counts } = it
    const { pruned: _ofOneProcess, ...counted } = counts
    return canonicalJson({ workload, sync, health, begun, desired: desired?.digest ?? '', applied: applied?.digest ?? '', healthy: healthy?.digest ?? '', objects: objects.length, counted }) // prettier-ignore
  })
  const { conditions } = agent.status()
  return {
    // A Job selects its pods by its own UID.
    objects: live.map((object) => canonicalJson(normalise(object)).replaceAll(UID, 'uid')).toSorted(),
    inventory: [...store.inventory()]
      .map(
        ([key, entry]) =>
          `${key} ${entry.state} ${entry.workload} ${entry.state === 'owned' && entry.uid === uids.get(key)} ${entry.state === 'owned' ? entry.applied : ''}`,
      )
      .toSorted(),
    records: [...store.workloads().values()].map(({ workload, release, applied, healthy }) => `${workload} ${release} ${applied?.digest} ${healthy?.digest}`).toSorted(), // prettier-ignore
    reports: [...reports, ...conditions.map(({ type, reason }) => `${type} ${reason}`)].toSorted(),
    writes: new Map(writes),
  }
}

const UID = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g

const WRITES = new Set(['create', 'apply', 'patch', 'delete'])
function count(writes: Map<string, number>, { verb, kind, ref, dryRun }: SimRequest): void {
  if (!WRITES.has(verb) || dryRun) return
  const what = `cluster ${verb} ${kind} ${ref?.name}`
  writes.set(what, (writes.get(what) ?? 0) + 1)
}

/** What differs from an undisturbed story. A write may be there once more where nobody heard whether it was done. */
export function differs(calm: End, end: End, unheard: readonly string[]): readonly string[] {
  const wrong: string[] = []
  for (const what of ['objects', 'inventory', 'records', 'reports'] as const) {
    const missing = calm[what].filter((it) => !end[what].includes(it))
    const extra = end[what].filter((it) => !calm[what].includes(it))
    if (missing.length + extra.length > 0) wrong.push(`${what}: missing ${missing.slice(0, 2).join()}; extra ${extra.slice(0, 2).join()}`) // prettier-ignore
  }
  for (const [what, times] of end.writes) {
    const most = (calm.writes.get(what) ?? 0) + unheard.filter((it) => it === what).length
    if (times > most) wrong.push(`${what}: ${times} times, an undisturbed run ${calm.writes.get(what) ?? 0}`)
  }
  return wrong
}
