/**
 * The folder that `source.path` names, from the root of the repository: relative to the Workload's file, or from the root of the
 * repository with a leading slash. '.' is the root. Undefined where it would leave the repository.
 */
export function resolveSource(file: string, path: string): string | undefined {
  const parts = path.startsWith('/') ? [] : file.split('/').slice(0, -1)
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue
    if (part !== '..') parts.push(part)
    else if (parts.pop() === undefined) return undefined
  }
  return parts.length === 0 ? '.' : parts.join('/')
}
