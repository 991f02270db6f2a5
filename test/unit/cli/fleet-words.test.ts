/** What words become on the way to the hub, and what is refused before it is asked. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Io } from '../../../src/cli/command.ts'
import { OBSERVE } from '../../../src/cli/commands/observe.ts'
import { OPERATE } from '../../../src/cli/commands/operate.ts'
import { RUN } from '../../../src/cli/commands/run.ts'
import type { CliPorts } from '../../../src/cli/ports.ts'
import { runProgram } from '../../../src/cli/program.ts'

const NOW = Date.UTC(2026, 0, 7, 12)

async function run(argv: readonly string[], answers: Readonly<Record<string, readonly unknown[]>> = {}) {
  const asked: string[] = []
  const out: string[] = []
  const err: string[] = []
  const left = new Map(Object.entries(answers).map(([path, list]) => [path, [...list]]))
  const stop = new AbortController()
  const answer = (method: string, path: string, body?: unknown): unknown => {
    asked.push(`${method} ${path}${body === undefined ? '' : ` ${JSON.stringify(body)}`}`)
    const list = left.get(path)
    if (list !== undefined && list.length === 1) stop.abort()
    return (list?.length ?? 0) > 1 ? list?.shift() : (list?.[0] ?? {})
  }
  const hub = {
    url: 'http://hub',
    get: async (path: string) => answer('GET', path),
    send: async (method: string, path: string, body?: unknown) => answer(method, path, body),
  }
  const io: Io = {
    out: (text) => out.push(text),
    err: (text) => err.push(text),
    terminal: false,
    color: false,
    ascii: true,
    columns: 120,
    nowMs: () => NOW,
    signal: stop.signal,
  }
  const ports = { version: 'test', hub: async () => hub } as unknown as CliPorts
  const code = await runProgram([...RUN, ...OBSERVE, ...OPERATE], [...argv], 'test', ports, io)
  return { code, asked, out: out.join('\n'), err: err.join('\n') }
}

test.each<[string, string, readonly string[], string]>([
  ['retire names the site', 'retire site/0612', [], 'POST /v1/sites/0612/retire'],
  ['reconcile looks at Git now', 'reconcile', [], 'POST /v1/reconcile {}'],
  ['a rewritten history is accepted by name', 'reconcile --accept abc', [], 'POST /v1/reconcile {"accept":"abc"}'],
  ['reconcile of one site asks it to come', 'reconcile site/0612', [], 'POST /v1/sites/0612/reconcile'],
  ['a freeze is ended by its id', 'unfreeze freeze/ab12', [], 'DELETE /v1/freezes/ab12'],
  [
    'a token for a person',
    'token create --role operator --name ann -l country=dk',
    [],
    'POST /v1/tokens {"name":"ann","role":"operator","selector":{"matchExpressions":[{"key":"country","operator":"In","values":["dk"]}]}}',
  ],
  [
    'a token for an approver',
    'token create --role approver --name bo --team ops --team vision',
    [],
    'POST /v1/tokens {"name":"bo","role":"approver","teams":["ops","vision"]}',
  ],
  ['hub recover', 'hub recover', [], 'POST /v1/recover'],
  [
    'a broken glass says whose, which rollout and why',
    'rollout break-glass rollout/web --team ops --id d1 -o json --reason',
    ['tills refuse cards'],
    'POST /v1/rollouts/web/break-glass {"why":"tills refuse cards","forMs":86400000,"team":"ops","id":"d1"}',
  ],
  [
    'why of an object goes by its kind',
    'why Deployment/shop/till -o json',
    [],
    'GET /v1/why/object/Deployment%2Fshop%2Ftill',
  ],
  [
    'freeze takes labels as kubectl does',
    'freeze -l country=dk --for 2h --reason',
    ['Black Friday'],
    'POST /v1/freezes {"reason":"Black Friday","forMs":7200000,"selector":{"matchExpressions":[{"key":"country","operator":"In","values":["dk"]}]}}',
  ],
  [
    'freeze of every site says so',
    'freeze --all --for 1h30m --reason',
    ['incident'],
    'POST /v1/freezes {"reason":"incident","forMs":5400000}',
  ],
])('%s', async (_sentence, line, last, expected) => {
  const { code, asked, err } = await run([...line.split(' '), ...last])
  expect(err).toBe('')
  expect(code).toBe(0)
  expect(asked).toEqual([expected])
})

test.each<[string, readonly string[], RegExp]>([
  ['a freeze without a reason', ['freeze', '--all', '--for', '2h'], /--reason is missing/],
  ['a freeze without an end', ['freeze', '--all', '--reason', 'x'], /--for found nothing/],
  ['a freeze of nobody in particular', ['freeze', '--for', '2h', '--reason', 'x'], /give -l with labels, or --all/],
  [
    'a freeze of both',
    ['freeze', '-l', 'a=b', '--all', '--for', '2h', '--reason', 'x'],
    /give -l with labels, or --all/,
  ],
  ['a selector that says nothing', ['freeze', '-l', ' ', '--for', '2h', '--reason', 'x'], /-l selects nothing/],
  ['a selector that cannot be read', ['freeze', '-l', 'a in (', '--for', '2h', '--reason', 'x'], /error: -l /],
  ['a token for nobody', ['token', 'create'], /give --site for a site, or --role for a person/],
  ['a token for a person without a name', ['token', 'create', '--role', 'viewer'], /--name is missing/],
  ['a thing that cannot be described', ['describe', 'pod/x'], /expected site\/NAME, workload\/NAME or rollout\/NAME/],
])('%s is refused before the hub is asked', async (_sentence, argv, expected) => {
  const { code, asked, err } = await run(argv)
  expect(code).not.toBe(0)
  expect(asked).toEqual([])
  expect(err).toMatch(expected)
})

test('events reads to the end and shows the latest, of one subject where it is named', async () => {
  const event = (message: string, subject: string) => ({ atMs: NOW, kind: 'Operator', subject, message })
  const page = { items: [event('one', 'site/a'), event('two', 'site/b'), event('three', 'site/a')], next: '3' }
  const { out } = await run(['events', 'site/a', '--limit', '1'], { '/v1/events': [page] })
  expect(out).toContain('three')
  expect(out).not.toMatch(/one|two/)
})

const SITE = {
  name: '0612', labels: { country: 'dk' }, siteId: 'id-1', link: 'Online', sync: 'Waiting', health: 'Healthy', listed: true,
  mode: 'enforce', lastContactMs: NOW - 5_000, dueAtMs: NOW + 55_000, revision: '9d02c7e0', agent: '0.1.0', hold: null,
  conditions: [{ type: 'Clock', reason: 'SignatureInvalid', message: 'not for this nonce', sinceMs: NOW }], workloads: [],
} // prettier-ignore
const WHY = {
  subject: 'site/0612', settled: false, summary: 'site/0612 is not at 9d02c7e because:', asOfMs: NOW,
  causes: [{ reason: 'WindowClosed(opens 22:00)', subject: 'pos', message: 'no maintenance window is open', sinceMs: null, nextAtMs: NOW }],
  nextDecision: { atMs: NOW + 600_000, what: 'WindowClosed of pos' },
} // prettier-ignore

test('describe prints the site, its facts, its complaints and why', async () => {
  const { out, asked } = await run(['describe', 'site/0612'], { '/v1/sites/0612': [SITE], '/v1/why/site/0612': [WHY] })
  expect(asked).toEqual(['GET /v1/sites/0612', 'GET /v1/why/site/0612'])
  for (const said of ['id-1', 'country=dk', 'SignatureInvalid: not for this nonce', 'WindowClosed(opens 22:00)', 'Next decision'])
    expect(out).toContain(said)
}) // prettier-ignore

describe('-w', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())
  const watched = async (...given: Parameters<typeof run>): ReturnType<typeof run> => {
    const done = run(...given)
    await vi.advanceTimersByTimeAsync(60_000)
    return done
  }

  test('get -w prints the list, then a line for what changed and for nothing else', async () => {
    const page = (sync: string, contactMs: number) => ({
    asOfMs: NOW, total: 2, next: null,
    items: [{ ...SITE, sync, lastContactMs: contactMs }, { ...SITE, name: '0613', lastContactMs: contactMs }],
  }) // prettier-ignore
    const { out } = await watched(['get', 'sites', '-w'], {
      '/v1/sites': [page('Waiting', NOW - 5_000), page('Waiting', NOW - 1_000), page('Synced', NOW - 1_000)],
    })
    const lines = out.split('\n').filter((line) => /^061[23]/.test(line))
    expect(lines).toHaveLength(3)
    expect(lines[2]).toMatch(/^0612 +Online +Synced/)
  })

  test('events -w goes on where it was, and prints what is new', async () => {
  const event = (message: string) => ({ atMs: NOW, kind: 'Operator', subject: 'site/a', message })
  const { out } = await watched(['events', '-w'], {
    '/v1/events': [{ items: [event('one')], next: '1' }, { items: [], next: null }, { items: [event('two')], next: '2' }],
  })
  expect(out.match(/\b(one|two)\b/g)).toEqual(['one', 'two'])
}) // prettier-ignore
})

test('audit shows the latest, who signed for them, and what was said', async () => {
  const record = { seq: 7, atMs: NOW, actor: 'ann', action: 'hold', subject: '0612', detail: { reason: 'x' }, hash: 'h' }
  const { out, asked } = await run(['audit', '--limit', '5'], {
    '/v1/audit': [{ total: 7, items: [record], next: null, signed: { seq: 7, hash: 'h', atMs: NOW, keyid: 'k1', sig: 's' } }],
  })
  expect(asked).toEqual(['GET /v1/audit', 'GET /v1/audit'])
  expect(out).toMatch(/7 .*ann +hold +0612 +\{"reason":"x"\}/)
  expect(out).toContain('signed up to 7 by k1')
}) // prettier-ignore
