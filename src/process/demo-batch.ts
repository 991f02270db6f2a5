/** Batch work that the demo adds to fleet-example's nightly forecast, so that there is something to see at any hour. */
import fs from 'node:fs'
import path from 'node:path'
import { POD_LABELS } from '../core/batch/types.ts'
import type { Manifest } from '../core/model/object.ts'

/**
 * The large stores print price labels each hour, two shelves at a time, and train a model every other hour: a gang that needs all that
 * their queue may have, and leaves the tills what they need.
 */
const WORK = `apiVersion: flotilla.dev/v1alpha1
kind: BatchQueue
metadata:
  name: day
spec:
  targets: [{ selector: { matchLabels: { format: hypermarket } } }]
  capability: { cpu: "10" }
  limits: { maxTime: 2h }
---
apiVersion: flotilla.dev/v1alpha1
kind: CronBatchJob
metadata:
  name: price-labels
spec:
  targets: [{ selector: { matchLabels: { format: hypermarket } } }]
  schedule: "0 * * * *"
  concurrencyPolicy: Forbid
  missed: Skip
  jobTemplate:
    spec:
      queue: day
      namespace: forecasting
      array: { range: 1-4, maxParallel: 2 }
      timeLimit: 40m
      tasks:
        - name: shelf
          template:
            spec:
              containers:
                - name: labels
                  image: registry.northfjord.example/forecasting/labels:1.4.0
                  resources: { requests: { cpu: "1", memory: 256Mi } }
---
apiVersion: flotilla.dev/v1alpha1
kind: CronBatchJob
metadata:
  name: demand-model
spec:
  targets: [{ selector: { matchLabels: { format: hypermarket } } }]
  schedule: "5 */2 * * *"
  concurrencyPolicy: Forbid
  missed: Skip
  jobTemplate:
    spec:
      queue: day
      namespace: forecasting
      timeLimit: 2h
      plugins: { tensorflow: [], svc: [] }
      tasks:
        - name: ps
          template: &pod
            spec:
              containers:
                - name: train
                  image: registry.northfjord.example/forecasting/demand:0.9.2
                  resources: { requests: { cpu: "2500m", memory: 2Gi } }
        - name: worker
          replicas: 3
          template: *pod
`

export function addBatchWork(repo: string): void {
  const folder = path.join(repo, 'apps/forecasting/through-the-day')
  fs.mkdirSync(folder, { recursive: true })
  fs.writeFileSync(path.join(folder, 'batch.yaml'), WORK)
}

const LEAST_MS = 6 * 60_000
const SPREAD_MS = 20 * 60_000

/** How long a pod of a job runs in the demo's clusters: nobody's image is run there. The same for the same pod. */
export function runMsAt(site: string): (pod: Manifest) => number | undefined {
  return ({ metadata }) => {
    if (metadata.labels?.[POD_LABELS.job] === undefined) return undefined
    let hash = 0
    for (const letter of `${site}/${metadata.name}`) hash = (Math.imul(hash, 31) + letter.charCodeAt(0)) >>> 0
    return LEAST_MS + (hash % SPREAD_MS)
  }
}
