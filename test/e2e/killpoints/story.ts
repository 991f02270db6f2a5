/** Two things that a site is told. The way from the first to the second is the turn that is killed: sixty objects, each kind of step. */
import type { Manifest } from '../../../src/core/model/object.ts'
import { configMap, deployment, job, type HubStub } from '../../unit/agent/site.ts'

const names = (prefix: string, count: number): readonly string[] =>
  Array.from({ length: count }, (_, i) => `${prefix}-${String(i + 1).padStart(2, '0')}`)

const service = (name: string, port: number): Manifest => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace: 'shop' },
  spec: { selector: { app: name }, ports: [{ port }] },
})

/** What somebody else made before the site was told of it. */
export const ADOPTED: readonly Manifest[] = names('adopted', 2).map((name) => configMap(name, { theirs: '1' }))

export function tellFirst(hub: HubStub): void {
  hub.publish({
    till: {
      objects: [
        ...names('kept', 10).map((name) => configMap(name)),
        ...names('changed', 12).map((name) => configMap(name)),
        ...names('removed', 6).map((name) => configMap(name)),
        ...names('app', 4).map((name) => deployment(name)),
        ...names('app', 4).map((name) => service(name, 80)),
        job('load', 'task:1'),
      ],
    },
    old: { objects: [...names('old', 3), ...names('moved', 3)].map((name) => configMap(name)) },
  })
}

/** 60 objects: 12 changed, 18 made, 2 adopted, 3 taken over from another workload, 4 patched in place, a Job replaced; 9 pruned. */
export function tellSecond(hub: HubStub): void {
  hub.publish({
    till: {
      objects: [
        ...names('kept', 10).map((name) => configMap(name)),
        ...names('changed', 12).map((name) => configMap(name, { a: '2' })),
        ...names('made', 14).map((name) => configMap(name)),
        ...names('moved', 3).map((name) => configMap(name)),
        ...ADOPTED.map(({ metadata }) => configMap(metadata.name)),
        ...names('app', 4).map((name, i) => deployment(name, i < 2 ? 'till:2' : 'till:1')),
        ...names('app', 4).map((name, i) => service(name, i < 2 ? 81 : 80)),
        ...names('new', 4).map((name) => configMap(name, { b: '1' }, 'kitchen')),
        job('load', 'task:2'),
      ],
      rules: { adopt: 'yes' },
    },
    extra: { objects: names('extra', 6).map((name) => configMap(name)), dependsOn: [{ name: 'till' }] },
  })
}
