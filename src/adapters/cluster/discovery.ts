import type { KindInfo, KindName } from '../../core/kube/cluster.ts'
import { Fault } from '../../core/model/fault.ts'
import { isObject, type Json, type JsonObject } from '../../core/model/json.ts'
import { groupOf, versionOf } from '../../core/model/object.ts'
import type { Transport } from './transport.ts'

const AGGREGATED =
  'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json'

interface Snapshot {
  readonly all: readonly KindInfo[]
  /** `group/Kind` to its versions, preferred first. */
  readonly byKind: ReadonlyMap<string, readonly KindInfo[]>
}

interface Page {
  readonly etag: string | undefined
  readonly kinds: readonly KindInfo[]
}

/** What the server serves: two requests in all, kept, and asked again when a kind is missing. */
export class Discovery {
  readonly #transport: Transport
  #snapshot: Snapshot | undefined
  #loading: Promise<Snapshot> | undefined
  readonly #pages = new Map<string, Page>()

  constructor(transport: Transport) {
    this.#transport = transport
  }

  /** Fault NoKindMatch. */
  async kind(name: KindName, signal: AbortSignal): Promise<KindInfo> {
    const [group, version] = [groupOf(name.apiVersion), versionOf(name.apiVersion)]
    return this.#find(
      `${group}/${name.kind}`,
      (info) => info.version === version,
      signal,
      () =>
        new Fault('NoKindMatch', `no matches for kind "${name.kind}" in version "${name.apiVersion}"`, {
          facts: { kind: name.kind, apiVersion: name.apiVersion },
        }),
    )
  }

  async preferred(group: string, kind: string, signal: AbortSignal): Promise<KindInfo> {
    return this.#find(
      `${group}/${kind}`,
      () => true,
      signal,
      () => new Fault('NoKindMatch', `no matches for kind "${kind}" in group "${group}"`, { facts: { kind, group } }),
    )
  }

  async kinds(signal: AbortSignal): Promise<readonly KindInfo[]> {
    return (await this.#load(signal)).all
  }

  /** The server said that it does not serve what we thought. */
  forget(): void {
    this.#snapshot = undefined
  }

  async #find(
    key: string,
    fits: (info: KindInfo) => boolean,
    signal: AbortSignal,
    missing: () => Fault,
  ): Promise<KindInfo> {
    const known = this.#snapshot?.byKind.get(key)?.find((info) => fits(info))
    if (known !== undefined) return known
    const found = (await this.#load(signal)).byKind.get(key)?.find((info) => fits(info))
    if (found === undefined) throw missing()
    return found
  }

  /** Callers that miss at the same time share one load; who gives up does not take the others along. */
  async #load(signal: AbortSignal): Promise<Snapshot> {
    if (this.#loading === undefined) {
      const loading = this.#read().finally(() => {
        if (this.#loading === loading) this.#loading = undefined
      })
      this.#loading = loading
    }
    const loading = this.#loading
    signal.throwIfAborted()
    return new Promise((resolve, reject) => {
      const stop = (): void => reject(new Fault('Cancelled', 'discovery: given up', { cause: signal.reason }))
      signal.addEventListener('abort', stop, { once: true })
      loading.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop))
    })
  }

  async #read(): Promise<Snapshot> {
    const never = new AbortController().signal
    const [core, groups] = await Promise.all([this.#page('/api', never), this.#page('/apis', never)])
    const all = [...core, ...groups]
    const byKind = new Map<string, KindInfo[]>()
    for (const info of all) {
      const key = `${info.group}/${info.kind}`
      const versions = byKind.get(key)
      if (versions === undefined) byKind.set(key, [info])
      else versions.push(info)
    }
    this.#snapshot = { all, byKind }
    return this.#snapshot
  }

  async #page(path: string, signal: AbortSignal): Promise<readonly KindInfo[]> {
    const known = this.#pages.get(path)
    const headers = { accept: AGGREGATED, ...(known?.etag === undefined ? {} : { 'if-none-match': known.etag }) }
    const answer = await this.#transport.send({ method: 'GET', path, headers }, signal)
    if (answer.status === 304 && known !== undefined) return known.kinds
    const body = isObject(answer.body) ? answer.body : {}
    const aggregated = body['kind'] === 'APIGroupDiscoveryList'
    const kinds = aggregated ? parseAggregated(body) : await this.#legacy(path, body, signal)
    this.#pages.set(path, { etag: aggregated ? answer.etag : undefined, kinds })
    return kinds
  }

  /** Servers before 1.26, or with the aggregated form turned off: one request a group and version. */
  async #legacy(path: string, body: JsonObject, signal: AbortSignal): Promise<readonly KindInfo[]> {
    const versions =
      path === '/api'
        ? strings(body['versions']).map((version) => ({ group: '', version, path: `/api/${version}` }))
        : objects(body['groups']).flatMap((group) => {
            const preferred = isObject(group['preferredVersion']) ? group['preferredVersion']['version'] : undefined
            const all = objects(group['versions']).map((one) => one['version'] as string)
            return [...new Set([preferred as string, ...all])].map((version) => ({
              group: group['name'] as string,
              version,
              path: `/apis/${group['name'] as string}/${version}`,
            }))
          })
    const lists = await Promise.all(
      versions.map(async (one) => {
        try {
          const answer = await this.#transport.send({ method: 'GET', path: one.path }, signal)
          return parseLegacy(one.group, one.version, isObject(answer.body) ? answer.body : {})
        } catch (error) {
          // An aggregated API whose server is away takes only its own kinds along.
          if (error instanceof Fault && (error.reason === 'ServerError' || error.reason === 'NotFound')) return []
          throw error
        }
      }),
    )
    return lists.flat()
  }
}

function objects(value: Json | undefined): readonly JsonObject[] {
  return Array.isArray(value) ? (value as readonly Json[]).filter(isObject) : []
}

function strings(value: Json | undefined): readonly string[] {
  return Array.isArray(value) ? (value as readonly Json[]).filter((item) => typeof item === 'string') : []
}

function parseAggregated(body: JsonObject): readonly KindInfo[] {
  return objects(body['items']).flatMap((group) => {
    const name = isObject(group['metadata']) ? group['metadata']['name'] : undefined
    return objects(group['versions']).flatMap((version) =>
      objects(version['resources']).flatMap((resource): readonly KindInfo[] => {
        const kind = isObject(resource['responseKind']) ? resource['responseKind']['kind'] : undefined
        if (typeof kind !== 'string' || kind === '') return []
        return [
          {
            group: typeof name === 'string' ? name : '',
            version: version['version'] as string,
            kind,
            plural: resource['resource'] as string,
            namespaced: resource['scope'] === 'Namespaced',
            verbs: strings(resource['verbs']),
            subresources: objects(resource['subresources']).map((one) => one['subresource'] as string),
          },
        ]
      }),
    )
  })
}

function parseLegacy(group: string, version: string, body: JsonObject): readonly KindInfo[] {
  const resources = objects(body['resources'])
  return resources
    .filter((resource) => !(resource['name'] as string).includes('/'))
    .map((resource) => {
      const plural = resource['name'] as string
      const subresources = resources
        .map((one) => one['name'] as string)
        .filter((one) => one.startsWith(`${plural}/`))
        .map((one) => one.slice(plural.length + 1))
      return {
        group,
        version,
        kind: resource['kind'] as string,
        plural,
        namespaced: resource['namespaced'] === true,
        verbs: strings(resource['verbs']),
        subresources,
      }
    })
}
