/** The map of ARCHITECTURE.md as a table: room → rooms and packages it may import. `*`: everything. */
export const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  'core/model': ['node:crypto'],
  'core/kube': ['core/model'],
  'core/calendar': ['core/model', 'croner'],
  'core/fleet': ['core/model', 'core/kube', 'core/calendar', 'core/batch', 'yaml', 'ajv', 'schemas'],
  'core/diff': ['core/model', 'core/kube', 'node:crypto'],
  'core/health': ['core/model', 'core/kube'],
  'core/rollout': ['core/model', 'core/kube', 'core/calendar'],
  'core/scheduler': ['core/model', 'core/kube'],
  'core/batch': ['core/model', 'core/kube', 'core/calendar'],
  'core/plan': ['core/*'],
  'core/protocol': ['core/model', 'ajv', 'schemas', 'node:crypto', 'node:zlib'],
  'core/api': ['core/model'],
  runtime: ['core/model', 'pino', 'node:*'],
  'adapters/git': ['core/model', 'runtime', 'isomorphic-git', 'openpgp', 'undici', 'node:*'],
  'adapters/cluster': ['core/model', 'core/kube', 'runtime', 'undici', '@kubernetes/client-node', 'node:*'],
  'adapters/store': ['core/model', 'core/protocol', 'runtime', 'kysely', 'node:*'],
  'adapters/link': [
    'core/model',
    'core/protocol',
    'runtime',
    'undici',
    'ws',
    '@peculiar/x509',
    'reflect-metadata',
    'node:*',
  ],
  'adapters/http': ['core/model', 'core/api', 'runtime', 'fastify', 'prom-client', 'node:*'],
  'adapters/cron': ['core/model', 'runtime', 'node-cron'],
  renderer: ['core/model', 'core/fleet', 'node:*'],
  sim: ['core/*', 'runtime', 'node:crypto'],
  hub: ['core/*', 'runtime', 'node:crypto'],
  agent: ['core/*', 'runtime', 'node:crypto'],
  cli: ['core/*', 'commander', 'yaml', 'node:os'],
  process: ['*'],
  'main.ts': ['*'],
}

/** Files that hold only the shapes by which a process and its adapters meet: adapters may import them, as types (ADR 0002). */
export const PORT_FILES: readonly string[] = [
  'hub/ports.ts',
  'hub/store.ts',
  'hub/api.ts',
  'agent/ports.ts',
  'core/rollout/types.ts',
]

/** The room of a file below src/: its longest prefix in the table. */
export function roomOf(file: string): string | undefined {
  const parts = file.split('/')
  for (let length = Math.min(parts.length, 2); length > 0; length--) {
    const room = parts.slice(0, length).join('/')
    if (room in MAY_IMPORT) return room
  }
  return undefined
}
