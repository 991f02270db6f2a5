import { describe, expect, test } from 'vitest'
import { KINDS } from '../../../src/core/fleet/kinds.ts'
import { codesOf, group, lint, SMALL, site, type Files } from './tree.ts'

const document = (kind: string, spec: string): string =>
  `apiVersion: flotilla.dev/v1alpha1\nkind: ${kind}\nmetadata: { name: x }\nspec:\n${spec}`
const TARGETS = '  targets: [{ selector: { matchLabels: { country: dk } } }]\n  rollout: cautious\n'

/** One document of each kind that uses every field the language names for it. */
const FULL: Readonly<Record<string, string>> = {
  Fleet:
    '  layers: [country, format]\n  vars: { a: 1, b: [x], c: { d: null } }\n  varSchema: { type: object }\n  defaults: { rollout: cautious, drift: correct }\n' +
    '  budget: { changingSites: 5%, brokenSites: 3 }\n  deletionBrake: { objects: 50, percentOfSites: 2.5, sites: 2, confirmed: [] }\n' +
    '  renderer: { version: "1" }\n  link: { lateAfter: 5m, lostAfter: 1d }\n  source: { verify: { signers: ["ssh-ed25519 AAAAC3Nz ann"], mode: warn } }\n',
  Team: '  paths: [apps/x]\n  members: [a]\n  approvers: [b]\n  serviceAccount: deployer\n  may: { kinds: [Deployment], namespaces: [shop], clusterScoped: false }\n',
  Site:
    '  displayName: Shop\n  location: { lat: 55.7, lon: 12.5, timeZone: Europe/Copenhagen }\n  vars: { a: 1 }\n  link: { class: metered, mbps: 2, meteredGBPerMonth: 1 }\n' +
    '  nodes: [{ name: n, capacity: { cpu: "4" }, labels: { a: b }, taints: [] }]\n  kubernetes: { version: "1.34" }\n  mode: observe\n' +
    '  hold: { reason: stocktaking, until: 2026-12-24T06:00:00+01:00 }\n  overlays: [{ workload: web, expires: 2027-01-01, patches: [{ target: { name: settings }, patch: { data: { x: y } } }], allowEmpty: true }]\n  formerNames: [old]\n',
  SiteGroup:
    '  layer: country\n  selector: { matchExpressions: [{ key: country, operator: In, values: [dk] }] }\n  sites: [a]\n  vars: { a: 1 }\n  workloadVars: { web: { b: 2 } }\n' +
    '  overlays: [{ workload: web, name: o, when: { matchLabels: { format: big } }, patches: [] }]\n',
  RolloutPolicy:
    '  waves:\n    - { name: canary, selector: { matchLabels: { country: dk } }, size: 10%, maxConcurrent: 4, soak: 2h, gate: { approval: ops } }\n' +
    '    - { name: rest, by: country, order: [dk, se], maxConcurrent: 25%, soak: 1h }\n  maxUnavailable: 1%\n  maxFailures: 2\n  minCoverage: 80%\n' +
    '  progressDeadline: 10m\n  startBy: 24h\n  offline: { excuseAfter: 30m, onReturn: ApplyLatest }\n  onFailure: Rollback\n  onSupersede: finishWave\n',
  MaintenanceWindow:
    '  effect: deny\n  schedule: "0 7 * * *"\n  duration: 15h\n  timeZone: site\n  targets: [{ selector: { matchLabels: { country: dk } }, workloads: [web] }]\n  overrun: finish\n  breakGlass: { approval: ops }\n',
  EdgeConfig: `${TARGETS}  data: { a: 1 }\n  files: [{ path: a }]\n  schema: { type: object }\n  as: { configMap: { name: c } }\n  restart: [web]\n`,
  BatchQueue: `${TARGETS}  weight: 2\n  deserved: { cpu: 2 }\n  guarantee: { cpu: "1" }\n  capability: { memory: 4Gi }\n  priority: 3\n  reclaimable: true\n  dequeueStrategy: traverse\n  limits: { maxRunning: 3, maxTime: 2h }\n  stopPolicy: HoldAndDrain\n`,
  BatchJob: `${TARGETS}  queue: default\n  priorityClassName: low\n  minAvailable: 1\n  minSuccess: 1\n  tasks: [{ name: a, template: { spec: { containers: [{ name: c, image: i }] } } }, { name: t, replicas: 2, minAvailable: 1, maxRetry: -1, template: { spec: { containers: [{ name: c, image: i }] } }, dependsOn: { name: [a], iteration: any }, policies: [{ events: [PodFailed, PodEvicted], action: RestartTask, timeout: 5m }, { exitCode: 3, action: AbortJob }] }]\n  gangTimeout: 5m\n  timeLimit: 1h\n  deadline: "05:00"\n  dependency: [{ afterok: [a] }, { singleton: true }]\n  policies: [{ event: PodFailed, action: RestartJob }]\n  plugins: { env: [], svc: [] }\n  maxRetry: 3\n  ttlSecondsAfterFinished: 60\n  preemptible: true\n`,
  CronBatchJob: `${TARGETS}  schedule: "30 1 * * *"\n  timeZone: Europe/Oslo\n  spread: { window: 90m }\n  startingDeadlineSeconds: 600\n  concurrencyPolicy: Forbid\n  missed: Once\n  suspend: false\n  successfulJobsHistoryLimit: 2\n  failedJobsHistoryLimit: 0\n  jobTemplate: { spec: { queue: default, array: { range: 1-10, maxParallel: 2 }, tasks: [{ name: t, template: { spec: { containers: [{ name: c, image: i }] } } }] } }\n`,
}

describe('every kind takes all the fields that the language names', () => {
  test.each(Object.keys(FULL))('%s', (kind) => {
    const text = document(kind, FULL[kind] ?? '')
    const files: Files = kind === 'Fleet' ? { ...SMALL, 'flotilla.yaml': text } : { ...SMALL, 'x.yaml': text }
    const { problems } = lint(files)
    expect(problems.filter(({ severity }) => severity === 'error')).toEqual([])
  })

  test('a Workload, of which some hold it until they are built', () => {
    const spec =
      '  source: { path: ./apps/web/base }\n  namespace: shop\n  namespaces: [other]\n  serviceAccount: shop/deployer\n' +
      '  targets: [{ selector: { matchLabels: { country: dk } } }]\n  overlays: [{ name: t4, when: { matchLabels: { format: big } }, patches: [{ target: { kind: Deployment, name: web }, patch: [{ op: replace, path: /spec/replicas, value: 2 }] }] }]\n' +
      '  vars: { engine: onnx }\n  dependsOn: [{ name: web, optional: true }]\n  rollout: cautious\n  drift: { mode: correct, ignore: [{ kind: Deployment, jsonPointers: [/spec/replicas] }, { managers: [hpa] }] }\n' +
      '  prune: true\n  pruneConfirm: [{ kind: Namespace }]\n  pruneFirst: [{ kind: Job }]\n  adopt: ifIdentical\n  replace: onImmutable\n  images: { stage: beforeStart, requireDigest: warn }\n' +
      '  healthChecks: [{ apiVersion: x/v1, kind: Lamp, current: "true" }]\n  suspend: false\n  scheduling: { protect: true }\n  formerNames: [old]\n'
    const { problems } = lint({
      ...SMALL,
      'x.yaml': document('Workload', spec),
      'apps/web/workload.yaml': SMALL['apps/web/workload.yaml'] + '  namespace: elsewhere\n',
    })
    expect(problems.filter(({ severity }) => severity === 'error')).toEqual([])
    expect(problems.map(({ code, path }) => `${code} ${path}`).toSorted()).toEqual([
      'FLT1016 spec.images.requireDigest',
      'FLT1016 spec.images.stage',
      'FLT1016 spec.scheduling',
    ])
  })

  test('every word of a window is acted on', () => {
    const full = FULL['MaintenanceWindow'] ?? ''
    const said = (spec: string) =>
      lint({ ...SMALL, 'x.yaml': document('MaintenanceWindow', spec) })
        .problems.filter(({ code }) => code === 'FLT1016')
        .map(({ path }) => path)
    expect(said(full)).toEqual([])
    expect(said(full.replace('finish', 'stop'))).toEqual([])
  })

  test('the reserved kinds are names only', () => {
    const reserved = [...KINDS.keys()].filter((kind) => !(kind in FULL) && kind !== 'Workload')
    expect(reserved).toEqual([
      'Policy',
      'DeviceModel',
      'Device',
      'Model',
      'FederatedJob',
      'NotificationProvider',
      'Alert',
    ])
    for (const kind of reserved)
      expect(codesOf(lint({ ...SMALL, 'x.yaml': document(kind, '  any: thing\n') }))).toEqual([])
  })
})

describe('no kind takes a field that it does not have, nor a status', () => {
  test.each(Object.keys(FULL))('%s', (kind) => {
    const at = kind === 'Fleet' ? 'flotilla.yaml' : 'x.yaml'
    const base = document(kind, FULL[kind] ?? '')
    expect(
      codesOf(lint({ ...SMALL, [at]: `${base}  nothingSuch: 1\n` })).some((code) => code.startsWith('FLT1004')),
    ).toBe(true)
    expect(codesOf(lint({ ...SMALL, [at]: `${base}status: {}\n` })).some((code) => code.startsWith('FLT1004'))).toBe(
      true,
    )
  })
})

test('amounts, durations and names have their limits', () => {
  const policy = (wave: string): string => document('RolloutPolicy', `  waves: [{ name: x, ${wave} }]\n`)
  const bad = [
    'maxConcurrent: 0',
    'maxConcurrent: 0%',
    'maxConcurrent: 101%',
    'maxConcurrent: 1.5',
    'soak: 90',
    'soak: 1m1h',
    'soak: 0m',
    'size: -1',
    'soak: ""',
  ]
  for (const wave of bad)
    expect(codesOf(lint({ ...SMALL, 'x.yaml': policy(wave) })).map((code) => code.slice(0, 7))).toEqual(['FLT1003'])
  for (const wave of ['maxConcurrent: 1%', 'maxConcurrent: 100%', 'size: 1', 'soak: 1h30m', 'soak: 250ms']) {
    expect(codesOf(lint({ ...SMALL, 'x.yaml': policy(wave) }))).toEqual([])
  }
  for (const name of ['A', 'a_b', '-a', 'a.b', 'a'.repeat(64), '""']) {
    expect(codesOf(lint({ ...SMALL, 'x.yaml': site(name, 'country: dk') })).map((code) => code.slice(0, 7))).toEqual([
      'FLT1003',
    ])
  }
  expect(codesOf(lint({ ...SMALL, 'g.yaml': group('g', '  layer: country\n  vars: { a: 1 }\n') }))).toHaveLength(1)
})
