/** More stores than fleet-example has, of the same kinds, so that `demo --sites N` shows a larger fleet. */
import fs from 'node:fs'
import path from 'node:path'
import { parse, stringify } from 'yaml'

interface SiteFile {
  metadata: { name: string; labels: Record<string, string> }
  spec: Record<string, unknown>
}

/** Adds copies of the committed stores, under names of their own and outside the early cohorts, until there are `count` in all. */
export function addSites(repo: string, count: number): void {
  const folder = path.join(repo, 'sites')
  const stores = fs
    .readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.yaml'))
    .toSorted()
    .map((file) => parse(fs.readFileSync(path.join(folder, file), 'utf8')) as SiteFile)
  fs.mkdirSync(path.join(folder, 'more'), { recursive: true })
  for (let i = stores.length; i < count; i++) {
    const model = stores[i % stores.length]
    if (model === undefined) return
    const { loyalty: _trial, ...labels } = model.metadata.labels
    const { overlays: _hotfix, ...spec } = model.spec
    const name = `${labels['country']}-${9000 + i}`
    const metadata = { ...model.metadata, name, labels: { ...labels, cohort: 'rest' } }
    const site = { ...model, metadata, spec: { ...spec, displayName: `Northfjord ${name}` } }
    fs.writeFileSync(path.join(folder, 'more', `${name}.yaml`), stringify(site))
  }
}
