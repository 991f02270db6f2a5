/** Who commits to the fleet repository: good changes, broken images, broken text, things removed and brought back, history rewritten. */
import { shops, SECOND } from '../unit/hub/files.ts'
import { TextGit } from '../unit/hub/rig.ts'
import type { Files } from '../unit/fleet/tree.ts'

export const SITES = ['s1', 's2', 's3', 's4'] as const
export const CANARY = 's1'
export const MOST_CHANGING = 1

const POLICY = `spec:
  waves:
    - { name: canary, selector: { matchLabels: { cohort: canary } }, soak: 5m }
    - { name: rest, maxConcurrent: ${MOST_CHANGING}, soak: 5m }
  maxUnavailable: 100%
`

export type Change = 'good' | 'broken-image' | 'broken-text' | 'drop-b' | 'drop-all' | 'force-push'
export const CHANGES: readonly Change[] = ['good', 'good', 'broken-image', 'broken-text', 'drop-b', 'drop-all', 'force-push'] // prettier-ignore

export class Author {
  readonly git = new TextGit()
  #count = 1
  #hasB = true
  /** Anyone may have been told to let go of these. */
  readonly removed = new Set<string>()
  tag = '1'
  tip: string

  constructor() {
    this.tip = this.git.commit(this.#files())
  }

  make(change: Change): string {
    this.#count += 1
    if (change === 'good' || change === 'force-push') {
      this.tag = String(this.#count)
      this.#hasB = true
    }
    if (change === 'broken-image') this.tag = `${this.#count}-broken`
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
    const web =
      'apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: web }\nspec:\n  replicas: 1\n  selector: { matchLabels: { app: web } }\n' +
      `  template:\n    metadata: { labels: { app: web } }\n    spec: { containers: [{ name: web, image: "reg/web:${this.tag}" }] }\n`
    return {
      ...shops({ sites: SITES, tag: this.tag, policy: POLICY, fleet: '  deletionBrake: { objects: 5 }\n' }),
      'apps/web/base/web.yaml': web,
      ...(this.#hasB ? SECOND : {}),
    }
  }
}
