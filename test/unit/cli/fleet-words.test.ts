/** What words become on the way to the hub, and what is refused before it is asked. */
import { expect, test } from 'vitest'
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
  ['hub recover', 'hub recover', [], 'POST /v1/recover'],
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
