import type { KindInfo, KindName } from '../core/kube/cluster.ts'
import { Fault } from '../core/model/fault.ts'
import { isObject, type Json, type JsonObject } from '../core/model/json.ts'
import { groupOf, versionOf, type Manifest } from '../core/model/object.ts'
import { BUILT_IN_KINDS, builtIn, groupKind, HAS_GENERATION } from './kinds.ts'
import { builtInSchema, customSchema, type Schema } from './schema.ts'

/** One version of one kind, with all that the server knows about it. */
export interface Served {
  readonly info: KindInfo
  /** group/Kind. */
  readonly key: string
  readonly apiVersion: string
  readonly schema: Schema
  /** Of a custom kind: its OpenAPI, to judge objects by. */
  readonly openApi: Json | undefined
  readonly custom: boolean
  /** Status is written through its own endpoint only. */
  readonly statusApart: boolean
  readonly counted: boolean
}

export const CRD_KEY = 'apiextensions.k8s.io/CustomResourceDefinition'

/** Which kinds this cluster serves: the built-in ones, shared by all, and those of its established definitions. */
export class KindRegistry {
  readonly #custom = new Map<string, readonly Served[]>()
  readonly #builtIn = new Map<string, Served>()

  /** Fault NoKindMatch. */
  resolve(name: KindName): Served {
    const [group, version] = [groupOf(name.apiVersion), versionOf(name.apiVersion)]
    const served = this.#versions(groupKind(group, name.kind)).find((one) => one.info.version === version)
    if (served === undefined)
      throw new Fault('NoKindMatch', `no matches for kind "${name.kind}" in version "${name.apiVersion}"`, {
        facts: { kind: name.kind, apiVersion: name.apiVersion },
      })
    return served
  }

  preferred(group: string, kind: string): Served {
    const served = this.#versions(groupKind(group, kind))[0]
    if (served === undefined)
      throw new Fault('NoKindMatch', `no matches for kind "${kind}" in group "${group}"`, { facts: { kind, group } })
    return served
  }

  served(): readonly KindInfo[] {
    return [...BUILT_IN_KINDS, ...[...this.#custom.values()].flat().map((one) => one.info)]
  }

  /** Custom kinds by the definition that brought them. */
  keysOf(crd: Manifest): string {
    const spec = crd['spec'] as JsonObject
    return groupKind(spec['group'] as string, (spec['names'] as JsonObject)['kind'] as string)
  }

  establish(crd: Manifest): void {
    const spec = crd['spec'] as JsonObject
    const names = spec['names'] as JsonObject
    const group = spec['group'] as string
    const kind = names['kind'] as string
    const versions = (spec['versions'] as readonly JsonObject[]).filter((version) => version['served'] === true)
    const served = versions.map((version): Served => {
      const subresources = isObject(version['subresources']) ? Object.keys(version['subresources']) : []
      const openApi = isObject(version['schema']) ? version['schema']['openAPIV3Schema'] : undefined
      return {
        info: {
          group,
          version: version['name'] as string,
          kind,
          plural: names['plural'] as string,
          namespaced: spec['scope'] === 'Namespaced',
          verbs: ['delete', 'deletecollection', 'get', 'list', 'patch', 'create', 'update', 'watch'],
          subresources,
        },
        key: groupKind(group, kind),
        apiVersion: `${group}/${version['name'] as string}`,
        schema: customSchema(openApi),
        openApi,
        custom: true,
        statusApart: subresources.includes('status'),
        counted: true,
      }
    })
    this.#custom.set(groupKind(group, kind), served.toSorted(byMaturity))
  }

  withdraw(crd: Manifest): void {
    this.#custom.delete(this.keysOf(crd))
  }

  #versions(key: string): readonly Served[] {
    const custom = this.#custom.get(key)
    if (custom !== undefined) return custom
    return builtIn(key).map((info) => {
      const apiVersion = info.group === '' ? info.version : `${info.group}/${info.version}`
      const known = this.#builtIn.get(`${key}/${info.version}`)
      if (known !== undefined) return known
      const served: Served = {
        info,
        key,
        apiVersion,
        schema: builtInSchema(info.group, info.version, info.kind),
        openApi: undefined,
        custom: false,
        statusApart: info.subresources.includes('status'),
        counted: HAS_GENERATION.has(key),
      }
      this.#builtIn.set(`${key}/${info.version}`, served)
      return served
    })
  }
}

/** As Kubernetes ranks versions: v2 before v1 before v1beta1 before v1alpha1. */
function byMaturity(a: Served, b: Served): number {
  const rank = (version: string): readonly [number, number, number] => {
    const match = /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(version)
    if (match === null) return [0, 0, 0]
    const stage = match[2] === undefined ? 3 : match[2] === 'beta' ? 2 : 1
    return [stage, Number(match[1]), Number(match[3] ?? 0)]
  }
  const [x, y] = [rank(a.info.version), rank(b.info.version)]
  return y[0] - x[0] || y[1] - x[1] || y[2] - x[2]
}
