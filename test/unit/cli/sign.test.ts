/** `flotilla sign` and `flotilla lint`, from a folder as people have it: what is signed for, and what no hub would take. */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { readFolder } from '../../../src/adapters/git/folder.ts'
import type { Io } from '../../../src/cli/command.ts'
import { AUTHOR } from '../../../src/cli/commands/author.ts'
import { SIGN } from '../../../src/cli/commands/sign.ts'
import type { CliPorts } from '../../../src/cli/ports.ts'
import { printable } from '../../../src/cli/printable.ts'
import { runProgram } from '../../../src/cli/program.ts'
import type { SignedStatement } from '../../../src/core/protocol/messages.ts'
import { readStatement, type ReleaseStatement } from '../../../src/core/protocol/statement.ts'
import { shops } from '../hub/files.ts'
import { RELEASE_SIGNER, TRUST } from '../protocol/fixed.ts'

let dir: string
beforeEach(() => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'flotilla-sign-'))
})
afterEach(() => fs.rmSync(dir, { recursive: true, force: true }))

const write = (file: string, text: string): void => {
  fs.mkdirSync(path.dirname(path.join(dir, file)), { recursive: true })
  fs.writeFileSync(path.join(dir, file), text)
}
async function run(...argv: readonly string[]) {
  const sent: SignedStatement[] = []
  const out: string[] = []
  const take = (text: string): void => void out.push(printable(text))
  const io: Io = { out: take, err: take, terminal: false, color: false, ascii: true, columns: 120, nowMs: () => 5_000, signal: new AbortController().signal } // prettier-ignore
  const ports = {
    folder: async (folder: string) => readFolder(folder),
    signer: async () => RELEASE_SIGNER,
    hub: async () => ({
      send: async (_method: string, _path: string, body: { statements: SignedStatement[] }) =>
        sent.push(...body.statements),
    }),
  } as unknown as CliPorts
  const code = await runProgram([...AUTHOR, ...SIGN], [...argv], 'test', ports, io)
  const said = sent.map((statement) => readStatement(statement, TRUST.rings.release) as ReleaseStatement)
  return { code, out: out.join('\n'), said }
}

test('a release signer signs for each release at the sites that render it, and for the names that these had before', async () => {
  const sites = Array.from({ length: 41 }, (_, i) => `s${i + 1}`)
  const site = (name: string): string => (name === 's2' ? '  formerNames: [t1, t2]\n' : '')
  for (const [file, text] of Object.entries(shops({ sites, site }))) write(file, text)
  const { code, said } = await run('sign', dir, '--key', 'k', '--not-below', '3')
  expect(code).toBe(0)
  expect(said.flatMap((word) => word.sites).toSorted()).toEqual(sites.toSorted())
  expect(said.every(({ sites: named }) => named.length <= 40)).toBe(true)
  expect(said[0]).toMatchObject({ workload: 'web', revisionSeq: 5, notBelow: 3 })
  expect(said.map(({ formerNames }) => formerNames).filter(Boolean)).toEqual([{ s2: ['t1', 't2'] }])
})

test('nothing is signed for in a folder that no hub would take', async () => {
  for (const [file, text] of Object.entries(shops())) write(file, text)
  fs.symlinkSync('/etc/passwd', path.join(dir, 'apps/web/base/x.yaml'))
  const { code, out, said } = await run('sign', dir, '--key', 'k')
  expect([code, out, said]).toEqual([
    5,
    'apps/web/base/x.yaml:1:1 error UnsafeTree a symlink; commit the file itself',
    [],
  ])
})

test('lint names what a hub refuses by its path, and draws nothing on the terminal', async () => {
  for (const [file, text] of Object.entries(shops())) write(file, text)
  write('apps/\u001b[2Jx/\u202ea.yaml', 'a: 1\n')
  const { code, out } = await run('lint', dir)
  expect(code).toBe(5)
  expect(out).toMatch(/^apps\/\\u001b\[2Jx:1:1 error UnsafeTree a character that paths may not have; rename it/)
  expect(printable('\u001b[31mred\u001b[0m\tand\r\nso \u0007on')).toBe('\u001b[31mred\u001b[0m\tand\r\nso \\u0007on')
})
