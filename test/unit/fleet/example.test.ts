import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { lintFleet } from '../../../src/core/fleet/lint.ts'
import { createFleetCache } from '../../../src/core/fleet/parse.ts'
import { RENDERER_VERSION, renderSite } from '../../../src/core/fleet/render.ts'
import { treeOfFolder } from './tree.ts'

const GOLDEN = join(import.meta.dirname, 'golden/fleet-example.json')
const linted = lintFleet(treeOfFolder('fleet-example'), { root: '', revision: 'test', cache: createFleetCache() })
const { rendered } = linted
const fleet = linted.parsed.fleet

/**
 * Invariant 10: the same input and the same renderer give the same releases for ever. Where these differ, sites would change that
 * nobody's commit changed: raise RENDERER_VERSION, then write the golden file anew with UPDATE_GOLDEN=1.
 */
test('every release of fleet-example has its golden digest', () => {
  const digests = Object.fromEntries(
    [...(rendered?.sites ?? [])].map(([site, workloads]) => [site, Object.fromEntries(workloads)]),
  )
  if (process.env['UPDATE_GOLDEN'] === '1' || !existsSync(GOLDEN)) {
    if (process.env['CI'] === 'true') throw new Error('the golden digests are missing')
    writeFileSync(GOLDEN, `${JSON.stringify({ renderer: RENDERER_VERSION, digests }, null, 1)}\n`)
  }
  expect({ renderer: RENDERER_VERSION, digests }).toEqual(JSON.parse(readFileSync(GOLDEN, 'utf8')))
})

describe('what fleet-example shows', () => {
  test('no errors, no warnings: only notices of what is not built yet', () => {
    expect(linted.problems.filter(({ severity }) => severity !== 'notice')).toEqual([])
    expect(new Set(linted.problems.map(({ code }) => code))).toEqual(new Set(['FLT1016']))
    expect(rendered?.held).toEqual([])
  })

  test('at least 40 stores, three countries, four formats, canaries and pilots', () => {
    const sites = [...(fleet?.sites.values() ?? [])]
    const values = (label: string): readonly string[] =>
      [...new Set(sites.map(({ labels }) => labels[label] ?? ''))].toSorted()
    expect(sites.length).toBeGreaterThanOrEqual(40)
    expect(values('country')).toEqual(['dk', 'no', 'se'])
    expect(values('format')).toEqual(['express', 'forecourt', 'hypermarket', 'supermarket'])
    expect(sites.filter(({ labels }) => labels['cohort'] === 'canary')).toHaveLength(4)
  })

  test('the hotfix changes one store, beside what all have', () => {
    const limits = (site: string): unknown => {
      const manifests = rendered === null ? [] : renderSite(rendered, site, 'pos')
      const api = manifests.find(
        ({ manifest }) => manifest.kind === 'Deployment' && manifest.metadata.name === 'till-api',
      )
      return JSON.stringify(api?.manifest['spec']).match(/"limits":\{"memory":"(\w+)"/)?.[1]
    }
    expect(limits('no-0203')).toBe('512Mi')
    expect(limits('no-0206')).toBe('256Mi')
  })

  test('numbers stay numbers and reach their layer: tills by format, more where a store says so', () => {
    const replicas = (site: string): unknown => {
      const manifests = rendered === null ? [] : renderSite(rendered, site, 'pos')
      const spec = manifests.find(({ manifest }) => manifest.metadata.name === 'till-session')?.manifest['spec']
      return (spec as { readonly replicas?: unknown } | undefined)?.replicas
    }
    expect([replicas('dk-0101'), replicas('dk-0102'), replicas('dk-0104')]).toEqual([6, 4, 5])
  })

  test('one encrypted secret, at one store, in a workload of its own', () => {
    const sealed = [...(rendered?.releases.values() ?? [])].filter(({ objects }) =>
      objects.some(({ sealed }) => sealed === true),
    )
    expect(sealed.map(({ workload, objects }) => [workload, objects.length])).toEqual([['loyalty-token', 1]])
    const having = [...(rendered?.sites ?? [])].filter(([, workloads]) => workloads.has('loyalty-token'))
    expect(having.map(([site]) => site)).toEqual(['dk-0103'])
  })
})
