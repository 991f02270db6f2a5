/** How to reach an API server and as whom. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Fault } from '../../core/model/fault.ts'

/** Where the address and the credentials come from; `main.ts` reads flags and environment and says it. */
export type ClusterSource =
  | { readonly from: 'kubeconfig'; readonly path: string; readonly context?: string }
  /** In a pod: KUBERNETES_SERVICE_HOST and _PORT, and the folder with `token` and `ca.crt`. */
  | { readonly from: 'in-cluster'; readonly host: string; readonly port: number; readonly folder?: string }

/** TLS material in PEM. */
export interface TlsMaterial {
  readonly ca?: string | Buffer
  readonly cert?: string | Buffer
  readonly key?: string | Buffer
  readonly passphrase?: string
  readonly servername?: string
  readonly rejectUnauthorized?: boolean
}

export interface Identity {
  readonly tls: TlsMaterial
  readonly headers: Readonly<Record<string, string>>
}

export interface Credentials {
  readonly server: URL
  /** What to present now; read again where it may have changed. */
  identity(): Promise<Identity>
}

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount'

/** Fault InvalidInput where the source cannot be read. */
export async function readCredentials(source: ClusterSource): Promise<Credentials> {
  return source.from === 'in-cluster' ? inCluster(source) : fromKubeconfig(source.path, source.context)
}

/** Two files; the kubelet replaces the token long before it expires. */
function inCluster(source: { readonly host: string; readonly port: number; readonly folder?: string }): Credentials {
  const folder = source.folder ?? SERVICE_ACCOUNT
  const host = source.host.includes(':') ? `[${source.host}]` : source.host
  return {
    server: new URL(`https://${host}:${source.port}`),
    identity: async () => {
      const [ca, token] = await readAll([join(folder, 'ca.crt'), join(folder, 'token')])
      return { tls: { ca: ca as string }, headers: { authorization: `Bearer ${(token as string).trim()}` } }
    },
  }
}

async function readAll(paths: readonly string[]): Promise<readonly string[]> {
  try {
    return await Promise.all(paths.map((path) => readFile(path, 'utf8')))
  } catch (cause) {
    throw new Fault('Unauthorized', 'the service account files cannot be read', { cause })
  }
}

/**
 * Client certificates, tokens and their files, exec plugins, OIDC: client-node knows them all. It costs 85 MB and 0.6 s to
 * load, so it is loaded only here.
 */
async function fromKubeconfig(path: string, context: string | undefined): Promise<Credentials> {
  const { KubeConfig } = await import('@kubernetes/client-node')
  const config = new KubeConfig()
  try {
    config.loadFromFile(path)
    if (context !== undefined) config.setCurrentContext(context)
  } catch (cause) {
    throw new Fault('InvalidInput', `the kubeconfig ${path} cannot be read`, { cause })
  }
  const cluster = config.getCurrentCluster()
  if (cluster === null)
    throw new Fault('InvalidInput', `the kubeconfig ${path} names no cluster in its current context`)
  return {
    server: new URL(cluster.server),
    identity: async () => {
      const options: Parameters<typeof config.applyToHTTPSOptions>[0] = { headers: {} }
      try {
        await config.applyToHTTPSOptions(options)
      } catch (cause) {
        throw new Fault('Unauthorized', 'the kubeconfig gives no credentials', { cause })
      }
      return { tls: tlsOf(options as TlsMaterial), headers: headersOf(options as Parameters<typeof headersOf>[0]) }
    },
  }
}

const TLS_KEYS = ['ca', 'cert', 'key', 'passphrase', 'servername', 'rejectUnauthorized'] as const

function tlsOf(options: TlsMaterial): TlsMaterial {
  return Object.fromEntries(TLS_KEYS.filter((key) => options[key] !== undefined).map((key) => [key, options[key]]))
}

function headersOf(options: { readonly headers?: unknown; readonly auth?: string | null }): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const [key, value] of Object.entries((options.headers ?? {}) as Record<string, unknown>))
    if (typeof value === 'string') headers[key.toLowerCase()] = value
  if (typeof options.auth === 'string')
    headers['authorization'] = `Basic ${Buffer.from(options.auth).toString('base64')}`
  return headers
}
