/** A real Git server: `git http-backend` behind node:http on loopback, with what tests need to look at and to break. */
import { spawn, spawnSync } from 'node:child_process'
import http from 'node:http'
import type { AddressInfo } from 'node:net'

export interface GitServer extends AsyncDisposable {
  readonly url: string
  /** `GET /path?query` of each request since the last clear. */
  readonly requests: string[]
  /** Demand this Authorization header; null: anyone. */
  authorization: string | null
  /** Answer every request with this status instead. */
  broken: number | null
}

export async function startGitServer(root: string): Promise<GitServer> {
  const state: { requests: string[]; authorization: string | null; broken: number | null } = {
    requests: [],
    authorization: null,
    broken: null,
  }
  const server = http.createServer((req, res) => {
    const url = new URL(req.url ?? '/', 'http://server')
    state.requests.push(`${req.method} ${url.pathname}${url.search}`)
    if (state.broken !== null) return void res.writeHead(state.broken).end()
    if (state.authorization !== null && req.headers.authorization !== state.authorization) {
      return void res.writeHead(401, { 'www-authenticate': 'Basic realm="git"' }).end()
    }
    backend(root, url, req, res)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return Object.assign(state, {
    url: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  })
}

function backend(root: string, url: URL, req: http.IncomingMessage, res: http.ServerResponse): void {
  const env: Record<string, string> = {
    PATH: process.env['PATH'] ?? '',
    GIT_PROJECT_ROOT: root,
    GIT_HTTP_EXPORT_ALL: '1',
    PATH_INFO: decodeURIComponent(url.pathname),
    QUERY_STRING: url.search.slice(1),
    REQUEST_METHOD: req.method ?? 'GET',
    CONTENT_TYPE: req.headers['content-type'] ?? '',
    HTTP_CONTENT_ENCODING: req.headers['content-encoding'] ?? '',
    GIT_PROTOCOL: String(req.headers['git-protocol'] ?? ''),
    REMOTE_USER: 'test',
    REMOTE_ADDR: '127.0.0.1',
  }
  const child = spawn('git', ['http-backend'], { env })
  req.pipe(child.stdin)
  child.stdin.on('error', () => {})
  let head = Buffer.alloc(0)
  let started = false
  child.stdout.on('data', (chunk: Buffer) => {
    if (started) return void res.write(chunk)
    head = Buffer.concat([head, chunk])
    const end = head.indexOf('\r\n\r\n')
    if (end < 0) return
    let status = 200
    const headers: Record<string, string> = {}
    for (const line of head.subarray(0, end).toString().split('\r\n')) {
      const colon = line.indexOf(':')
      const name = line.slice(0, colon)
      const value = line.slice(colon + 1).trim()
      if (name.toLowerCase() === 'status') status = Number.parseInt(value, 10)
      else headers[name] = value
    }
    started = true
    res.writeHead(status, headers)
    res.write(head.subarray(end + 4))
  })
  child.on('close', () => res.end())
}

/** The git program, for tests that stand where a user stands. */
export function gitProgram(cwd: string, ...args: string[]): string {
  const identity = ['-c', 'user.name=Test', '-c', 'user.email=test@example.com', '-c', 'commit.gpgsign=false']
  const done = spawnSync('git', [...identity, ...args], { cwd, encoding: 'utf8' })
  if (done.status !== 0) throw new Error(`git ${args.join(' ')}: ${done.stderr}`)
  return done.stdout.trim()
}
