/**
 * A real Kubernetes control plane for a test file, started by `../shared/kube/up.sh` in a folder of its own. Where those scripts
 * are not there it throws: a suite on a real cluster fails rather than pass without one.
 */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const SCRIPTS = process.env['KUBE_DIR'] ?? resolve(import.meta.dirname, '../../../shared/kube')
/** A first start on a machine builds the programs. */
const START_MS = 20 * 60_000

export type ControlPlaneFlag = '--controller-manager' | '--scheduler' | '--kubelet'

export interface ControlPlane extends AsyncDisposable {
  readonly dir: string
  /** Of an admin. */
  readonly kubeconfig: string
  /** Path of the kubectl that belongs to it. */
  readonly kubectlPath: string
  /** Runs kubectl as the admin; its standard output. */
  kubectl(...args: string[]): Promise<string>
  /** As `nodes.sh`: nodes that look alive, and play their pods. */
  nodes(count: number, cpu?: string, memory?: string, extra?: string): Promise<void>
  /** As a power cut: nothing is drained, the data stay. */
  cut(): Promise<void>
  /** Back again with its data and the flags of the start. */
  restore(): Promise<void>
  /** Ends it and deletes its folder. */
  stop(): Promise<void>
}

export function kubeScripts(): string {
  if (!existsSync(join(SCRIPTS, 'up.sh')))
    throw new Error(`no control plane to test on: ${SCRIPTS}/up.sh is missing (KUBE_DIR names another folder)`)
  return SCRIPTS
}

export async function startControlPlane(flags: readonly ControlPlaneFlag[] = []): Promise<ControlPlane> {
  const scripts = kubeScripts()
  const dir = await mkdtemp(join(tmpdir(), 'flotilla-kube-'))
  const script = async (name: string, ...args: string[]): Promise<string> => {
    const { stdout } = await run(join(scripts, name), args, { timeout: START_MS, maxBuffer: 64 * 1024 * 1024 })
    return stdout.trim()
  }
  const kubelet = flags.includes('--kubelet')
  const stop = async (): Promise<void> => {
    await script('down.sh', dir)
    if (kubelet) await clearPodNetworks()
    await rm(dir, { recursive: true, force: true, maxRetries: 5 })
  }
  try {
    const where = process.env['KUBEBUILDER_ASSETS'] ?? (await script('build.sh', '--where'))
    if (kubelet) await clearPodNetworks()
    const kubeconfig = await script('up.sh', dir, ...flags)
    const kubectlPath = join(where, 'kubectl')
    return {
      dir,
      kubeconfig,
      kubectlPath,
      kubectl: async (...args) => {
        const { stdout } = await run(kubectlPath, ['--kubeconfig', kubeconfig, ...args], {
          maxBuffer: 64 * 1024 * 1024,
        })
        return stdout
      },
      nodes: async (count, cpu = '4', memory = '8Gi', extra = '') => {
        await script('nodes.sh', dir, String(count), cpu, memory, ...(extra === '' ? [] : [extra]))
      },
      cut: async () => {
        await script('down.sh', dir)
      },
      restore: async () => {
        await script('up.sh', dir, ...flags)
      },
      stop,
      [Symbol.asyncDispose]: stop,
    }
  } catch (error) {
    await stop().catch(() => undefined)
    throw error
  }
}

/**
 * Network namespaces that a power cut left on the bridge of every kubelet here: nothing runs in them, and they would answer at
 * the addresses that the next control plane gives to its own pods.
 */
async function clearPodNetworks(): Promise<void> {
  const { stdout } = await run('ip', ['netns', 'list'])
  for (const name of stdout.match(/^cni-\S+/gm) ?? []) {
    const { stdout: pids } = await run('ip', ['netns', 'pids', name])
    if (pids.trim() === '') await run('ip', ['netns', 'delete', name])
  }
}
