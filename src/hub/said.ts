/** What was said at a site's box, or what its agent did about itself: audited there, and told here once it was heard. */
import type { OutboxItem, SyncUp } from '../core/protocol/messages.ts'
import type { Draft } from './world.ts'

/** What a site sends is cut to what fits a line. */
const MAX_TEXT = 500
const MAX_DATE_MS = 8.64e15

export function saidEvents(
  site: string,
  { outbox }: Pick<SyncUp, 'outbox'>,
  atMs: number,
): NonNullable<Draft['events']> {
  return outbox.flatMap((item) => {
    const message = item.class === 'audit' ? messageOf(item) : undefined
    return message === undefined
      ? []
      : [{ atMs, kind: 'Box', subject: `site/${site}`, message: message.slice(0, MAX_TEXT) }]
  })
}

/** undefined: of a kind that this hub does not know; it is in the results. */
function messageOf({ body, atMs }: OutboxItem): string | undefined {
  const text = (name: string): string => (typeof body[name] === 'string' ? body[name] : '')
  const when = Math.abs(atMs) <= MAX_DATE_MS ? `at ${new Date(atMs).toISOString()} by its clock` : 'at no known time'
  const why = text('reason') || text('because')
  if (body['kind'] === 'upgrade') return `agent ${text('version')} gave way ${when}: ${text('because')}`
  if (body['kind'] !== 'box') return undefined
  const what = text('workload') === '' ? '' : ` ${text('workload')}`
  return `${text('word')}${what} ${when}, ${text('by')}${why === '' ? '' : `: ${why}`}`
}
