/** What expressions can name for one workload at one site: `vars`, `site`, `fleet`. */
import { isObject, type Json, type JsonObject } from '../model/json.ts'
import { dig, evaluate, hasExpression, type Looked, type Lookup } from './expressions.ts'
import { mergeDeep } from './merge.ts'
import type { Fleet, Site, SiteGroup, Workload } from './types.ts'

/** The vars of each layer, weakest first: fleet, workload, groups by layer, site. */
export function varLayers(
  fleet: Fleet,
  workload: Workload,
  groups: readonly SiteGroup[],
  site: Site,
): readonly JsonObject[] {
  const layers = [fleet.vars, workload.vars]
  for (const group of groups) {
    layers.push(group.vars)
    const own = group.workloadVars[workload.name]
    if (own !== undefined) layers.push(own)
  }
  layers.push(site.vars)
  return layers
}

/** One var over all layers: merged where they are maps, the strongest where not. */
function layered(layers: readonly JsonObject[], name: string): Json | undefined {
  let value: Json | undefined
  for (const layer of layers) {
    const above = Object.hasOwn(layer, name) ? layer[name] : undefined
    if (above === undefined) continue
    value = isObject(value) && isObject(above) ? mergeDeep(value, above) : above
  }
  return value
}

/** Vars may name other vars; each is resolved when it is first read, and one that leads to itself is an error. */
export function scopeOf(fleet: Fleet, site: Site, layers: readonly JsonObject[]): Lookup {
  const resolved = new Map<string, Looked>()
  const open = new Set<string>()
  const variable = (name: string): Looked => {
    const known = resolved.get(name)
    if (known !== undefined) return known
    const raw = layered(layers, name)
    if (raw === undefined) return { missing: `vars.${name} has no value` }
    if (open.has(name)) return { missing: `vars.${name} leads to itself` }
    open.add(name)
    const looked = hasExpression(raw) ? evaluate(raw, lookup) : { value: raw }
    open.delete(name)
    resolved.set(name, looked)
    return looked
  }
  const lookup: Lookup = (path) => {
    const [root, ...rest] = path
    if (root === 'vars') {
      const [name, ...inside] = rest
      if (name === undefined) return { missing: 'vars as a whole has no value: name one' }
      const looked = variable(name)
      return 'missing' in looked ? looked : found(dig(looked.value, inside), path)
    }
    if (root === 'fleet' && rest.length === 1 && rest[0] === 'name') return { value: fleet.name }
    if (root === 'site') return found(dig(siteFacts(site), rest), path)
    return { missing: `${path.join('.')} is no name: vars, site.name, site.labels, site.location and fleet.name are` }
  }
  return lookup
}

function found(value: Json | undefined, path: readonly string[]): Looked {
  return value === undefined || (value === null && path[0] === 'site')
    ? { missing: `${path.join('.')} has no value` }
    : { value }
}

function siteFacts(site: Site): JsonObject {
  return { name: site.name, labels: site.labels, location: site.location }
}
