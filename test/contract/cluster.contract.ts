/** What every cluster behind the port promises. One suite, run on the simulated one and on a real kube-apiserver. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Cluster, KindName, WatchEvent } from '../../src/core/kube/cluster.ts'
import { Fault } from '../../src/core/model/fault.ts'
import { isObject, type Json, type JsonObject } from '../../src/core/model/json.ts'
import { refOf, type Manifest, type ObjectRef } from '../../src/core/model/object.ts'

export interface Subject {
  readonly cluster: Cluster
  /** Makes the server forget its past, by a restart where that is the only way; an open watch may end by it. */
  forgetHistory(): Promise<void>
  close(): Promise<void>
}

const CONFIG_MAP = { apiVersion: 'v1', kind: 'ConfigMap' }
const DEPLOYMENT = { apiVersion: 'apps/v1', kind: 'Deployment' }
const POD = { apiVersion: 'v1', kind: 'Pod' }
const NAMESPACE = { apiVersion: 'v1', kind: 'Namespace' }
const CRD = { apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition' }
const MINE = { fieldManager: 'flotilla', force: false }
const OTHER = { fieldManager: 'someone-else', force: false }
/** Longest that anything takes on a loaded machine. */
const PATIENCE_MS = 20_000

export function clusterContract(name: string, makeSubject: () => Promise<Subject>): void {
  describe(name, () => {
    let subject: Subject
    let cluster: Cluster
    let namespaces = 0
    const signal = new AbortController().signal
    const run = Math.floor(Math.random() * 0xffffff).toString(36)

    beforeAll(async () => {
      subject = await makeSubject()
      cluster = subject.cluster
    })
    afterAll(async () => {
      await subject?.close()
    })

    /** A namespace of this test's own. */
    const home = async (): Promise<string> => {
      const namespace = `contract-${run}-${++namespaces}`
      await cluster.create({ ...NAMESPACE, metadata: { name: namespace } }, {}, signal)
      return namespace
    }
    const configMap = (namespace: string, data: JsonObject, more: JsonObject = {}): Manifest => ({
      ...CONFIG_MAP,
      metadata: { name: 'settings', namespace, ...more },
      data,
    })
    const deployment = (namespace: string, containers: readonly JsonObject[], more: JsonObject = {}): Manifest => ({
      ...DEPLOYMENT,
      metadata: { name: 'web', namespace },
      spec: {
        replicas: 0,
        selector: { matchLabels: { app: 'web' } },
        template: { metadata: { labels: { app: 'web' } }, spec: { containers } },
        ...more,
      },
    })
    const get = (object: Manifest): Promise<Manifest | undefined> => cluster.get(object, refOf(object), signal)
    const mustGet = async (object: Manifest): Promise<Manifest> => {
      const found = await get(object)
      expect(found).toBeDefined()
      return found as Manifest
    }
    const faultOf = async (promise: Promise<unknown>): Promise<Fault> => {
      try {
        await promise
      } catch (error) {
        expect(error).toBeInstanceOf(Fault)
        return error as Fault
      }
      throw new Error('no fault')
    }
    /** Asks until it holds; what is asked for comes to be by itself. */
    const eventually = async <T>(ask: () => Promise<T | undefined>): Promise<T> => {
      const end = Date.now() + PATIENCE_MS
      for (;;) {
        const answer = await ask()
        if (answer !== undefined) return answer
        if (Date.now() > end) throw new Error('it did not come to be')
        await new Promise((resolve) => {
          setTimeout(resolve, 25)
        })
      }
    }
    const gone = (object: Manifest): Promise<true> =>
      eventually(async () => ((await get(object)) === undefined ? true : undefined))

    describe('discovery', () => {
      test('knows built-in kinds with plural, scope and subresources', async () => {
        const found = await cluster.kind(DEPLOYMENT, signal)
        expect(found).toMatchObject({ group: 'apps', version: 'v1', plural: 'deployments', namespaced: true })
        expect(found.subresources).toEqual(expect.arrayContaining(['status', 'scale']))
        expect(found.verbs).toEqual(expect.arrayContaining(['get', 'list', 'watch', 'patch', 'delete']))
        expect((await cluster.kind(NAMESPACE, signal)).namespaced).toBe(false)
      })
      test('says NoKindMatch for a kind, and for a version, that is not served', async () => {
        expect((await faultOf(cluster.kind({ apiVersion: 'no.such/v1', kind: 'Thing' }, signal))).reason).toBe(
          'NoKindMatch',
        )
        expect((await faultOf(cluster.kind({ apiVersion: 'apps/v9', kind: 'Deployment' }, signal))).reason).toBe(
          'NoKindMatch',
        )
        expect((await faultOf(cluster.preferred('no.such', 'Thing', signal))).reason).toBe('NoKindMatch')
      })
      test('names the preferred version of a kind', async () => {
        expect((await cluster.preferred('autoscaling', 'HorizontalPodAutoscaler', signal)).version).toBe('v2')
        expect((await cluster.preferred('', 'Pod', signal)).version).toBe('v1')
      })
      test('lists all kinds', async () => {
        const kinds = (await cluster.kinds(signal)).map((kind) => `${kind.group}/${kind.version}/${kind.kind}`)
        expect(kinds).toEqual(
          expect.arrayContaining(['/v1/ConfigMap', 'apps/v1/StatefulSet', 'rbac.authorization.k8s.io/v1/Role']),
        )
        expect(new Set(kinds).size).toBe(kinds.length)
      })
    })

    describe('create, get, list', () => {
      test('a created object has identity, and is read back as it was answered', async () => {
        const made = await cluster.create(
          configMap(await home(), { a: '1' }),
          { fieldManager: 'kubectl-create' },
          signal,
        )
        expect(made).toMatchObject({ ...CONFIG_MAP, data: { a: '1' } })
        expect(made.metadata.uid).toMatch(/^[0-9a-f-]{36}$/)
        expect(made.metadata.resourceVersion).toMatch(/^\d+$/)
        expect(made.metadata.creationTimestamp).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
        expect(made.metadata.managedFields?.[0]).toMatchObject({
          manager: 'kubectl-create',
          operation: 'Update',
          fieldsType: 'FieldsV1',
        })
        expect(await get(made)).toEqual(made)
      })
      test('what is not there is undefined to get, NotFound to patch, gone to delete', async () => {
        const missing = configMap(await home(), {})
        expect(await get(missing)).toBeUndefined()
        const patched = cluster.patch(missing, refOf(missing), { data: {} }, {}, signal)
        expect((await faultOf(patched)).reason).toBe('NotFound')
        expect(await cluster.delete(missing, refOf(missing), {}, signal)).toBe('gone')
      })
      test('creating what is there is a Conflict that says AlreadyExists', async () => {
        const object = configMap(await home(), {})
        await cluster.create(object, {}, signal)
        const fault = await faultOf(cluster.create(object, {}, signal))
        expect(fault.reason).toBe('Conflict')
        expect(fault.facts['cause']).toBe('AlreadyExists')
      })
      test('a namespace that is not there takes nothing: NotFound, by create and by apply', async () => {
        const object = configMap('no-such-namespace', {})
        expect((await faultOf(cluster.create(object, {}, signal))).reason).toBe('NotFound')
        expect((await faultOf(cluster.apply(object, MINE, signal))).reason).toBe('NotFound')
      })
      test('bad names are Rejected and name the field', async () => {
        const namespace = await home()
        const bad = { ...configMap(namespace, {}), metadata: { name: 'Not_A_Name', namespace } }
        const fault = await faultOf(cluster.create(bad, {}, signal))
        expect(fault.reason).toBe('Rejected')
        expect(fault.facts['field']).toBe('metadata.name')
      })
      test('a Deployment without a selector, or whose selector misses its template, is Rejected', async () => {
        const namespace = await home()
        const ok = deployment(namespace, [{ name: 'web', image: 'app:1' }])
        const { selector: _, ...spec } = ok['spec'] as JsonObject
        const without = await faultOf(cluster.apply({ ...ok, spec }, MINE, signal))
        expect(without.reason).toBe('Rejected')
        const misses = { ...ok, spec: { ...spec, selector: { matchLabels: { app: 'other' } } } } as Manifest
        const fault = await faultOf(cluster.apply(misses, MINE, signal))
        expect(fault.reason).toBe('Rejected')
        expect(fault.facts['field']).toBe('spec.template.metadata.labels')
      })
      test('lists select by namespace, labels and fields, and give a version to watch from', async () => {
        const namespace = await home()
        for (const [n, tier] of ['web', 'web', 'db'].entries())
          await cluster.create({ ...CONFIG_MAP, metadata: { name: `c${n}`, namespace, labels: { tier } } }, {}, signal)
        const names = async (labelSelector?: string, fieldSelector?: string): Promise<readonly string[]> => {
          const query = {
            ...CONFIG_MAP,
            namespace,
            ...(labelSelector === undefined ? {} : { labelSelector }),
            ...(fieldSelector === undefined ? {} : { fieldSelector }),
          }
          const { items, resourceVersion } = await cluster.list(query, signal)
          expect(resourceVersion).toMatch(/^\d+$/)
          return items.map((item) => item.metadata.name).filter((one) => one !== 'kube-root-ca.crt')
        }
        expect(await names()).toEqual(['c0', 'c1', 'c2'])
        expect(await names('tier=web')).toEqual(['c0', 'c1'])
        expect(await names('tier in (db,cache)')).toEqual(['c2'])
        expect(await names('tier,tier!=db')).toEqual(['c0', 'c1'])
        expect(await names('!tier')).toEqual([])
        expect(await names(undefined, 'metadata.name=c1')).toEqual(['c1'])
      })
      test('items of a list say what they are; metadata alone can be asked for', async () => {
        const namespace = await home()
        await cluster.create(configMap(namespace, { a: '1' }), {}, signal)
        const query = { ...CONFIG_MAP, namespace, fieldSelector: 'metadata.name=settings' }
        expect((await cluster.list(query, signal)).items[0]).toMatchObject({ ...CONFIG_MAP, data: { a: '1' } })
        const partial = (await cluster.list({ ...query, metadataOnly: true }, signal)).items[0]
        expect(partial?.metadata.name).toBe('settings')
        expect(partial?.['data']).toBeUndefined()
      })
      test('an object is one, in whichever served version it is asked for', async () => {
        const namespace = await home()
        const spec = { maxReplicas: 3, scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' } }
        const v2 = {
          apiVersion: 'autoscaling/v2',
          kind: 'HorizontalPodAutoscaler',
          metadata: { name: 'web', namespace },
          spec,
        }
        const made = await cluster.apply(v2, MINE, signal)
        const v1 = await cluster.get({ apiVersion: 'autoscaling/v1', kind: v2.kind }, refOf(v2), signal)
        expect(v1).toMatchObject({ apiVersion: 'autoscaling/v1', metadata: { uid: made.metadata.uid } })
      })
    })

    describe('server-side apply', () => {
      const container = (image: string, more: JsonObject = {}): JsonObject => ({ name: 'web', image, ...more })

      test('creates with defaults that nobody owns', async () => {
        const made = await cluster.apply(deployment(await home(), [container('app:1')]), MINE, signal)
        expect(made['spec']).toMatchObject({
          replicas: 0,
          revisionHistoryLimit: 10,
          progressDeadlineSeconds: 600,
          strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: '25%', maxUnavailable: '25%' } },
        })
        expect(podSpecOf(made)).toMatchObject({
          restartPolicy: 'Always',
          dnsPolicy: 'ClusterFirst',
          terminationGracePeriodSeconds: 30,
        })
        expect(containersOf(made)[0]).toMatchObject({
          imagePullPolicy: 'IfNotPresent',
          terminationMessagePath: '/dev/termination-log',
        })
        expect(made.metadata.managedFields).toHaveLength(1)
        expect(made.metadata.managedFields?.[0]).toMatchObject({
          manager: 'flotilla',
          operation: 'Apply',
          apiVersion: 'apps/v1',
          fieldsType: 'FieldsV1',
          fieldsV1: {
            'f:spec': {
              'f:replicas': {},
              'f:selector': {},
              'f:template': {
                'f:metadata': { 'f:labels': { 'f:app': {} } },
                'f:spec': { 'f:containers': { 'k:{"name":"web"}': { '.': {}, 'f:image': {}, 'f:name': {} } } },
              },
            },
          },
        })
      })
      test('the same again changes nothing, the resourceVersion neither', async () => {
        const object = deployment(await home(), [
          container('app:1', { env: [{ name: 'A', value: '1' }], ports: [{ containerPort: 80 }] }),
        ])
        await cluster.apply(object, MINE, signal)
        // Controllers may still be writing; what counts is that this apply writes nothing.
        const again = await eventually(async () => {
          const before = await mustGet(object)
          const after = await cluster.apply(object, MINE, signal)
          return after.metadata.resourceVersion === before.metadata.resourceVersion ? after : undefined
        })
        expect(again.metadata.generation).toBe(1)
      })
      test('changing spec raises the generation, changing labels does not', async () => {
        const object = deployment(await home(), [container('app:1')])
        const made = await cluster.apply(object, MINE, signal)
        const labelled = await cluster.apply(
          { ...object, metadata: { ...object.metadata, labels: { a: 'b' } } },
          MINE,
          signal,
        )
        expect(labelled.metadata.generation).toBe(made.metadata.generation)
        expect(labelled.metadata.resourceVersion).not.toBe(made.metadata.resourceVersion)
        const changed = await cluster.apply(
          deployment(made.metadata.namespace as string, [container('app:2')]),
          MINE,
          signal,
        )
        expect(changed.metadata.generation).toBe(2)
        expect(changed.metadata.labels).toBeUndefined()
        expect(changed.metadata.uid).toBe(made.metadata.uid)
      })
      test('a field no longer applied goes, with what was defaulted below it; fields of others stay', async () => {
        const namespace = await home()
        await cluster.apply(configMap(namespace, { a: '1', b: '2' }), MINE, signal)
        await cluster.apply(configMap(namespace, { c: '3' }), OTHER, signal)
        const after = await cluster.apply(configMap(namespace, { a: '1' }), MINE, signal)
        expect(after['data']).toEqual({ a: '1', c: '3' })
        const probe = { httpGet: { path: '/', port: 80 } }
        const full = deployment(
          namespace,
          [container('app:1', { readinessProbe: probe, ports: [{ containerPort: 80, name: 'http' }] })],
          { minReadySeconds: 5 },
        )
        await cluster.apply(full, MINE, signal)
        const less = await cluster.apply(deployment(namespace, [container('app:1')]), MINE, signal)
        expect(containersOf(less)[0]).not.toHaveProperty('readinessProbe')
        expect(containersOf(less)[0]).not.toHaveProperty('ports')
        expect((less['spec'] as JsonObject)['minReadySeconds'] ?? 0).toBe(0)
      })
      test('list maps merge by key: each manager has its containers, variables and ports', async () => {
        const namespace = await home()
        const env = (...names: string[]): JsonObject[] => names.map((name) => ({ name, value: 'x' }))
        await cluster.apply(deployment(namespace, [container('app:1', { env: env('A', 'B') })]), MINE, signal)
        const sidecar = { name: 'side', image: 'side:1' }
        const theirs = { ...deployment(namespace, [sidecar, { name: 'web', env: env('C') }]) }
        const both = await cluster.apply(theirs, { ...OTHER, force: true }, signal)
        expect(
          containersOf(both)
            .map((one) => one['name'])
            .toSorted(byText),
        ).toEqual(['side', 'web'])
        const after = await cluster.apply(deployment(namespace, [container('app:1', { env: env('A') })]), MINE, signal)
        const web = containersOf(after).find((one) => one['name'] === 'web') as JsonObject
        expect((web['env'] as readonly JsonObject[]).map((one) => one['name'])).toEqual(['A', 'C'])
        expect(containersOf(after).map((one) => one['name'])).toContain('side')
      })
      test('ports are told apart by number and protocol', async () => {
        const namespace = await home()
        const service = (ports: readonly JsonObject[]): Manifest => ({
          apiVersion: 'v1',
          kind: 'Service',
          metadata: { name: 'dns', namespace },
          spec: { ports, selector: { app: 'dns' } },
        })
        await cluster.apply(
          service([
            { name: 'tcp', port: 53 },
            { name: 'udp', port: 53, protocol: 'UDP' },
          ]),
          MINE,
          signal,
        )
        const after = await cluster.apply(service([{ name: 'udp', port: 53, protocol: 'UDP' }]), MINE, signal)
        expect((after['spec'] as JsonObject)['ports']).toMatchObject([
          { name: 'udp', port: 53, protocol: 'UDP', targetPort: 53 },
        ])
      })
      test('sets merge: finalizers of two managers', async () => {
        const namespace = await home()
        await cluster.apply(configMap(namespace, { mine: '1' }, { finalizers: ['a.example/one'] }), MINE, signal)
        const both = await cluster.apply(
          configMap(namespace, { theirs: '1' }, { finalizers: ['b.example/two'] }),
          OTHER,
          signal,
        )
        expect(both.metadata.finalizers?.toSorted(byText)).toEqual(['a.example/one', 'b.example/two'])
        const one = await cluster.apply(configMap(namespace, { mine: '1' }), MINE, signal)
        expect(one.metadata.finalizers).toEqual(['b.example/two'])
        await cluster.patch(one, refOf(one), { metadata: { finalizers: null } }, {}, signal)
      })
      test('a field of another manager is a FieldConflict that names manager and field; force takes it', async () => {
        const namespace = await home()
        await cluster.apply(deployment(namespace, [container('app:1')]), OTHER, signal)
        const wanted = deployment(namespace, [container('app:2')])
        const fault = await faultOf(cluster.apply(wanted, MINE, signal))
        expect(fault.reason).toBe('FieldConflict')
        expect(fault.facts).toMatchObject({
          manager: 'someone-else',
          fields: '.spec.template.spec.containers[name="web"].image',
          conflicts: 1,
        })
        const taken = await cluster.apply(wanted, { ...MINE, force: true }, signal)
        expect(containersOf(taken)[0]?.['image']).toBe('app:2')
        // The other one has lost it: what it applied before is now the conflict.
        expect(
          (await faultOf(cluster.apply(deployment(namespace, [container('app:1')]), OTHER, signal))).facts['manager'],
        ).toBe('flotilla')
      })
      test('the same value by two managers is shared: it goes when the last one lets go', async () => {
        const namespace = await home()
        await cluster.apply(configMap(namespace, { a: '1' }), MINE, signal)
        await cluster.apply(configMap(namespace, { a: '1' }), OTHER, signal)
        expect((await cluster.apply(configMap(namespace, {}), MINE, signal))['data']).toEqual({ a: '1' })
        expect((await cluster.apply(configMap(namespace, {}), OTHER, signal))['data']).toBeUndefined()
      })
      test('a conflict is with whoever changed a field by patch, too', async () => {
        const namespace = await home()
        const object = deployment(namespace, [container('app:1')])
        await cluster.apply(object, MINE, signal)
        await cluster.patch(object, refOf(object), { spec: { replicas: 4 } }, { fieldManager: 'kubectl-edit' }, signal)
        const fault = await faultOf(cluster.apply(object, MINE, signal))
        expect(fault.facts).toMatchObject({ manager: 'kubectl-edit', fields: '.spec.replicas' })
        expect((await cluster.apply(object, { ...MINE, force: true }, signal))['spec']).toMatchObject({ replicas: 0 })
      })
      test('a dry run answers as if, and writes nothing', async () => {
        const namespace = await home()
        const object = configMap(namespace, { a: '1' })
        expect((await cluster.apply(object, { ...MINE, dryRun: true }, signal))['data']).toEqual({ a: '1' })
        expect(await get(object)).toBeUndefined()
        const made = await cluster.apply(object, MINE, signal)
        const dry = await cluster.apply(configMap(namespace, { a: '2' }), { ...MINE, dryRun: true }, signal)
        expect(dry['data']).toEqual({ a: '2' })
        expect(await get(object)).toEqual(made)
        expect(
          (await faultOf(cluster.apply(configMap(namespace, { a: '2' }), { ...OTHER, dryRun: true }, signal))).reason,
        ).toBe('FieldConflict')
      })
      test('a resourceVersion is a precondition', async () => {
        const namespace = await home()
        const made = await cluster.apply(configMap(namespace, { a: '1' }), MINE, signal)
        const { resourceVersion } = made.metadata
        await cluster.apply(
          configMap(namespace, { a: '2' }, { resourceVersion: resourceVersion as Json }),
          MINE,
          signal,
        )
        const late = cluster.apply(
          configMap(namespace, { a: '3' }, { resourceVersion: resourceVersion as Json }),
          MINE,
          signal,
        )
        expect((await faultOf(late)).reason).toBe('Conflict')
        expect((await mustGet(made))['data']).toEqual({ a: '2' })
      })
      test('a uid that is another object’s is a Conflict', async () => {
        const namespace = await home()
        await cluster.apply(configMap(namespace, {}), MINE, signal)
        const other = configMap(namespace, {}, { uid: '00000000-0000-4000-8000-000000000000' })
        expect((await faultOf(cluster.apply(other, MINE, signal))).reason).toBe('Conflict')
      })
      test('secrets come back encoded', async () => {
        const namespace = await home()
        const secret = {
          apiVersion: 'v1',
          kind: 'Secret',
          metadata: { name: 's', namespace },
          stringData: { key: 'value' },
        }
        const made = await cluster.apply(secret, MINE, signal)
        expect(made).toMatchObject({ type: 'Opaque', data: { key: 'dmFsdWU=' } })
        expect(made['stringData']).toBeUndefined()
      })
      test('managed fields are visible, and a JSON patch moves them to another manager', async () => {
        const namespace = await home()
        // As kubectl apply without --server-side leaves it.
        const made = await cluster.create(
          configMap(namespace, { a: '1', b: '2' }),
          { fieldManager: 'kubectl-client-side-apply' },
          signal,
        )
        const entry = made.metadata.managedFields?.[0] as JsonObject
        expect(entry).toMatchObject({
          manager: 'kubectl-client-side-apply',
          operation: 'Update',
          fieldsV1: { 'f:data': { 'f:a': {}, 'f:b': {} } },
        })
        const migrated = { ...entry, manager: 'flotilla', operation: 'Apply' }
        const patch = [
          { op: 'test', path: '/metadata/resourceVersion', value: made.metadata.resourceVersion as Json },
          { op: 'replace', path: '/metadata/managedFields', value: [migrated] },
        ]
        const patched = await cluster.patch(made, refOf(made), patch, {}, signal)
        expect(patched.metadata.managedFields).toHaveLength(1)
        expect(patched.metadata.managedFields?.[0]).toMatchObject({ manager: 'flotilla', operation: 'Apply' })
        expect((await cluster.apply(configMap(namespace, { a: '1' }), MINE, signal))['data']).toEqual({ a: '1' })
      })
      test('an object whose managers were cleared belongs to before-first-apply', async () => {
        const namespace = await home()
        const made = await cluster.create(configMap(namespace, { a: '1', b: '2' }), {}, signal)
        const cleared = await cluster.patch(
          made,
          refOf(made),
          [{ op: 'replace', path: '/metadata/managedFields', value: [{}] }],
          {},
          signal,
        )
        expect(cleared.metadata.managedFields ?? []).toEqual([])
        const after = await cluster.apply(configMap(namespace, { a: '1' }), MINE, signal)
        expect(after['data']).toEqual({ a: '1', b: '2' })
        const managers = (after.metadata.managedFields ?? []).map((one) => (one as JsonObject)['manager'])
        expect(managers.toSorted(byText)).toEqual(['before-first-apply', 'flotilla'])
      })
      test('status is not what apply writes', async () => {
        const namespace = await home()
        const made = await cluster.apply(
          { ...deployment(namespace, [container('app:1')]), status: { replicas: 7 } },
          MINE,
          signal,
        )
        expect((made['status'] as JsonObject | undefined)?.['replicas'] ?? 0).toBe(0)
      })
    })

    describe('patches', () => {
      test('merge patches merge, null removes; JSON patches test and change', async () => {
        const namespace = await home()
        const made = await cluster.create(configMap(namespace, { a: '1', b: '2' }), {}, signal)
        const merged = await cluster.patch(made, refOf(made), { data: { a: null, c: '3' } }, {}, signal)
        expect(merged['data']).toEqual({ b: '2', c: '3' })
        const patched = await cluster.patch(
          made,
          refOf(made),
          [
            { op: 'test', path: '/data/b', value: '2' },
            { op: 'remove', path: '/data/b' },
          ],
          {},
          signal,
        )
        expect(patched['data']).toEqual({ c: '3' })
        const failing = cluster.patch(made, refOf(made), [{ op: 'test', path: '/data/c', value: '4' }], {}, signal)
        expect((await faultOf(failing)).reason).toBe('Rejected')
      })
      test('a stale resourceVersion in a merge patch is a Conflict; a patch that changes nothing writes nothing', async () => {
        const namespace = await home()
        const made = await cluster.create(configMap(namespace, { a: '1' }), {}, signal)
        const same = await cluster.patch(made, refOf(made), { data: { a: '1' } }, {}, signal)
        expect(same.metadata.resourceVersion).toBe(made.metadata.resourceVersion)
        await cluster.patch(made, refOf(made), { data: { a: '2' } }, {}, signal)
        const stale = { metadata: { resourceVersion: made.metadata.resourceVersion as string }, data: { a: '3' } }
        expect((await faultOf(cluster.patch(made, refOf(made), stale, {}, signal))).reason).toBe('Conflict')
      })
    })

    describe('fields that cannot change', () => {
      test('the selector of a Deployment, the template of a Job, the address of a Service, the claims of a StatefulSet', async () => {
        const namespace = await home()
        const template = (image: string, app = 'x'): JsonObject => ({
          metadata: { labels: { app } },
          spec: { restartPolicy: 'Never', containers: [{ name: 'x', image }] },
        })
        const job = (image: string): Manifest => ({
          apiVersion: 'batch/v1',
          kind: 'Job',
          metadata: { name: 'x', namespace },
          spec: { suspend: false, template: template(image) },
        })
        const workload = (kind: string, spec: JsonObject, app = 'x'): Manifest => {
          const labels = template('app:1', app)
          const pod = { ...(labels['spec'] as JsonObject), restartPolicy: 'Always' }
          return {
            apiVersion: 'apps/v1',
            kind,
            metadata: { name: 'x', namespace },
            spec: { replicas: 0, selector: { matchLabels: { app } }, template: { ...labels, spec: pod }, ...spec },
          }
        }
        const service = (clusterIP: string): Manifest => ({
          apiVersion: 'v1',
          kind: 'Service',
          metadata: { name: 'x', namespace },
          spec: { clusterIP, ports: [{ port: 80 }] },
        })
        const claim = (storage: string): JsonObject => ({
          serviceName: 'x',
          volumeClaimTemplates: [
            {
              metadata: { name: 'data' },
              spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage } } },
            },
          ],
        })
        const cases: readonly [string, Manifest, Manifest, RegExp][] = [
          ['Job', job('app:1'), job('app:2'), /^spec\.template$/],
          ['Deployment', workload('Deployment', {}), workload('Deployment', {}, 'y'), /^spec\.selector$/],
          ['StatefulSet', workload('StatefulSet', claim('1Gi')), workload('StatefulSet', claim('2Gi')), /^spec/],
          ['Service', service('10.255.7.7'), service('10.255.7.8'), /^spec\.clusterIP/],
        ]
        for (const [kind, before, after, field] of cases) {
          const made = await cluster.apply(before, MINE, signal)
          const fault = await faultOf(cluster.apply(after, { ...MINE, force: true }, signal))
          expect([kind, fault.reason]).toEqual([kind, 'ImmutableField'])
          expect(fault.facts['field']).toMatch(field)
          expect(fault.retry).toBe('on-change')
          expect((await mustGet(before)).metadata.uid).toBe(made.metadata.uid)
        }
      })
      test('a role of a RoleBinding; data of an immutable ConfigMap', async () => {
        const namespace = await home()
        const binding = (role: string): Manifest => ({
          apiVersion: 'rbac.authorization.k8s.io/v1',
          kind: 'RoleBinding',
          metadata: { name: 'x', namespace },
          roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: role },
          subjects: [],
        })
        await cluster.apply(binding('a'), MINE, signal)
        expect((await faultOf(cluster.apply(binding('b'), MINE, signal))).facts['field']).toBe('roleRef')
        await cluster.apply({ ...configMap(namespace, { a: '1' }), immutable: true }, MINE, signal)
        const fault = await faultOf(
          cluster.apply({ ...configMap(namespace, { a: '2' }), immutable: true }, MINE, signal),
        )
        expect(fault.reason).toBe('ImmutableField')
        expect(fault.facts['field']).toBe('data')
      })
    })

    describe('delete', () => {
      test('deletes, once; a dry run does not', async () => {
        const object = await cluster.create(configMap(await home(), {}), {}, signal)
        await cluster.delete(object, refOf(object), { dryRun: true }, signal)
        expect(await get(object)).toBeDefined()
        expect(await cluster.delete(object, refOf(object), {}, signal)).toBe('deleted')
        expect(await get(object)).toBeUndefined()
        expect(await cluster.delete(object, refOf(object), {}, signal)).toBe('gone')
      })
      test('another UID or version is a Conflict and deletes nothing', async () => {
        const object = await cluster.create(configMap(await home(), {}), {}, signal)
        const changed = await cluster.patch(object, refOf(object), { data: { a: '1' } }, {}, signal)
        const uid = '00000000-0000-4000-8000-000000000000'
        expect((await faultOf(cluster.delete(object, refOf(object), { uid }, signal))).reason).toBe('Conflict')
        const stale = { uid: object.metadata.uid as string, resourceVersion: object.metadata.resourceVersion as string }
        expect((await faultOf(cluster.delete(object, refOf(object), stale, signal))).reason).toBe('Conflict')
        expect(await get(object)).toEqual(changed)
        const exact = {
          uid: changed.metadata.uid as string,
          resourceVersion: changed.metadata.resourceVersion as string,
        }
        expect(await cluster.delete(object, refOf(object), exact, signal)).toBe('deleted')
      })
      test('a finalizer holds it: terminating until it is taken off', async () => {
        const object = await cluster.create(
          configMap(await home(), {}, { finalizers: ['example.com/hold'] }),
          {},
          signal,
        )
        expect(await cluster.delete(object, refOf(object), {}, signal)).toBe('terminating')
        const held = await mustGet(object)
        expect(held.metadata.deletionTimestamp).toMatch(/Z$/)
        expect(await cluster.delete(object, refOf(object), {}, signal)).toBe('terminating')
        await cluster.patch(object, refOf(object), { metadata: { finalizers: null } }, {}, signal)
        expect(await get(object)).toBeUndefined()
      })
      test('dependents go with their owner, or after it, or stay as orphans', async () => {
        const namespace = await home()
        const family = async (name: string): Promise<readonly [Manifest, Manifest]> => {
          const owner = await cluster.create({ ...CONFIG_MAP, metadata: { name, namespace } }, {}, signal)
          const reference = { ...CONFIG_MAP, name, uid: owner.metadata.uid as string, blockOwnerDeletion: true }
          return [
            owner,
            await cluster.create(
              { ...CONFIG_MAP, metadata: { name: `${name}-child`, namespace, ownerReferences: [reference] } },
              {},
              signal,
            ),
          ]
        }
        const [a, childOfA] = await family('background')
        expect(await cluster.delete(a, refOf(a), { propagation: 'Background' }, signal)).toBe('deleted')
        await gone(childOfA)
        const [b, childOfB] = await family('foreground')
        expect(await cluster.delete(b, refOf(b), { propagation: 'Foreground' }, signal)).toBe('terminating')
        await gone(childOfB)
        await gone(b)
        const [c, childOfC] = await family('orphan')
        expect(await cluster.delete(c, refOf(c), { propagation: 'Orphan' }, signal)).toBe('terminating')
        await gone(c)
        expect((await mustGet(childOfC)).metadata.ownerReferences).toBeUndefined()
      })
      test('a namespace takes its content along, and takes nothing new while it goes', async () => {
        const namespace = await home()
        const object = await cluster.create(configMap(namespace, {}, { finalizers: ['example.com/hold'] }), {}, signal)
        const space = { ...NAMESPACE, metadata: { name: namespace } }
        expect(await cluster.delete(space, refOf(space), {}, signal)).toBe('terminating')
        const late = { ...CONFIG_MAP, metadata: { name: 'late', namespace } }
        const fault = await faultOf(cluster.create(late, {}, signal))
        expect(fault.reason).toBe('Forbidden')
        expect(fault.facts['cause']).toBe('NamespaceTerminating')
        await eventually(async () => ((await get(object))?.metadata.deletionTimestamp === undefined ? undefined : true))
        await cluster.patch(object, refOf(object), { metadata: { finalizers: null } }, {}, signal)
        await gone(space)
      })
    })

    describe('watch', () => {
      /** Reads until `count` events that are not bookmarks came. */
      const read = async (
        query: KindName & { namespace?: string; labelSelector?: string },
        from: string,
        count: number,
      ): Promise<readonly WatchEvent[]> => {
        const stop = new AbortController()
        const timer = setTimeout(() => stop.abort(), PATIENCE_MS)
        const events: WatchEvent[] = []
        for await (const event of cluster.watch(query, from, stop.signal)) {
          if (event.type !== 'bookmark') events.push(event)
          if (events.length >= count) break
        }
        clearTimeout(timer)
        return events
      }
      const brief = (events: readonly WatchEvent[]): readonly string[] =>
        events.map((event) => (event.type === 'bookmark' ? 'bookmark' : `${event.type} ${event.object.metadata.name}`))

      test('tells what happened after a list, in order, and goes on from any version', async () => {
        const namespace = await home()
        const query = { ...CONFIG_MAP, namespace, labelSelector: 'watched' }
        const { resourceVersion } = await cluster.list(query, signal)
        const object = configMap(namespace, { a: '1' }, { labels: { watched: 'yes' } })
        const made = await cluster.apply(object, MINE, signal)
        await cluster.apply({ ...object, data: { a: '2' } }, MINE, signal)
        await cluster.delete(object, refOf(object), {}, signal)
        const events = await read(query, resourceVersion, 3)
        expect(brief(events)).toEqual(['added settings', 'modified settings', 'deleted settings'])
        expect(events[0]).toMatchObject({
          object: { ...CONFIG_MAP, data: { a: '1' }, metadata: { uid: made.metadata.uid } },
        })
        expect(brief(await read(query, made.metadata.resourceVersion as string, 2))).toEqual([
          'modified settings',
          'deleted settings',
        ])
      })
      test('an object that stops matching is deleted to a watch that selects, one that begins to is added', async () => {
        const namespace = await home()
        const query = { ...CONFIG_MAP, namespace, labelSelector: 'on=yes' }
        const { resourceVersion } = await cluster.list(query, signal)
        const object = await cluster.create(configMap(namespace, {}), {}, signal)
        const label = (on: string | null): Promise<Manifest> =>
          cluster.patch(object, refOf(object), { metadata: { labels: { on } } }, {}, signal)
        await label('yes')
        await label('no')
        await label('yes')
        expect(brief(await read(query, resourceVersion, 3))).toEqual([
          'added settings',
          'deleted settings',
          'added settings',
        ])
      })
      test('tells of changes as they come, and ends when it is told to', async () => {
        const namespace = await home()
        const query = { ...CONFIG_MAP, namespace, labelSelector: 'live' }
        const { resourceVersion } = await cluster.list(query, signal)
        const reading = read(query, resourceVersion, 1)
        await cluster.create(configMap(namespace, {}, { labels: { live: 'yes' } }), {}, signal)
        expect(brief(await reading)).toEqual(['added settings'])
        const stop = new AbortController()
        const ends = (async () => {
          for await (const event of cluster.watch(query, resourceVersion, stop.signal))
            if (event.type === 'added') stop.abort()
          return 'ended'
        })()
        expect(await ends).toBe('ended')
      })
      test('a version from before the history is WatchExpired', async () => {
        const { resourceVersion } = await cluster.list(CONFIG_MAP, signal)
        await home()
        await subject.forgetHistory()
        expect((await faultOf(read(CONFIG_MAP, resourceVersion, 1))).reason).toBe('WatchExpired')
        // A new list is a new start.
        const fresh = await cluster.list(CONFIG_MAP, signal)
        await cluster.create(configMap(await home(), {}, { labels: { after: 'expiry' } }), {}, signal)
        const query = { ...CONFIG_MAP, labelSelector: 'after=expiry' }
        expect(brief(await read(query, fresh.resourceVersion, 1))).toEqual(['added settings'])
      })
      test('a kind that is not served cannot be watched', async () => {
        expect((await faultOf(read({ apiVersion: 'no.such/v1', kind: 'Thing' }, '1', 1))).reason).toBe('NoKindMatch')
      })
    })

    describe('custom kinds', () => {
      const group = `${run}.example.com`
      const crd: Manifest = {
        ...CRD,
        metadata: { name: `widgets.${group}` },
        spec: {
          group,
          scope: 'Namespaced',
          names: { kind: 'Widget', plural: 'widgets' },
          versions: ['v1', 'v1beta1'].map((version) => ({
            name: version,
            served: true,
            storage: version === 'v1',
            subresources: { status: {} },
            schema: {
              openAPIV3Schema: {
                type: 'object',
                properties: {
                  spec: {
                    type: 'object',
                    required: ['size'],
                    properties: {
                      size: { type: 'integer', minimum: 1 },
                      colour: { type: 'string', default: 'red' },
                      parts: {
                        type: 'array',
                        'x-kubernetes-list-type': 'map',
                        'x-kubernetes-list-map-keys': ['id'],
                        items: {
                          type: 'object',
                          required: ['id'],
                          properties: { id: { type: 'string' }, n: { type: 'integer' } },
                        },
                      },
                      plain: { type: 'array', items: { type: 'string' } },
                    },
                  },
                  status: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
                },
              },
            },
          })),
        },
      }
      const kind = { apiVersion: `${group}/v1`, kind: 'Widget' }
      const widget = (namespace: string, spec: JsonObject): Manifest => ({
        ...kind,
        metadata: { name: 'w', namespace },
        spec,
      })
      const established = (): Promise<true> =>
        eventually(async () => {
          const found = await mustGet(crd)
          const conditions = ((found['status'] as JsonObject | undefined)?.['conditions'] ??
            []) as readonly JsonObject[]
          return conditions.some((one) => one['type'] === 'Established' && one['status'] === 'True') ? true : undefined
        })
      /** Established in the object comes a moment before it is served everywhere. */
      const served = (): Promise<true> =>
        eventually(async () => {
          try {
            await cluster.kind(kind, signal)
            return true
          } catch (error) {
            expect((error as Fault).reason).toBe('NoKindMatch')
            return undefined
          }
        })
      const applied = (object: Manifest): Promise<Manifest> =>
        eventually(async () => {
          try {
            return await cluster.apply(object, MINE, signal)
          } catch (error) {
            if ((error as Fault).reason !== 'NoKindMatch' && (error as Fault).reason !== 'NotFound') throw error
            return undefined
          }
        })

      test('are not served before their definition, and are soon after it', async () => {
        expect((await faultOf(cluster.kind(kind, signal))).reason).toBe('NoKindMatch')
        expect((await faultOf(cluster.apply(widget('default', { size: 1 }), MINE, signal))).reason).toBe('NoKindMatch')
        await cluster.apply(crd, MINE, signal)
        await established()
        await served()
        expect(await cluster.kind(kind, signal)).toMatchObject({ group, plural: 'widgets', namespaced: true })
        expect((await cluster.preferred(group, 'Widget', signal)).version).toBe('v1')
      })
      test('defaults, unknown fields and bad values follow the schema', async () => {
        const namespace = await home()
        const made = await applied(widget(namespace, { size: 2 }))
        expect(made['spec']).toEqual({ size: 2, colour: 'red' })
        expect(made.metadata.generation).toBe(1)
        for (const spec of [{ size: 0 }, { size: 'two' }, { colour: 'blue' }]) {
          const fault = await faultOf(
            cluster.create({ ...widget(namespace, spec), metadata: { name: 'bad', namespace } }, {}, signal),
          )
          expect(fault.reason).toBe('Rejected')
        }
        const pruned = await cluster.create(
          { ...widget(namespace, { size: 1, unknown: true }), metadata: { name: 'pruned', namespace } },
          {},
          signal,
        )
        expect(pruned['spec']).toEqual({ size: 1, colour: 'red' })
      })
      test('lists merge as the schema says: maps by key, plain ones whole', async () => {
        const namespace = await home()
        await applied(widget(namespace, { size: 1, parts: [{ id: 'a', n: 1 }], plain: ['x'] }))
        const both = await cluster.apply(widget(namespace, { size: 1, parts: [{ id: 'b', n: 2 }] }), OTHER, signal)
        expect((both['spec'] as JsonObject)['parts']).toEqual([
          { id: 'a', n: 1 },
          { id: 'b', n: 2 },
        ])
        const conflict = await faultOf(cluster.apply(widget(namespace, { size: 1, plain: ['y'] }), OTHER, signal))
        expect(conflict.facts['fields']).toBe('.spec.plain')
        const after = await cluster.apply(widget(namespace, { size: 1 }), MINE, signal)
        expect(after['spec']).toEqual({ size: 1, colour: 'red', parts: [{ id: 'b', n: 2 }] })
      })
      test('status is written apart: it leaves generation and spec alone', async () => {
        const namespace = await home()
        const made = await applied(widget(namespace, { size: 1 }))
        const patch = { status: { phase: 'Fine' }, spec: { size: 9 } }
        await cluster.subresource(kind, refOf(made), 'status', patch, signal)
        const after = await mustGet(made)
        expect(after).toMatchObject({ spec: { size: 1 }, status: { phase: 'Fine' }, metadata: { generation: 1 } })
        const again = await cluster.apply(widget(namespace, { size: 1 }), MINE, signal)
        expect(again['status']).toEqual({ phase: 'Fine' })
        expect(again.metadata.resourceVersion).toBe(after.metadata.resourceVersion)
      })
      test('go with their definition, objects included', async () => {
        const namespace = await home()
        const object = await applied(widget(namespace, { size: 1 }))
        await cluster.delete(crd, refOf(crd), {}, signal)
        await gone(crd)
        await eventually(async () => {
          try {
            return (await get(object)) === undefined ? true : undefined
          } catch (error) {
            return (error as Fault).reason === 'NoKindMatch' ? true : undefined
          }
        })
      })
    })

    describe('pods', () => {
      const pod = async (namespace: string, podName: string, more: JsonObject = {}): Promise<Manifest> => {
        // A namespace gets its default account a moment after it was made, and pods need it.
        await eventually(() =>
          cluster.get(
            { apiVersion: 'v1', kind: 'ServiceAccount' },
            { group: '', kind: 'ServiceAccount', namespace, name: 'default' },
            signal,
          ),
        )
        const spec = {
          schedulerName: 'nobody',
          terminationGracePeriodSeconds: 0,
          containers: [{ name: 'x', image: 'app:1' }],
        }
        return cluster.create({ ...POD, metadata: { name: podName, namespace, ...more }, spec }, {}, signal)
      }
      test('are bound once', async () => {
        const made = await pod(await home(), 'bound')
        const bind = (node: string): Promise<JsonObject> =>
          cluster.subresource(
            POD,
            refOf(made),
            'binding',
            { target: { apiVersion: 'v1', kind: 'Node', name: node } },
            signal,
          )
        await bind('node-a')
        expect((await mustGet(made))['spec']).toMatchObject({ nodeName: 'node-a' })
        expect((await faultOf(bind('node-b'))).reason).toBe('Conflict')
        const missing = cluster.subresource(
          POD,
          { ...refOf(made), name: 'missing' },
          'binding',
          { target: { name: 'x' } },
          signal,
        )
        expect((await faultOf(missing)).reason).toBe('NotFound')
      })
      test('are evicted', async () => {
        const made = await pod(await home(), 'evicted')
        await cluster.subresource(POD, refOf(made), 'eviction', {}, signal)
        await gone(made)
        expect((await faultOf(cluster.subresource(POD, refOf(made), 'eviction', {}, signal))).reason).toBe('NotFound')
      })
      test('a deployment is scaled through its endpoint', async () => {
        const namespace = await home()
        const object = deployment(namespace, [{ name: 'web', image: 'app:1' }], { paused: true })
        await cluster.apply(object, MINE, signal)
        await cluster.subresource(DEPLOYMENT, refOf(object), 'scale', { spec: { replicas: 2 } }, signal)
        expect((await mustGet(object))['spec']).toMatchObject({ replicas: 2 })
      })
    })

    describe('other accounts', () => {
      test('may do what their bindings say and no more, for every verb', async () => {
        const [mine, foreign] = [await home(), await home()]
        const user = `system:serviceaccount:${mine}:deployer`
        const account = { user, groups: ['system:serviceaccounts', `system:serviceaccounts:${mine}`] }
        const rbac = 'rbac.authorization.k8s.io'
        const role = {
          apiVersion: `${rbac}/v1`,
          kind: 'Role',
          metadata: { name: 'deployer', namespace: mine },
          rules: [{ apiGroups: [''], resources: ['configmaps'], verbs: ['get', 'list', 'watch', 'create', 'patch'] }],
        }
        const binding = {
          apiVersion: `${rbac}/v1`,
          kind: 'RoleBinding',
          metadata: { name: 'deployer', namespace: mine },
          roleRef: { apiGroup: rbac, kind: 'Role', name: 'deployer' },
          subjects: [{ kind: 'Group', name: `system:serviceaccounts:${mine}`, apiGroup: rbac }],
        }
        await cluster.apply(role, MINE, signal)
        await cluster.apply(binding, MINE, signal)
        const tenant = cluster.as(account)
        // The authorizer hears of a binding a moment after it was made.
        const made = await eventually(async () => {
          try {
            return await tenant.apply(configMap(mine, { a: '1' }), MINE, signal)
          } catch (error) {
            expect((error as Fault).reason).toBe('Forbidden')
            return undefined
          }
        })
        expect(await tenant.get(made, refOf(made), signal)).toEqual(made)
        const ref: ObjectRef = { ...refOf(made), namespace: foreign }
        const attempts: readonly (() => Promise<unknown>)[] = [
          () => tenant.get(CONFIG_MAP, ref, signal),
          () => tenant.list({ ...CONFIG_MAP, namespace: foreign }, signal),
          () => tenant.list(CONFIG_MAP, signal),
          () => tenant.create(configMap(foreign, {}), {}, signal),
          () => tenant.apply(configMap(foreign, {}), MINE, signal),
          () => tenant.apply(configMap(foreign, {}), { ...MINE, dryRun: true }, signal),
          () => tenant.patch(CONFIG_MAP, ref, { data: {} }, {}, signal),
          () => tenant.delete(CONFIG_MAP, refOf(made), {}, signal),
          () => tenant.list({ apiVersion: 'v1', kind: 'Secret', namespace: mine }, signal),
        ]
        for (const attempt of attempts) expect((await faultOf(attempt())).reason).toBe('Forbidden')
        expect(await cluster.delete(made, refOf(made), {}, signal)).toBe('deleted')
      })
    })

    test('a request that is given up is Cancelled or aborted, and says nothing about the cluster', async () => {
      const stop = new AbortController()
      stop.abort()
      await expect(
        cluster.get(CONFIG_MAP, { group: '', kind: 'ConfigMap', namespace: 'default', name: 'x' }, stop.signal),
      ).rejects.toThrow()
    })
  })
}

function byText(a: unknown, b: unknown): number {
  return String(a) < String(b) ? -1 : 1
}

function podSpecOf(object: Manifest): JsonObject {
  const template = (object['spec'] as JsonObject)['template'] as JsonObject
  return template['spec'] as JsonObject
}

function containersOf(object: Manifest): readonly JsonObject[] {
  const containers = podSpecOf(object)['containers']
  return Array.isArray(containers) ? (containers as readonly Json[]).filter(isObject) : []
}
