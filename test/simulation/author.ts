/** Who commits to the fleet repository: good changes, broken ones of several kinds, things removed and brought back, history rewritten. */
import { shops } from '../unit/hub/files.ts'
import { TextGit } from '../unit/hub/rig.ts'
import type { Files } from '../unit/fleet/tree.ts'
import type { Shape } from './shape.ts'

/** A box goes by the name of its site, and by that with a number once it was renamed. */
export const SITES = ['s1', 's2', 's3', 's4', 's5'] as const
/** Is in the first wave whatever is committed. */
export const CANARY = 's1'
export const SOAK_MS = 300_000
export const DEADLINE_MS = 20 * 60_000
/** So many may be out of every target at once: the brake never lets all workloads go. */
const MOST_AWAY = 2

export const CHANGES = [
  'good', 'good', 'good', 'good', 'good', 'broken-image', 'crashing', 'never-ready', 'refused', 'broken-text', 'drop-b', 'drop-all', 'force-push',
  'rename', 'relabel', 'hold', 'close', 'remove',
] as const // prettier-ignore
export type Change = (typeof CHANGES)[number] | 'settle'

/** What a tag makes of a workload: `src/sim/control/pods.ts`. */
const ILL: Partial<Record<Change, string>> = {
  'broken-image': 'broken',
  crashing: 'crashloop',
  'never-ready': 'unready',
}

/** A site as Git has it. `closed`: no target matches it; `removed`: it has no file. */
interface Listed {
  readonly names: readonly string[]
  readonly cohort: 'canary' | 'rest'
  readonly isHeld: boolean
  readonly is: 'open' | 'closed' | 'removed'
}

/** What a revision says of sites, by box. */
export interface FleetFacts {
  readonly held: ReadonlySet<string>
  readonly canaries: ReadonlySet<string>
  readonly names: ReadonlyMap<string, string>
}

export function boxOf(name: string): string {
  return name.split('-')[0] ?? name
}

export class Author {
  readonly git = new TextGit()
  readonly shape: Shape
  readonly #random: () => number
  readonly #sites = new Map<string, Listed>()
  readonly #facts = new Map<string, FleetFacts>()
  #count = 1
  #hasB = true
  #refused = false
  /** Anyone may have been told to let go of these. */
  readonly removed = new Set<string>()
  tag = '1'
  tip: string

  constructor(shape: Shape, random: () => number) {
    this.shape = shape
    this.#random = random
    for (const box of SITES) this.#sites.set(box, { names: [box], cohort: box === CANARY ? 'canary' : 'rest', isHeld: false, is: 'open' }) // prettier-ignore
    this.tip = this.#noted(this.git.commit(this.#files()))
  }

  /** What this revision says. */
  at(revision: string): FleetFacts {
    const facts = this.#facts.get(revision)
    if (facts === undefined) throw new Error(`nobody committed ${revision}`)
    return facts
  }

  make(change: Change): string {
    this.#count += 1
    const ill = ILL[change]
    if (change === 'good' || change === 'force-push' || change === 'settle') {
      this.tag = String(this.#count)
      this.#hasB = true
      this.#refused = false
    }
    if (ill !== undefined) this.tag = `${this.#count}-${ill}`
    if (change === 'refused') this.#refused = true
    if (change === 'drop-b') {
      this.#hasB = false
      this.removed.add('b')
    }
    this.#changeSites(change)
    const files: Files =
      change === 'broken-text'
        ? { ...this.#files(), 'apps/web/base/web.yaml': 'kind: [oops\n' }
        : change === 'drop-all'
          ? this.#nothing()
          : this.#files()
    this.tip = this.#noted(change === 'force-push' ? this.git.rewrite(files) : this.git.commit(files))
    return this.tip
  }

  /** One site is changed, or changed back. */
  #changeSites(change: Change): void {
    if (change === 'settle')
      for (const [box, site] of this.#sites)
        this.#sites.set(box, { ...site, cohort: box === CANARY ? 'canary' : 'rest', isHeld: false, is: 'open' })
    if (!['rename', 'relabel', 'hold', 'close', 'remove'].includes(change)) return
    const box = SITES[1 + Math.floor(this.#random() * (SITES.length - 1))]!
    const site = this.#sites.get(box)!
    const away = [...this.#sites.values()].filter(({ is }) => is !== 'open').length
    const next = change === 'close' ? 'closed' : 'removed'
    if (change === 'rename' && site.is !== 'removed')
      this.#sites.set(box, { ...site, names: [...site.names, `${box}-${site.names.length}`] })
    if (change === 'relabel') this.#sites.set(box, { ...site, cohort: site.cohort === 'rest' ? 'canary' : 'rest' })
    if (change === 'hold') this.#sites.set(box, { ...site, isHeld: !site.isHeld })
    if (change !== 'close' && change !== 'remove') return
    if (site.is !== 'open') this.#sites.set(box, { ...site, is: 'open' })
    else if (away < MOST_AWAY) this.#sites.set(box, { ...site, is: next })
  }

  #noted(revision: string): string {
    const listed = [...this.#sites].filter(([, { is }]) => is !== 'removed')
    this.#facts.set(revision, {
      held: new Set(listed.flatMap(([box, { isHeld }]) => (isHeld ? [box] : []))),
      canaries: new Set(listed.flatMap(([box, { cohort }]) => (cohort === 'canary' ? [box] : []))),
      names: new Map([...this.#sites].map(([box, { names }]) => [box, names.at(-1)!])),
    })
    return revision
  }

  /** All workloads are gone at once: what the brake is for. */
  #nothing(): Files {
    return Object.fromEntries(Object.entries(this.#files()).filter(([path]) => !path.startsWith('apps/')))
  }

  #files(): Files {
    // A field that never changes in place: the API server refuses it.
    const app = this.#refused ? 'other' : 'web'
    const web =
      `apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: web }\nspec:\n  replicas: 1\n  selector: { matchLabels: { app: ${app} } }\n` +
      `  template:\n    metadata: { labels: { app: ${app} } }\n    spec: { containers: [{ name: web, image: "reg/web:${this.tag}" }] }\n`
    const sites = [...this.#sites.values()].filter(({ is }) => is !== 'removed')
    return {
      ...shops({ sites: [], tag: this.tag, policy: policyOf(this.shape), fleet: fleetOf(this.shape) }),
      ...Object.fromEntries(sites.map((site) => [`sites/${site.names.at(-1)}.yaml`, siteText(site)])),
      'apps/web/base/web.yaml': web,
      ...(this.#hasB ? second(this.tag, this.shape) : {}),
    }
  }
}

function policyOf({ mostChanging, isGated, onFailure, startBy }: Shape): string {
  const gate = isGated ? ', gate: { approval: shop }' : ''
  return `spec:
  waves:
    - { name: canary, selector: { matchLabels: { cohort: canary } }, soak: 5m${gate} }
    - { name: rest, maxConcurrent: ${mostChanging}, soak: 5m }
  maxUnavailable: 100%
  progressDeadline: 20m
  startBy: ${startBy}
  offline: { excuseAfter: 10m }
  onFailure: ${onFailure}
`
}

/** Room for one workload everywhere, and not for all of them at three sites. */
function fleetOf({ budget }: Shape): string {
  return `  deletionBrake: { objects: 11 }\n  budget: { changingSites: ${budget} }\n`
}

function siteText({ names, cohort, isHeld, is }: Listed): string {
  const labels = `{ open: "${is === 'open' ? 'yes' : 'no'}", cohort: ${cohort} }`
  const former = names.slice(0, -1)
  return (
    `apiVersion: flotilla.dev/v1alpha1\nkind: Site\nmetadata: { name: ${names.at(-1)}, labels: ${labels} }\n` +
    'spec:\n  location: { timeZone: Europe/Copenhagen }\n' +
    (isHeld ? '  hold: { reason: it is being rebuilt }\n' : '') +
    (former.length > 0 ? `  formerNames: [${former.join(', ')}]\n` : '')
  )
}

/** A workload with data: a claim that outlives whatever Git says of it. */
function second(tag: string, { depends }: Shape): Files {
  const workload =
    'apiVersion: flotilla.dev/v1alpha1\nkind: Workload\nmetadata: { name: b }\nspec:\n  source: { path: ./base }\n  namespace: b\n' +
    '  targets: [{ selector: { matchLabels: { open: "yes" } } }]\n  rollout: waves\n' +
    (depends ? '  dependsOn: [{ name: web }]\n' : '')
  return {
    'apps/b/workload.yaml': workload,
    'apps/b/base/c.yaml': `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: b }\ndata: { x: "${tag}" }\n`,
    'apps/b/base/data.yaml':
      'apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: { name: data }\n' +
      'spec: { accessModes: [ReadWriteOnce], resources: { requests: { storage: 1Gi } } }\n',
  }
}
