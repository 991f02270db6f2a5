/** A hub as a process: keys, store, Git source, the link for sites, the API for people; joined here and ended in order. */
import fs from 'node:fs'
import path from 'node:path'
import { everyMinute } from '../adapters/cron/ticker.ts'
import { createGitSource } from '../adapters/git/source.ts'
import type { GitCredentials } from '../adapters/git/http.ts'
import { startApiServer } from '../adapters/http/api-server.ts'
import { openPki } from '../adapters/link/pki.ts'
import { startLinkServer } from '../adapters/link/server.ts'
import { openHubStore } from '../adapters/store/hub-store.ts'
import type { HubProcessOptions } from '../cli/ports.ts'
import { Fault } from '../core/model/fault.ts'
import type { HubApi } from '../hub/api.ts'
import { createHub } from '../hub/hub.ts'
import type { PollTimes } from '../hub/observe.ts'
import { type Clock, systemClock } from '../runtime/clock.ts'
import type { Logger } from '../runtime/logger.ts'
import { createLogger } from '../runtime/pino-logger.ts'
import { aborted, DRAIN_MS, within } from '../runtime/stop.ts'

/** Below the hub's data folder. */
export const KEYS_FOLDER = 'keys'

export interface HubStart {
  readonly repo: string
  readonly branch: string
  readonly root: string
  /** Folder of store, keys and clone. */
  readonly data: string
  /** `host:port`, 0 for any free one. */
  readonly listen: string
  readonly api: string
  /** How sites reach the link, where that is not the address it listens on. */
  readonly advertise: string | undefined
  readonly credentials: GitCredentials | null
  readonly gitPollMs: number
  readonly polls?: PollTimes
  /** `never` would sign a wrong time; `always` is for a demo whose clock runs faster than its witnesses'. */
  readonly trustClock: 'judged' | 'always'
  /** `process`: for a demo that nobody restarts after a power cut. */
  readonly durability?: 'power' | 'process'
  readonly version: string
  readonly clock: Clock
  readonly log: Logger
}

export interface RunningHub extends AsyncDisposable {
  readonly api: HubApi
  readonly apiUrl: string
  readonly linkUrl: string
  readonly adminToken: string
}

/** Serves when it resolves. Faults: StoreCorrupt, StoreFull, InvalidInput, Unexpected (address taken). */
export async function startHub(start: HubStart, signal: AbortSignal): Promise<RunningHub> {
  const { clock, log } = start
  fs.mkdirSync(start.data, { recursive: true, mode: 0o700 })
  const authority = await openPki(path.join(start.data, KEYS_FOLDER), clock.nowMs())
  const store = await openHubStore({ file: path.join(start.data, 'hub.db'), durability: start.durability ?? 'power' })
  const git = createGitSource({
    url: start.repo,
    branch: start.branch,
    root: start.root,
    dir: start.data,
    credentials: start.credentials,
  })
  const { createWorkerCompiler } = await import('../renderer/worker-compiler.ts')
  const compiler = createWorkerCompiler()
  let linkUrl = ''
  let nudge: (sites: readonly string[]) => void = () => undefined
  const hub = await createHub(
    { store, git, authority, clock, log, compiler, nudge: (sites) => nudge(sites) },
    {
      version: start.version,
      root: start.root,
      gitPollMs: start.gitPollMs,
      linkUrl: () => linkUrl,
      ...(start.polls === undefined ? {} : { polls: start.polls }),
      ...(start.trustClock === 'always' ? { maxClockSkewMs: null } : {}),
    },
  )
  const adminToken = await adminTokenOf(path.join(start.data, 'admin.token'), hub.api)
  const [linkHost, linkPort] = address(start.listen)
  const link = await startLinkServer({ pki: authority, handler: hub.handler, host: linkHost, port: linkPort, log })
  nudge = (sites) => link.nudge(sites)
  linkUrl = start.advertise === undefined ? link.url : `https://${start.advertise}`
  const [apiHost, apiPort] = address(start.api)
  const api = await startApiServer({ api: hub.api, log, host: apiHost, port: apiPort, nowMs: () => clock.nowMs() })
  const stop = new AbortController()
  const running = hub.run(AbortSignal.any([signal, stop.signal]))
  // What is only in memory is written down by the minute as well as by the hub's own pace: a kill loses less of it.
  const tick = everyMinute(() => hub.turns.flush())
  log.info({ link: linkUrl, api: api.url, repo: start.repo, branch: start.branch }, 'serving')
  return {
    api: hub.api,
    apiUrl: api.url,
    linkUrl,
    adminToken,
    async [Symbol.asyncDispose]() {
      await api.close()
      await link.close(DRAIN_MS / 4)
      stop.abort(new Fault('Cancelled', 'the hub ends'))
      await tick[Symbol.asyncDispose]()
      await within(DRAIN_MS / 2, running, log, 'hub loops')
      await compiler[Symbol.asyncDispose]()
      await store.close()
      log.info({}, 'ended')
    },
  }
}

/** `flotilla hub`: runs until told to stop. */
export async function runHub(
  options: HubProcessOptions,
  env: { readonly version: string; readonly logLevel: string },
  signal: AbortSignal,
): Promise<void> {
  const log = createLogger('hub', env.logLevel)
  const every = options.syncMs
  const hub = await startHub(
    {
      repo: options.repo,
      branch: options.branch,
      root: options.root,
      data: path.resolve(options.data),
      listen: options.listen,
      api: options.api,
      advertise: options.advertise,
      credentials: credentialsOf(options),
      gitPollMs: options.pollMs,
      ...(every === undefined ? {} : { polls: { connectedMs: every, meteredMs: [every, every] } }),
      trustClock: 'judged',
      version: env.version,
      clock: systemClock,
      log,
    },
    signal,
  )
  await using _ended = hub
  writeContext(path.resolve(options.data), hub)
  await aborted(signal)
}

/** Where the CLI finds this hub: in its data folder, and for the default one in the `.flotilla` folder around it. */
function writeContext(data: string, hub: RunningHub): void {
  const text = JSON.stringify({ hub: hub.apiUrl, token: hub.adminToken })
  const folders = path.basename(path.dirname(data)) === '.flotilla' ? [data, path.dirname(data)] : [data]
  for (const folder of folders) fs.writeFileSync(path.join(folder, 'context.json'), text, { mode: 0o600 })
}

/** Whoever can read the data folder owns the hub: a token that is lost, or was never written down, is made anew. */
async function adminTokenOf(file: string, api: HubApi): Promise<string> {
  const kept = fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : ''
  if (kept !== '' && api.authenticate(kept) !== undefined) return kept
  const { secret } = await api.createApiToken('admin', 'admin', ['*'])
  fs.writeFileSync(file, secret, { mode: 0o600 })
  return secret
}

function credentialsOf({ tokenFile, username }: HubProcessOptions): GitCredentials | null {
  if (tokenFile === undefined) return null
  const secret = fs.readFileSync(tokenFile, 'utf8').trim()
  return username === undefined ? { bearer: secret } : { username, password: secret }
}

/** `host:port` or `:port`. Fault InvalidInput. */
function address(text: string): [host: string, port: number] {
  const colon = text.lastIndexOf(':')
  const port = Number(text.slice(colon + 1))
  if (colon < 0 || !Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new Fault('InvalidInput', `found ${JSON.stringify(text)}, expected host:port`)
  }
  return [text.slice(0, colon) || '0.0.0.0', port]
}
