/** Lists of nodes as Slurm writes them: `n[1-3,07],login`. */

const NUMBERED = /^(.*?)(\d{1,9})$/

/** By the name before the number, then by the number. */
export function byHost(a: string, b: string): number {
  const [left, right] = [NUMBERED.exec(a), NUMBERED.exec(b)]
  if (left !== null && right !== null && left[1] === right[1] && left[2] !== right[2])
    return Number(left[2]) - Number(right[2]) || (left[2] ?? '').length - (right[2] ?? '').length
  return a < b ? -1 : a === b ? 0 : 1
}

/** Names that differ in their last number alone stand in one pair of brackets; numbers keep their width. */
export function hostList(nodes: readonly string[]): string {
  const groups = new Map<string, Group>()
  const parts: (string | Group)[] = []
  for (const node of [...new Set(nodes)].toSorted(byHost)) {
    const match = NUMBERED.exec(node)
    if (match === null) {
      parts.push(node)
      continue
    }
    const [, prefix = '', digits = ''] = match
    // 07 goes with 08 and 10; without a leading zero numbers of any length go together: 9, 10.
    const isPadded = digits.startsWith('0') && digits.length > 1
    const width = isPadded || groups.has(`${digits.length} ${prefix}`) ? digits.length : 0
    const key = `${width} ${prefix}`
    let group = groups.get(key)
    if (group === undefined) {
      group = { prefix, width, numbers: [] }
      groups.set(key, group)
      parts.push(group)
    }
    group.numbers.push(Number(digits))
  }
  return parts.map((part) => (typeof part === 'string' ? part : bracketed(part))).join(',')
}

/** So many names come out of one list. */
const MOST_HOSTS = 10_000

/** What `hostList` writes, and what people write: `n[1-3,7],login`. undefined: it is no such list. */
export function readHostList(text: string): readonly string[] | undefined {
  const hosts: string[] = []
  const part = /([^,[\]]+)(?:\[([\d,-]+)\])?([^,[\]]*)(?:,|$)/gy
  for (let at = 0; at < text.length; at = part.lastIndex) {
    part.lastIndex = at
    const match = part.exec(text)
    if (match === null) return undefined
    const [, prefix = '', ranges, suffix = ''] = match
    if (ranges === undefined) hosts.push(prefix)
    else
      for (const range of ranges.split(',')) {
        const [, from = '', to = from] = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(range) ?? []
        if (from === '' || Number(to) < Number(from) || Number(to) - Number(from) + hosts.length > MOST_HOSTS)
          return undefined
        for (let n = Number(from); n <= Number(to); n++)
          hosts.push(`${prefix}${String(n).padStart(from.length, '0')}${suffix}`)
      }
  }
  return hosts
}

interface Group {
  readonly prefix: string
  /** Numbers are filled up to it; 0: as they are. */
  readonly width: number
  readonly numbers: number[]
}

function bracketed({ prefix, width, numbers }: Group): string {
  const sorted = numbers.toSorted((a, b) => a - b)
  const text = (n: number): string => String(n).padStart(width, '0')
  const ranges: string[] = []
  for (let i = 0; i < sorted.length; i++) {
    const from = sorted[i] as number
    let to = from
    while (sorted[i + 1] === to + 1) to = sorted[++i] as number
    ranges.push(from === to ? text(from) : `${text(from)}-${text(to)}`)
  }
  return sorted.length === 1 ? `${prefix}${ranges[0] ?? ''}` : `${prefix}[${ranges.join(',')}]`
}
