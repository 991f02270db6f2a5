/** What plugins are told: `--port=2222`, `--worker=w`, as Volcano's flags have it. */
import { isObject, type Json } from '../model/json.ts'
import { type Gathering, refuse, textsOf } from './fields.ts'
import { type BatchJobSpec, type PluginName, PLUGINS, type TaskSpec } from './types.ts'

const FLAGS: Readonly<Record<PluginName, Readonly<Record<string, 'task' | 'port' | 'switch'>>>> = {
  env: {},
  svc: { 'publish-not-ready-addresses': 'switch', 'disable-network-policy': 'switch' },
  tensorflow: { ps: 'task', worker: 'task', chief: 'task', evaluator: 'task', port: 'port' },
  pytorch: { master: 'task', worker: 'task', port: 'port' },
  mpi: { master: 'task', worker: 'task', port: 'port', slots: 'port' },
}

/** `--a=b`, `-a=b`, `--a b`, `--a`; a flag alone is `true`. */
export function readFlags(options: readonly string[]): ReadonlyMap<string, string> {
  const flags = new Map<string, string>()
  for (let i = 0; i < options.length; i++) {
    const [, name = '', value] = /^--?([^=\s]+)(?:=(.*))?$/.exec(options[i] as string) ?? []
    const next = options[i + 1]
    if (value !== undefined) flags.set(name, value)
    else if (next !== undefined && !next.startsWith('-')) {
      flags.set(name, next)
      i++
    } else flags.set(name, 'true')
  }
  return flags
}

export function parsePlugins(
  into: Gathering,
  value: Json | undefined,
  tasks: readonly TaskSpec[],
  path: string,
): BatchJobSpec['plugins'] {
  const plugins: Partial<Record<PluginName, readonly string[]>> = {}
  for (const [name, options] of Object.entries(isObject(value) ? value : {})) {
    if (options === undefined || options === null) continue
    if (!PLUGINS.includes(name as PluginName)) {
      refuse(into, path, `${name} is no plugin; there are ${PLUGINS.join(', ')}`)
      continue
    }
    const plugin = name as PluginName
    plugins[plugin] = textsOf(options)
    refuseFlags(into, plugin, readFlags(textsOf(options)), `${path}.${name}`)
  }
  refuseRoles(into, plugins, tasks, path)
  // Frameworks find their hosts by name, and svc makes the names.
  const needsNames = plugins.tensorflow ?? plugins.pytorch ?? plugins.mpi
  if (needsNames !== undefined && plugins.svc === undefined) plugins.svc = []
  return plugins
}

function refuseFlags(into: Gathering, plugin: PluginName, flags: ReadonlyMap<string, string>, path: string): void {
  const known = FLAGS[plugin]
  for (const [flag, value] of flags) {
    const kind = Object.hasOwn(known, flag) ? known[flag] : undefined
    if (kind === undefined) refuse(into, path, `does not know --${flag}`)
    else if (kind === 'port' && !(/^\d{1,5}$/.test(value) && Number(value) >= 1 && Number(value) <= 65_535))
      refuse(into, path, `--${flag} must be between 1 and 65535, not ${value}`)
    else if (kind === 'switch' && value !== 'true' && value !== 'false')
      refuse(into, path, `--${flag} must be true or false, not ${value}`)
  }
}

/** Without the task it leads from, a framework's pods would wait for a host that never comes. */
function refuseRoles(
  into: Gathering,
  plugins: BatchJobSpec['plugins'],
  tasks: readonly TaskSpec[],
  path: string,
): void {
  for (const plugin of ['pytorch', 'mpi'] as const) {
    const options = plugins[plugin]
    if (options === undefined) continue
    const master = readFlags(options).get('master') ?? 'master'
    if (!tasks.some((task) => task.name === master))
      refuse(into, `${path}.${plugin}`, `has no task ${master}; name the one that leads with --master`)
  }
}
