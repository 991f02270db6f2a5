/** The process's log: JSON lines to standard error or a file descriptor, written synchronously so that a kill loses none. */
import { destination, pino } from 'pino'
import type { Logger } from './logger.ts'

/** Keys whose values never reach a log, at any depth that we log at. Secrets are also kept in types that cannot be printed. */
const SECRET_PATHS = ['password', 'token', 'secret', 'authorization', 'privateKey', 'ageKey'].flatMap((key) => [
  key,
  `*.${key}`,
  `*.*.${key}`,
])

/** `level`: pino's words (`debug`, `info`, `warn`, `error`, `silent`). */
export function createLogger(name: string, level: string, fd: 1 | 2 = 1): Logger {
  return pino(
    {
      name,
      level,
      base: { name },
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: SECRET_PATHS,
      serializers: { err: pino.stdSerializers.err },
    },
    destination({ dest: fd, sync: true }),
  )
}
