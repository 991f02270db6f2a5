/** What the demo shows: on a terminal one screen that is painted over, elsewhere a line per thing that happens. */
import { stripVTControlCharacters, styleText } from 'node:util'
import type { SiteView } from '../core/api/types.ts'

export interface ScreenIo {
  out(text: string): void
  readonly terminal: boolean
  readonly color: boolean
  readonly columns: number
}

export interface DemoScreen {
  /** Something that happened or that the demo does; kept under the picture on a terminal. */
  say(text: string): void
  paint(status: string, sites: readonly SiteView[]): void
  /** Leaves the last picture standing and the cursor below it. */
  end(): void
}

/** As many happenings stay on the screen. */
const KEPT_LINES = 12

export function createScreen(io: ScreenIo, title: string, clock: () => string): DemoScreen {
  const said: string[] = []
  let painted = 0
  const say = (text: string): void => {
    const line = `${clock()}  ${text}`
    if (!io.terminal) return io.out(line)
    said.push(line)
    if (said.length > KEPT_LINES) said.shift()
  }
  return {
    say,
    paint(status, sites) {
      if (!io.terminal) return
      const lines = [title, '', ...status.split('\n'), '', ...grid(sites, io), '', ...said].map((line) =>
        cut(line, io.columns),
      )
      // Up to where the last picture began, then clear to the end: no scrolling, no flicker.
      const back = painted === 0 ? '' : `\u001B[${painted}A\u001B[0J`
      io.out(back + lines.join('\n'))
      painted = lines.length
    },
    end() {
      painted = 0
    },
  }
}

/** One cell a site, a row a country: shape and letter say what colour says, for those who see none. */
function grid(sites: readonly SiteView[], io: Pick<ScreenIo, 'color'>): string[] {
  const rows = new Map<string, string[]>()
  for (const site of sites) {
    const country = site.labels['country'] ?? '-'
    const row = rows.get(country) ?? []
    row.push(cell(site, io.color))
    rows.set(country, row)
  }
  const legend = '● as Git says  ◐ changing  ○ waiting  ✕ failing  · dark  ? not heard yet'
  return [`SITES  ${legend}`, ...[...rows].map(([country, cells]) => `  ${country.padEnd(4)}${cells.join(' ')}`)]
}

function cell(site: SiteView, color: boolean): string {
  const paint = (style: 'green' | 'yellow' | 'red' | 'gray' | 'cyan', mark: string): string =>
    color ? styleText(style, mark, { validateStream: false }) : mark
  if (site.link === 'Never') return paint('gray', '?')
  if (site.link !== 'Online') return paint('gray', '·')
  if (site.health === 'Degraded' || site.sync === 'Failed') return paint('red', '✕')
  if (site.sync === 'Waiting') return paint('cyan', '○')
  if (site.sync === 'Synced' && site.health === 'Healthy') return paint('green', '●')
  return paint('yellow', '◐')
}

function cut(line: string, columns: number): string {
  const plain = stripVTControlCharacters(line)
  return plain.length <= columns || plain !== line ? line : `${line.slice(0, columns - 1)}…`
}
