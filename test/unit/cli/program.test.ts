import { describe, expect, test } from 'vitest'
import type { Command, Io, Values } from '../../../src/cli/command.ts'
import { EXIT } from '../../../src/cli/exit.ts'
import { runProgram } from '../../../src/cli/program.ts'
import { Fault } from '../../../src/core/model/fault.ts'

const said: string[] = []
const io: Io = {
  out: (text) => void said.push(text),
  err: (text) => void said.push(text),
  terminal: false,
  color: false,
  ascii: true,
  columns: 80,
  nowMs: () => 0,
  signal: new AbortController().signal,
}

async function run(argv: readonly string[], act: (args: readonly string[], flags: Values) => void = () => undefined) {
  said.length = 0
  const command: Command<null> = {
    name: 'site look',
    group: 'Observe',
    summary: 'Looks',
    arguments: [{ name: 'SITE', help: 'which' }],
    flags: {
      'poll-ms': { type: 'number', help: 'how often', default: 500 },
      'git-token-file': { type: 'string', help: 'where' },
      once: { type: 'switch', help: 'only once' },
      label: { type: 'list', help: 'some' },
    },
    run: async (args, flags) => {
      act(args, flags)
      return EXIT.policy
    },
  }
  return { code: await runProgram([command], argv, '1', null, io), said: said.join('\n') }
}

describe('what a command is given', () => {
  test('its flags by the names that it gave them, with their types and defaults', async () => {
    let seen: unknown
    const { code } = await run(
      ['site', 'look', 's1', '--poll-ms', '250', '--git-token-file', 'f', '--once', '--label', 'a', '--label', 'b'],
      (args, flags) => {
        seen = { args, flags }
      },
    )
    expect(seen).toEqual({
      args: ['s1'],
      flags: { 'poll-ms': 250, 'git-token-file': 'f', once: true, label: ['a', 'b'] },
    })
    expect(code).toBe(EXIT.policy)
  })

  test('a default where nothing is said', async () => {
    let seen: Values = {}
    await run(['site', 'look', 's1'], (_args, flags) => {
      seen = flags
    })
    expect(seen['poll-ms']).toBe(500)
    expect(seen['once']).toBeUndefined()
  })
})

describe('what a user reads', () => {
  test.each<[string, readonly string[], number, RegExp]>([
    ['a word that is no command', ['sites'], EXIT.failed, /unknown command/],
    ['a flag that is none', ['site', 'look', 's1', '--pol-ms', '1'], EXIT.failed, /unknown option/],
    [
      'a number that is none',
      ['site', 'look', 's1', '--poll-ms', 'soon'],
      EXIT.failed,
      /found soon, expected a number/,
    ],
    ['a missing argument', ['site', 'look'], EXIT.failed, /SITE/],
    ['help', ['--help'], EXIT.ok, /Observe:/],
    ['the version', ['--version'], EXIT.ok, /^1$/],
  ])('%s', async (_name, argv, code, text) => {
    const done = await run(argv)
    expect(done.code).toBe(code)
    expect(done.said).toMatch(text)
  })

  test('a fault with its reason and the next step', async () => {
    const done = await run(['site', 'look', 's1'], () => {
      throw new Fault('Unreachable', 'no hub is named')
    })
    expect(done.code).toBe(EXIT.failed)
    expect(done.said).toBe(
      'error Unreachable: no hub is named\n  next  is the hub running? give --hub URL, or set FLOTILLA_HUB',
    )
  })
})
