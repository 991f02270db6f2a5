/** RFC 6901 pointers. The empty pointer is the whole document. */

/** The reference tokens, unescaped; undefined where the text is no pointer. */
export function parsePointer(text: string): readonly string[] | undefined {
  if (text === '') return []
  if (!text.startsWith('/') || /~(?![01])/.test(text)) return undefined
  return text
    .slice(1)
    .split('/')
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'))
}

/** A token as an index of an existing element; digits without leading zeros. */
export function indexOf(token: string, length: number): number | undefined {
  if (!/^(?:0|[1-9]\d{0,15})$/.test(token)) return undefined
  const index = Number(token)
  return index < length ? index : undefined
}
