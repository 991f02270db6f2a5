import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { expect, test } from 'vitest'

const root = path.resolve(import.meta.dirname, '../../..')

test('secrets do not reach the log, at any depth that is logged, and lines are there after a kill', () => {
  const script = `
    import { createLogger } from ${JSON.stringify(path.join(root, 'src/runtime/pino-logger.ts'))}
    const log = createLogger('t', 'info').child({ site: '0417', revision: 'abc' })
    log.info({ token: 'CANARY', a: { password: 'CANARY', b: { privateKey: 'CANARY' } } }, 'constant')
    process.kill(process.pid, 'SIGKILL')
  `
  const done = spawnSync(process.execPath, ['--input-type=module', '--eval', script], { encoding: 'utf8' })
  expect(done.signal).toBe('SIGKILL')
  const line = JSON.parse(done.stdout) as Record<string, unknown>
  expect(line).toMatchObject({ site: '0417', revision: 'abc', msg: 'constant' })
  expect(done.stdout).not.toContain('CANARY')
})
