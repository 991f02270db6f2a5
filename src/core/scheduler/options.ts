/** Options with their defaults, and the profiles. Unknown names refuse to start. */
import { Fault } from '../model/fault.ts'
import type { PluginFactory } from './plugin.ts'
import { PLUGINS } from './plugins/list.ts'
import { ACTIONS, type ActionName, type Options, type PluginOption } from './types.ts'

export interface ResolvedOptions {
  readonly profile: 'calm' | 'volcano'
  readonly seed: string
  readonly actions: readonly ActionName[]
  readonly tiers: readonly (readonly PluginOption[])[]
  readonly schedulerNames: readonly string[]
  readonly cache: 'on' | 'off'
  readonly explain: 'on' | 'off' | 'each'
  readonly reservations: number
  readonly minRunMs: number
  readonly usageHalfLifeMs: number
  readonly preemption: 'simulate' | 'by-resources'
  readonly budgets: 'honour' | 'spend'
  /** The built-in ones, and those that the caller brings. */
  readonly plugins: Readonly<Record<string, PluginFactory>>
  readonly shard: { readonly mode: 'hard' | 'soft'; readonly nodes: ReadonlySet<string> } | null
}

export const SCHEDULER_NAME = 'flotilla'

/** One tier: every plugin with an opinion on victims is heard. */
const CALM: readonly (readonly PluginOption[])[] = [
  [
    'priority',
    'scarce',
    'conformance',
    'gang',
    'overcommit',
    'sla',
    'capacity',
    'predicates',
    'nodeorder',
    'backfill',
  ].map((name) => ({ name })),
]

const VOLCANO: readonly (readonly PluginOption[])[] = [
  [{ name: 'priority' }, { name: 'gang' }, { name: 'conformance' }],
  [
    { name: 'overcommit' },
    { name: 'drf', enabled: ['jobOrder'] },
    { name: 'predicates' },
    { name: 'proportion' },
    { name: 'nodeorder' },
  ],
]

const DEFAULTS = { reservations: 8, minRunMs: 60_000, usageHalfLifeMs: 0 }

/** Fault InvalidInput where an action or a plugin has a name that does not exist. */
export function resolveOptions(
  options: Options,
  shard: ResolvedOptions['shard'] = null,
  extra: Readonly<Record<string, PluginFactory>> = {},
): ResolvedOptions {
  const plugins = { ...PLUGINS, ...extra }
  const profile = options.profile ?? 'calm'
  const calm = profile === 'calm'
  const tiers = options.tiers ?? (calm ? CALM : VOLCANO)
  const actions: readonly ActionName[] =
    options.actions ??
    (calm ? ['enqueue', 'allocate', 'backfill', 'preempt', 'reclaim'] : ['enqueue', 'allocate', 'backfill'])
  for (const tier of tiers)
    for (const { name } of tier)
      if (!Object.hasOwn(plugins, name))
        throw new Fault('InvalidInput', `there is no scheduler plugin "${name}"`, { facts: { plugin: name } })
  for (const action of actions)
    if (!(ACTIONS as readonly string[]).includes(action))
      throw new Fault('InvalidInput', `there is no scheduler action "${action}"`, { facts: { action } })
  const backfills = tiers.some((tier) => tier.some(({ name }) => name === 'backfill'))
  return {
    profile,
    seed: options.seed ?? '',
    actions,
    tiers,
    schedulerNames: options.schedulerNames ?? [SCHEDULER_NAME],
    cache: options.cache ?? 'on',
    explain: options.explain ?? 'on',
    reservations: backfills ? (options.reservations ?? DEFAULTS.reservations) : 0,
    minRunMs: options.minRunMs ?? (calm ? DEFAULTS.minRunMs : 0),
    usageHalfLifeMs: options.usageHalfLifeMs ?? DEFAULTS.usageHalfLifeMs,
    preemption: options.preemption ?? (calm ? 'simulate' : 'by-resources'),
    budgets: options.budgets ?? 'spend',
    plugins,
    shard,
  }
}
