/** What commands ask of the outside; main.ts builds these, and only what a command calls is ever loaded. */
import type { BoxView, BoxWord } from '../core/api/box.ts'
import type { WhyView } from '../core/api/types.ts'
import type { BatchAsk } from '../core/batch/ask.ts'
import type { Cluster } from '../core/kube/cluster.ts'
import type { Json, JsonObject } from '../core/model/json.ts'
import type { AskVerb } from '../core/protocol/ask.ts'
import type { SigningKey } from '../core/protocol/envelope.ts'
import type { SourceTree } from '../core/fleet/types.ts'

/** The hub's HTTP API. Faults: Unreachable, Unauthorized, Forbidden, NotFound, InvalidInput, Conflict, ServerError. */
export interface HubClient {
  readonly url: string
  get<T>(path: string, query?: Readonly<Record<string, string | undefined>>): Promise<T>
  send<T>(method: 'POST' | 'DELETE', path: string, body?: Json): Promise<T>
}

export interface HubProcessOptions {
  readonly repo: string
  readonly branch: string
  readonly root: string
  readonly data: string
  readonly listen: string
  readonly api: string
  readonly advertise: string | undefined
  readonly pollMs: number
  /** How often every site is asked to come; default: by the class of its link. */
  readonly syncMs: number | undefined
  readonly tokenFile: string | undefined
  readonly username: string | undefined
}

export interface AgentProcessOptions {
  readonly data: string
  readonly join: string | undefined
  readonly kubeconfig: string | undefined
  readonly context: string | undefined
  /** Where the API server is for a pod; main.ts reads it from the environment. */
  readonly inCluster: { readonly host: string; readonly port: number } | undefined
  readonly simulate: boolean
  readonly http: string | undefined
  readonly pollMs: number | undefined
  /** Where its own objects stand: Lease, ApplySet, the copy of its keys. */
  readonly namespace: string | undefined
  readonly applySet: string | undefined
  /** How long a new version has to prove itself before the one before takes over again. */
  readonly confirmMs: number | undefined
  /** Verbs that the hub may ask of this site. */
  readonly asks: readonly string[]
  /** off: pods that name this scheduler are left to somebody else. */
  readonly scheduler: 'on' | 'off'
}

export interface DemoOptions {
  readonly sites: number
  readonly once: boolean
  readonly dir: string | undefined
  readonly speed: number
}

/** The agent at this box. Faults: NotFound, Conflict, InvalidInput, Unreachable, Store*. */
export interface BoxPort extends AsyncDisposable {
  view(): Promise<BoxView>
  why(subject: string): Promise<WhyView>
  say(word: BoxWord): Promise<BoxView>
}

/** The batch room of the agent at this box. Faults: Unreachable, NotFound, Conflict, InvalidInput, Store*. */
export interface BatchPort extends AsyncDisposable {
  ask(ask: BatchAsk): Promise<JsonObject>
  /** What a hub may ask of a site too: `diff`, `logs`. */
  askSite(verb: AskVerb, args: JsonObject): Promise<JsonObject>
}

export type RotationStep = 'signing' | 'authority' | 'retire-old' | 'root' | 'release-signer' | 'time-epoch'

export interface RotationFiles {
  /** Where the root key is kept, if not beside the others. */
  readonly rootKey: string | undefined
  /** Public key of a release signer. */
  readonly key: string | undefined
}

export interface CliPorts {
  readonly version: string
  hub(url: string | undefined, token: string | undefined): Promise<HubClient>
  /** Files of a folder, as a revision would hold them: for lint and render before a commit. */
  folder(dir: string): Promise<SourceTree>
  runHub(options: HubProcessOptions, signal: AbortSignal): Promise<void>
  runAgent(options: AgentProcessOptions, signal: AbortSignal): Promise<void>
  /** Resolves with why it did not converge, or undefined. */
  runDemo(
    options: DemoOptions,
    io: { out(text: string): void; readonly terminal: boolean; readonly columns: number; readonly color: boolean },
    signal: AbortSignal,
  ): Promise<string | undefined>
  /** `dir`: the store of the agent; else where `flotilla agent` puts it. */
  batch(dir: string | undefined): Promise<BatchPort>
  /** A batch script: a file, or what is piped in. */
  script(file: string | undefined): Promise<string>
  commit(dir: string, message: string): Promise<string>
  /** A private Ed25519 key, PEM. Fault InvalidInput. */
  signer(file: string): Promise<SigningKey>
  /** `data`: the hub's folder. Faults: InvalidInput, StoreCorrupt. */
  rotateKeys(data: string, step: RotationStep, files: RotationFiles): Promise<{ readonly version: number }>
  /** `dir`: the store of the agent; else FLOTILLA_DATA, else where `flotilla agent` puts it. */
  box(dir: string | undefined): Promise<BoxPort>
  /** The cluster of a kubeconfig, for installing and removing an agent; the caller closes it. */
  cluster(kubeconfig: string | undefined, context: string | undefined): Promise<Cluster>
}
