/** The end of a stream of log lines, within a limit, and how much came before it. */
import type { LogTail } from '../../core/kube/cluster.ts'

/** Begins at a line where one begins within it. Bytes that are no UTF-8 are shown as such. */
export async function tailOf(stream: AsyncIterable<Buffer>, maxBytes: number): Promise<LogTail> {
  let chunks: Buffer[] = []
  let bytes = 0
  let cutBytes = 0
  for await (const chunk of stream) {
    chunks.push(chunk)
    bytes += chunk.length
    // Now and then: joining for each chunk would copy the same bytes again and again.
    if (bytes <= 2 * maxBytes) continue
    // With the byte before: it says whether a line begins here.
    const kept = Buffer.concat(chunks).subarray(-maxBytes - 1)
    cutBytes += bytes - kept.length
    chunks = [kept]
    bytes = kept.length
  }
  const all = Buffer.concat(chunks)
  const over = Math.max(0, all.length - maxBytes)
  const line = all.indexOf(0x0a, Math.max(0, over - 1))
  const from = over === 0 ? 0 : line < 0 || line === all.length - 1 ? over : line + 1
  return { text: all.subarray(from).toString('utf8'), cutBytes: cutBytes + from }
}
