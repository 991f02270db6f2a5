/** Who commits to the fleet repository: good changes, broken ones of several kinds, things removed and brought back, history rewritten. */
import { shops } from '../unit/hub/files.ts'
import { TextGit } from '../unit/hub/rig.ts'
import type { Files } from '../unit/fleet/tree.ts'

export const SITES = ['s1', 's2', 's3', 's4', 's5'] as const
export const CANARY = 's1'
export const SOAK_MS = 300_000
export const DEADLINE_MS = 20 * 60_000
/** Of a workload's wave after the canary, and of the whole fleet over both workloads. */
export const MOST_CHANGING = 1
export const BUDGET = 2

const POLICY = `spec:
  waves:
    - { name: canary, selector: { matchLabels: { cohort: canary } }, soak: 5m }
    - { name: rest, maxConcurrent: ${MOST_CHANGING}, soak: 5m }
  maxUnavailable: 100%
  progressDeadline: 20m
`
const FLEET = `  deletionBrake: { objects: 5 }\n  budget: { changingSites: ${BUDGET} }\n`

export const CHANGES = [
  'good', 'good', 'good', 'broken-image', 'crashing', 'never-ready', 'refused', 'broken-text', 'drop-b', 'drop-all', 'force-push',
] as const // prettier-ignore
export type Change = (typeof CHANGES)[number]

/** What a tag makes of a workload: `src/sim/control/pods.ts`. */
const ILL: Partial<Record<Change, string>> = {
  'broken-image': 'broken',
  crashing: 'crashloop',
  'never-ready': 'unready',
}

export class Author {
  readonly git = new TextGit()
  #count = 1
  #hasB = true
  #refused = false
  /** Anyone may have been told to let go of these. */
  readonly removed = new Set<string>()
  tag = '1'
  tip: string

  constructor() {
    this.tip = this.git.commit(this.#files())
  }

  make(change: Change): string {
    this.#count += 1
    const ill = ILL[change]
    if (change === 'good' || change === 'force-push') {
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
    const files: Files =
      change === 'broken-text'
        ? { ...this.#files(), 'apps/web/base/web.yaml': 'kind: [oops\n' }
        : change === 'drop-all'
          ? this.#nothing()
          : this.#files()
    this.tip = change === 'force-push' ? this.git.rewrite(files) : this.git.commit(files)
    return this.tip
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
    return {
      ...shops({ sites: SITES, tag: this.tag, policy: POLICY, fleet: FLEET }),
      'apps/web/base/web.yaml': web,
      ...(this.#hasB ? second(this.tag) : {}),
    }
  }
}

/** A workload with data: a claim that outlives whatever Git says of it. */
function second(tag: string): Files {
  const workload =
    'apiVersion: flotilla.dev/v1alpha1\nkind: Workload\nmetadata: { name: b }\nspec:\n  source: { path: ./base }\n  namespace: b\n' +
    '  targets: [{ selector: { matchLabels: { open: "yes" } } }]\n  rollout: waves\n'
  return {
    'apps/b/workload.yaml': workload,
    'apps/b/base/c.yaml': `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: b }\ndata: { x: "${tag}" }\n`,
    'apps/b/base/data.yaml':
      'apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: { name: data }\n' +
      'spec: { accessModes: [ReadWriteOnce], resources: { requests: { storage: 1Gi } } }\n',
  }
}
