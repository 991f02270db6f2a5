/** An installed agent as a process: its store in a folder, a hub that can be taken away, and bundles of other versions, sound or broken. */
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { rolldown } from 'rolldown'
import { openPki } from '../../src/adapters/link/pki.ts'
import { startLinkServer } from '../../src/adapters/link/server.ts'
import type { LinkServer } from '../../src/adapters/link/types.ts'
import type { BoxView } from '../../src/core/api/box.ts'
import { canonicalJson, type JsonObject } from '../../src/core/model/json.ts'
import { refOf, type Manifest } from '../../src/core/model/object.ts'
import type { Release } from '../../src/core/model/release.ts'
import { RULES } from '../unit/agent/site.ts'
import { HubTwin, MANIFEST } from '../unit/link/hub-twin.ts'
import { Program, ROOT } from './fleet.ts'

/** A place in the source, and what stands there instead. */
export interface Change {
  readonly file: string
  readonly from: string
  readonly to: string
}

/** The program as it is shipped, as another version, with something changed in it. Returns the file to run. */
export async function bundleOf(dir: string, version: string, changes: readonly Change[] = []): Promise<string> {
  const all = [{ file: 'src/main.ts', from: `const VERSION = '0.1.0'`, to: `const VERSION = '${version}'` }, ...changes]
  const missing = new Set(all)
  const bundle = await rolldown({
    cwd: ROOT,
    input: { flotilla: path.join(ROOT, 'src/main.ts') },
    platform: 'node',
    external: [/^node:/],
    logLevel: 'silent',
    plugins: [
      {
        name: 'another-version',
        transform(code, id) {
          let text = code
          for (const change of all.filter(({ file }) => id === path.join(ROOT, file))) {
            if (!text.includes(change.from)) continue
            missing.delete(change)
            text = text.replace(change.from, change.to)
          }
          return text === code ? null : text
        },
      },
    ],
  })
  await bundle.write({ dir, format: 'esm', chunkFileNames: 'chunks/[name]-[hash].js' })
  await bundle.close()
  for (const { file, from } of missing) throw new Error(`${file} has no ${JSON.stringify(from)} any more`)
  fs.cpSync(path.join(ROOT, 'schemas'), path.join(dir, '../schemas'), { recursive: true })
  return path.join(dir, 'flotilla.js')
}

/** Answers one site; goes away and comes back on its port. */
export class HubAway {
  readonly twin: HubTwin
  #server: LinkServer
  #counter = 0
  readonly #since = new Map<string, { readonly text: string; readonly entry: unknown }>()

  private constructor(twin: HubTwin, server: LinkServer) {
    this.twin = twin
    this.#server = server
  }

  static async start(dir: string): Promise<HubAway> {
    const twin = new HubTwin(await openPki(path.join(dir, 'pki'), Date.now()))
    Object.defineProperty(twin, 'nowMs', { get: () => Date.now() })
    return new HubAway(twin, await startLinkServer({ pki: twin.pki, handler: twin, host: '127.0.0.1' }))
  }

  joinLine(site: string): string {
    return this.twin.pki.joinLine(this.#server.url, site, this.twin.token(site))
  }

  async leave(): Promise<void> {
    await this.#server.close(0)
  }

  async comeBack(): Promise<void> {
    const port = Number(new URL(this.#server.url).port)
    this.#server = await startLinkServer({ pki: this.twin.pki, handler: this.twin, host: '127.0.0.1', port })
  }

  publish(site: string, workloads: Readonly<Record<string, readonly Manifest[]>>): void {
    const { twin } = this
    const generation = { epoch: 1, counter: ++this.#counter }
    const at = (ms: number): string => new Date(Date.now() + ms).toISOString()
    const entries = Object.entries(workloads).map(([workload, objects], order) => {
      const release = this.#release(workload, objects)
      const before = this.#since.get(workload)
      if (before?.text === release) return before.entry
      const entry = {
        workload,
        since: generation,
        release,
        order,
        startAfter: at(-60_000),
        startBy: at(86_400_000),
        gates: [],
      }
      this.#since.set(workload, { text: release, entry })
      return entry
    }) as (typeof MANIFEST)['entries']
    const siteId = [...twin.keys.values()][0]?.siteId ?? ''
    twin.publish({ ...MANIFEST, site, siteId, generation, issued: at(0), expires: at(86_400_000), entries })
  }

  #release(workload: string, objects: readonly Manifest[]): (typeof MANIFEST)['entries'][0]['release'] {
    const put = (object: Manifest) => this.twin.put('object', Buffer.from(canonicalJson(object)))
    const made: Release = {
      format: 1,
      workload,
      namespace: 'shop',
      objects: objects.map((object) => ({ ref: refOf(object), apiVersion: object.apiVersion, blob: put(object) })),
      dependsOn: [],
      rules: RULES,
    }
    return this.twin.put('release', Buffer.from(canonicalJson(made as unknown as JsonObject)))
  }
}

/** A process on a store, and the commands that are given at its box. */
export function agentOn(dir: string, bin: string, name: string, store: string, kubeconfig: string, ...more: string[]) {
  const args = ['agent', '--data', store, '--poll-ms', '500', '--kubeconfig', kubeconfig, ...more]
  const program = new Program(name, dir, args, {}, bin)
  return { program, log: () => (fs.existsSync(program.log) ? fs.readFileSync(program.log, 'utf8') : '') }
}

export function atBox(bin: string, store: string, ...args: string[]): string {
  const [word = '', ...rest] = args
  return execFileSync(process.execPath, [bin, 'agent', word, '--data', store, ...rest], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}

export function boxView(bin: string, store: string): BoxView {
  return JSON.parse(atBox(bin, store, 'status', '-o', 'json')) as BoxView
}
