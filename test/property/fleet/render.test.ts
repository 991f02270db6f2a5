/** Laws of rendering over made-up fleets. The oracle is a fleet of one site, or the same fleet without the fault. */
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { carryHeld } from '../../../src/core/fleet/carry.ts'
import { judgeDeletions } from '../../../src/core/fleet/deletions.ts'
import { createFleetCache } from '../../../src/core/fleet/parse.ts'
import { readYaml } from '../../../src/core/fleet/yaml.ts'
import { canonicalJson, type Json } from '../../../src/core/model/json.ts'
import { digestBytes } from '../../../src/core/model/digest.ts'
import { configMap, FLEET, group, lint, site, workload, type Files } from '../../unit/fleet/tree.ts'

interface Shape {
  readonly sites: readonly { readonly country: string; readonly format: string; readonly tills: number | null }[]
  readonly workloads: readonly {
    readonly format: string | null
    readonly reads: readonly string[]
    readonly objects: number
  }[]
}

const shape: fc.Arbitrary<Shape> = fc.record({
  sites: fc.array(
    fc.record({
      country: fc.constantFrom('dk', 'se'),
      format: fc.constantFrom('big', 'small'),
      tills: fc.option(fc.integer({ min: 1, max: 3 })),
    }),
    { minLength: 1, maxLength: 8 },
  ),
  workloads: fc.array(
    fc.record({
      format: fc.option(fc.constantFrom('big', 'small')),
      reads: fc.subarray(['vars.tills', 'vars.c', 'vars.f', 'site.labels.country', 'site.name']),
      objects: fc.integer({ min: 1, max: 3 }),
    }),
    { minLength: 1, maxLength: 4 },
  ),
})

function filesOf({ sites, workloads }: Shape): Record<string, string> {
  const files: Record<string, string> = {
    'flotilla.yaml': FLEET.replace('layers:', 'vars: { tills: 0, c: "?" , f: "?" }, layers:'),
  }
  for (const [i, { country, format, tills }] of sites.entries()) {
    files[`sites/s${i}.yaml`] = site(
      `s${i}`,
      `country: ${country}, format: ${format}`,
      tills === null ? '' : `  vars: { tills: ${tills} }\n`,
    )
  }
  for (const [layer, key, values] of [['country', 'c', ['dk', 'se']], ['format', 'f', ['big', 'small']]] as const) {
    for (const value of values) {
      const spec = `  layer: ${layer}\n  allowEmpty: true\n  selector: { matchLabels: { ${layer}: ${value} } }\n  vars: { ${key}: ${value} }\n`
      files[`groups/${value}.yaml`] = group(value, spec)
    }
  } // prettier-ignore
  for (const [w, { format, reads, objects }] of workloads.entries()) {
    const target = format === null ? 'key: country, operator: Exists' : `key: format, operator: In, values: [${format}]`
    const data = reads.map((name, i) => `k${i}: "\${{ ${name} }}!"`).join(', ')
    files[`apps/w${w}/workload.yaml`] = workload(
      `w${w}`,
      `  targets: [{ allowEmpty: true, selector: { matchExpressions: [{ ${target} }] } }]\n` +
        `  overlays: [{ name: o, allowEmpty: true, patches: [{ target: { name: w${w}-0 }, patch: { data: { z: "1", ${data} } } }] }]\n`,
    )
    for (let i = 0; i < objects; i++) files[`apps/w${w}/base/${i}.yaml`] = configMap(`w${w}-${i}`)
  }
  return files
}

const rendered = (files: Files) => {
  const result = lint(files)
  if (result.parsed.fleet === null || result.rendered === null) throw new Error(JSON.stringify(result.problems))
  return { ...result.rendered, fleet: result.parsed.fleet }
}

test('the same text in another order of files, and from a warm cache, gives the same bytes', () => {
  fc.assert(
    fc.property(shape, (made) => {
      const files = filesOf(made)
      const cache = createFleetCache()
      const first = lint(files, { cache }).rendered
      const turned = lint(Object.fromEntries(Object.entries(files).toReversed())).rendered
      expect(lint(files, { cache }).rendered).toEqual(first)
      expect(turned?.sites).toEqual(first?.sites)
      expect(new Set(turned?.blobs.keys())).toEqual(new Set(first?.blobs.keys()))
    }),
    { numRuns: 40 },
  )
})

test('a site gets in a fleet of many what it gets in a fleet of its own', () => {
  fc.assert(
    fc.property(shape, (made) => {
      const files = filesOf(made)
      const together = rendered(files)
      for (const i of made.sites.keys()) {
        const alone = Object.entries(files).filter(
          ([path]) => !path.startsWith('sites/') || path === `sites/s${i}.yaml`,
        )
        expect(rendered(Object.fromEntries(alone)).sites.get(`s${i}`)).toEqual(together.sites.get(`s${i}`))
      }
    }),
    { numRuns: 25 },
  )
})

test('every release names blobs that are there, and every blob hashes to its name', () => {
  fc.assert(
    fc.property(shape, (made) => {
      const { sites, releases, blobs } = rendered(filesOf(made))
      for (const workloads of sites.values()) {
        for (const [workload, digest] of workloads) {
          expect(releases.get(digest)?.workload).toBe(workload)
          expect(canonicalJson(releases.get(digest) as unknown as Json)).toBe(
            new TextDecoder().decode(blobs.get(digest)?.bytes),
          )
          for (const { blob } of releases.get(digest)?.objects ?? []) expect(blobs.has(blob)).toBe(true)
        }
      }
      for (const [digest, { domain, bytes }] of blobs) expect(digestBytes(domain, bytes)).toBe(digest)
    }),
    { numRuns: 25 },
  )
})

const BREAKS: readonly (readonly [string, string])[] = [
  ['base/0.yaml', 'a: ['],
  ['base/0.yaml', 'apiVersion: v1\nkind: ConfigMap\nmetadata: { generateName: x }\n'],
  ['base/kustomization.yaml', 'namePrefix: x\nresources: [0.yaml]\n'],
  ['base/9.yaml', configMap('w0-0')],
  ['base/9.yaml', configMap('other', '{}', 'kube-system')],
]

test('an error never shrinks what a site has: broken workloads keep what was there, the others go on', () => {
  fc.assert(
    fc.property(shape, fc.constantFrom(...BREAKS), (made, [path, text]) => {
      const before = rendered(filesOf(made))
      const after = rendered({ ...filesOf(made), [`apps/w0/${path}`]: text })
      expect(carryHeld(before.sites, after.fleet, after)).toEqual(before.sites)
      const verdict = judgeDeletions({ previous: before, next: after, fleet: after.fleet, spent: new Set() })
      expect(verdict).toEqual({ kind: 'ok', confirmed: null, list: { sites: [], untargeted: [], objects: [] } })
    }),
    { numRuns: 40 },
  )
})

test('any bytes are documents or problems, never a throw', () => {
  const soup = fc.array(
    fc.constantFrom(
      'a',
      ':',
      ' ',
      '\n',
      '- ',
      '[',
      ']',
      '{',
      '}',
      '"',
      "'",
      '|',
      '>',
      '&x ',
      '*x ',
      '!!str ',
      '#',
      '---\n',
      '...\n',
      '?',
      '%',
      '\t',
      '<<: ',
      '0',
      ',',
      '\u00e6',
    ),
    { maxLength: 60 },
  )
  fc.assert(
    fc.property(
      fc.oneof(
        soup.map((parts) => new TextEncoder().encode(parts.join(''))),
        fc.uint8Array({ maxLength: 80 }),
      ),
      fc.constantFrom('core', 'kubectl'),
      (bytes, reading) => {
        const { documents, problems } = readYaml(bytes, reading)
        for (const { value } of documents) expect(() => canonicalJson(value)).not.toThrow()
        for (const { at } of problems) expect(at.line).toBeGreaterThanOrEqual(1)
      },
    ),
    { numRuns: 1_000 },
  )
})

test('plain JSON is read as JSON.parse reads it, by both readings', () => {
  const json = fc
    .jsonValue({ maxDepth: 4 })
    .filter((value) => value !== null && !JSON.stringify(value).includes('"__proto__"'))
  const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value)) as unknown
  const exact = (value: unknown): boolean => !JSON.stringify(value).match(/(?<![".eE\d-])-?\d{16,}(?![.eE\d])/)
  fc.assert(
    fc.property(json.filter(exact), fc.constantFrom('core', 'kubectl'), (value, reading) => {
      const { documents, problems } = readYaml(new TextEncoder().encode(JSON.stringify(value)), reading)
      expect(problems.filter(({ code }) => code !== 'FLT1009')).toEqual([])
      expect(plain(documents[0]?.value)).toEqual(plain(value))
    }),
    { numRuns: 500 },
  )
})
