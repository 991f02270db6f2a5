/** A fleet of a few shops, as texts. */
import type { Files } from '../fleet/tree.ts'

const HEAD = 'apiVersion: flotilla.dev/v1alpha1\n'

export interface Shape {
  readonly sites?: readonly string[]
  readonly tag?: string
  readonly policy?: string
  readonly fleet?: string
  readonly workload?: string
  readonly site?: (name: string) => string
}

export const POLICY = `spec:
  waves:
    - { name: canary, selector: { matchLabels: { cohort: canary } }, soak: 10m }
    - { name: rest, maxConcurrent: 100%, soak: 10m }
  maxUnavailable: 100%
`

/** `s1` is the canary. */
export function shops(shape: Shape = {}): Files {
  const { sites = ['s1', 's2', 's3'], tag = '1', policy = POLICY, fleet = '', workload = '', site = () => '' } = shape
  return {
    'flotilla.yaml': `${HEAD}kind: Fleet\nmetadata: { name: shops }\nspec:\n  layers: [country]\n${fleet}`,
    'policy.yaml': `${HEAD}kind: RolloutPolicy\nmetadata: { name: waves }\n${policy}`,
    'apps/web/workload.yaml': `${HEAD}kind: Workload
metadata: { name: web }
spec:
  source: { path: ./base }
  namespace: web
  targets: [{ selector: { matchLabels: { open: "yes" } } }]
  rollout: waves
${workload}`,
    'apps/web/base/config.yaml': `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: web }\ndata: { tag: "${tag}" }\n`,
    ...Object.fromEntries(
      sites.map((name) => [
        `sites/${name}.yaml`,
        `${HEAD}kind: Site\nmetadata: { name: ${name}, labels: { open: "yes", cohort: ${name === 's1' ? 'canary' : 'rest'} } }\nspec:\n  location: { timeZone: Europe/Copenhagen }\n${site(name)}`,
      ]),
    ),
  }
}

/** Another workload, at every open site. */
export const SECOND = {
  'apps/b/workload.yaml': `${HEAD}kind: Workload
metadata: { name: b }
spec:
  source: { path: ./base }
  namespace: b
  targets: [{ selector: { matchLabels: { open: "yes" } } }]
  rollout: waves
`,
  'apps/b/base/c.yaml': 'apiVersion: v1\nkind: ConfigMap\nmetadata: { name: b }\ndata: { x: "1" }\n',
}
