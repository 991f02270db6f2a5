/** One request to a Git server: give me what makes this commit whole. What comes goes to a file as it comes, and is not read here. */
import fs from 'node:fs'
import path from 'node:path'
import type { HttpClient } from 'isomorphic-git'
import { Fault } from '../../core/model/fault.ts'

export interface PackWanted {
  readonly url: string
  readonly want: string
  /** What is here already, with all that it stands on. */
  readonly have: readonly string[]
  /** Commits whose parents are not here. */
  readonly shallow: ReadonlySet<string>
  /** So many commits deep; undefined: all history. */
  readonly depth: number | undefined
  readonly file: string
}

const LINE_MAX_BYTES = 65_520
const PACK = 1
const ERROR = 3

/** Answers with the commits whose parents the server kept back. Faults: GitUnreachable and those of `http`. */
export async function fetchPack(
  http: HttpClient,
  { url, want, have, shallow, depth, file }: PackWanted,
): Promise<readonly string[]> {
  const caps = `side-band-64k ofs-delta no-progress agent=flotilla${depth === undefined && shallow.size === 0 ? '' : ' shallow'}`
  const words = [
    line(`want ${want} ${caps}\n`),
    ...[...shallow].map((oid) => line(`shallow ${oid}\n`)),
    ...(depth === undefined ? [] : [line(`deepen ${depth}\n`)]),
    '0000',
    ...have.map((oid) => line(`have ${oid}\n`)),
    line('done\n'),
  ]
  const answer = await http.request({
    url: `${url.replace(/\/$/, '')}/git-upload-pack`,
    method: 'POST',
    headers: {
      'content-type': 'application/x-git-upload-pack-request',
      accept: 'application/x-git-upload-pack-result',
    },
    body: (async function* () {
      yield Buffer.from(words.join(''))
    })(),
  })
  fs.mkdirSync(path.dirname(file), { recursive: true })
  const fd = fs.openSync(file, 'w')
  const kept: string[] = []
  let bytes = 0
  try {
    for await (const payload of lines(answer.body ?? none())) {
      const [channel] = payload
      if (channel === PACK) {
        fs.writeSync(fd, payload, 1)
        bytes += payload.length - 1
      } else if (channel === ERROR) throw refused(payload.toString('utf8', 1))
      else {
        const text = payload.toString('utf8').trim()
        if (text.startsWith('ERR ')) throw refused(text.slice(4))
        const found = /^shallow ([0-9a-f]{40})$/.exec(text)
        if (found !== null) kept.push(found[1] as string)
      }
    }
  } finally {
    fs.closeSync(fd)
  }
  if (bytes === 0) throw new Fault('GitUnreachable', 'the Git host sent no pack')
  return kept
}

function line(text: string): string {
  return (text.length + 4).toString(16).padStart(4, '0') + text
}

/** Packet lines, without those that only end a part. */
async function* lines(body: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  let held = Buffer.alloc(0)
  for await (const chunk of body) {
    held = held.length === 0 ? Buffer.from(chunk) : Buffer.concat([held, chunk])
    let at = 0
    while (held.length - at >= 4) {
      const head = held.toString('latin1', at, at + 4)
      const length = /^[0-9a-f]{4}$/i.test(head) ? Number.parseInt(head, 16) : Number.NaN
      if (Number.isNaN(length) || length > LINE_MAX_BYTES + 4 || length === 3)
        throw new Fault('GitUnreachable', 'the Git host says what no Git server says')
      if (length < 4) at += 4
      else if (held.length - at < length) break
      else {
        if (length > 4) yield held.subarray(at + 4, at + length)
        at += length
      }
    }
    held = held.subarray(at)
  }
  if (held.length > 0) throw new Fault('GitUnreachable', 'the Git host stops in the middle')
}

async function* none(): AsyncGenerator<Uint8Array> {}

function refused(text: string): Fault {
  return new Fault('GitUnreachable', `the Git host refuses: ${text.slice(0, 200)}`)
}
