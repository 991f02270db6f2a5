/** What people see of an ask: the answer as the box prints it, progress, and an explicit end; exactly, with the exit code. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { AskAnswerView, AskOpenView, AskState, AskView } from '../../../src/core/api/asks.ts'
import type { JsonObject } from '../../../src/core/model/json.ts'
import type { Io } from '../../../src/cli/command.ts'
import { OPERATE } from '../../../src/cli/commands/operate.ts'
import { PREDICT } from '../../../src/cli/commands/predict.ts'
import { QUEUES } from '../../../src/cli/commands/queues.ts'
import { SITE_LOOKS } from '../../../src/cli/commands/site-looks.ts'
import { SLURM } from '../../../src/cli/commands/slurm.ts'
import type { CliPorts } from '../../../src/cli/ports.ts'
import { runProgram } from '../../../src/cli/program.ts'
import { Fault } from '../../../src/core/model/fault.ts'

const NOW = Date.UTC(2026, 0, 7, 12)

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const NONE: Readonly<Record<AskState, number>> = { waiting: 0, told: 0, taken: 0, answered: 0, expired: 0, unknown: 0 }

function view(part: Partial<AskView>): AskView {
  const times = { asOfMs: NOW, issuedMs: NOW, expiresMs: NOW + 300_000 }
  return { formatVersion: 1, ...times, id: 'a1', verb: 'diff', by: 'ann', sites: 1, counts: NONE, open: [], groups: [], leftOut: 0, ...part } // prettier-ignore
}

function answered(...groups: readonly (readonly [AskAnswerView, ...string[]])[]): readonly AskView[] {
  const all = groups.map(([answer, ...sites]) => ({ answer, count: sites.length, sites }))
  const count = all.reduce((sum, group) => sum + group.count, 0)
  return [view({ sites: count, counts: { ...NONE, answered: count }, groups: all })]
}

const ok = (said: JsonObject): AskAnswerView => ({ ok: true, said })

function open(state: AskState, part: Partial<AskOpenView> = {}): AskOpenView {
  return { site: '0417', state, toldMs: null, lastContactMs: NOW - 3 * 3_600_000, dueAtMs: NOW + 60_000, agent: '0.1.0', ...part } // prettier-ignore
}

/** The hub answers with these, one after the other; the last goes on. */
async function run(
  line: string,
  looks: readonly (AskView | Fault)[],
  ports: Partial<CliPorts> = {},
  at: readonly object[] = [],
  signal = new AbortController().signal,
) {
  const asked: string[] = []
  const lines: string[] = []
  const left = [...looks]
  const answer = (what: string): AskView => {
    asked.push(what)
    const next = (left.length > 1 ? left.shift() : left[0]) ?? view({})
    if (next instanceof Fault) throw next
    return next
  }
  const hub = {
    url: 'http://hub',
    get: async (path: string, query = {}) => {
      if (path.startsWith('/v1/sites/')) return { workloads: at }
      return answer(`GET ${path}${Object.keys(query).length > 0 ? '?answers' : ''}`)
    },
    send: async (method: string, path: string, body?: unknown) =>
      answer(`${method} ${path}${body === undefined ? '' : ` ${JSON.stringify(body)}`}`),
  }
  const io: Io = {
    out: (text) => lines.push(text),
    err: (text) => lines.push(`! ${text}`),
    terminal: false,
    color: false,
    ascii: true,
    columns: 120,
    nowMs: () => NOW,
    signal,
  }
  const given = { version: 'test', hub: async () => hub, batch: async () => NO_BOX, script: async () => '', ...ports }
  const words = line.match(/"[^"]*"|\S+/g)?.map((word) => word.replaceAll('"', '')) ?? []
  const done = runProgram([...SITE_LOOKS, ...OPERATE, ...SLURM, ...QUEUES, ...PREDICT], words, 'test', given as unknown as CliPorts, io) // prettier-ignore
  await vi.advanceTimersByTimeAsync(90_000)
  const code = await done
  return { asked, shown: [...lines, ...(code === 0 ? [] : [`exit ${code}`])].join('\n') }
}

const NO_BOX = {
  ask: async () => {
    throw new Fault('Unreachable', 'no agent answers on this store')
  },
  [Symbol.asyncDispose]: async () => undefined,
}

const FIELD = { pointer: '/spec/replicas', drift: 'drift', managers: ['kubectl-edit'], desired: '2', live: '7' }
const OBJECT = {
  ref: { group: 'apps', kind: 'Deployment', namespace: 'shop', name: 'till' },
  workload: 'till',
  change: 'differs',
  because: 'drift-reported',
  fields: [FIELD],
  leftOut: 0,
}
const SAME = { revision: '0123456789abcdef', idle: null, compared: 12, workloads: [], objects: [], leftOut: 0 }
const DRIFTED = {
  ...SAME,
  workloads: [{ workload: 'till', sync: 'Drifted', health: 'Healthy', waiting: null, failure: null }],
  objects: [OBJECT],
}

describe('diff', () => {
  test('no difference', async () => {
    const { asked, shown } = await run('diff site/0417', answered([ok(SAME), '0417']))
    expect(asked).toEqual([
      'POST /v1/asks {"verb":"diff","args":{},"forMs":300000,"sites":["0417"]}',
      'GET /v1/asks/a1?answers',
    ])
    expect(shown).toBe('site/0417: no difference in 12 objects (0123456)')
  })

  test('one: both values, and who', async () => {
    expect((await run('diff 0417', answered([ok(DRIFTED), '0417']))).shown).toBe(
      `site/0417: 1 of 12 objects differ (0123456; - is there, + should be)
till  Drifted, Healthy
  Deployment shop/till  was changed there, and is reported only
    /spec/replicas  by kubectl-edit
    - 7
    + 2
exit 1`,
    )
  })

  test('where nothing is done about it now, it says why', async () => {
    const idle = { reason: 'Paused', detail: 'kim: a disk is replaced' }
    expect((await run('diff 0417', answered([ok({ ...DRIFTED, idle }), '0417']))).shown).toContain(
      '(0123456; nothing is done about it now: Paused(kim: a disk is replaced); - is there, + should be)',
    )
  })

  test('what cannot be compared is no difference, and not fine', async () => {
    const secret = { ...OBJECT, ref: { group: '', kind: 'Secret', namespace: 'shop', name: 'pin' }, change: 'unread', because: 'Secret', fields: [] } // prettier-ignore
    const said = { ...DRIFTED, workloads: [], objects: [secret] }
    expect((await run('diff 0417', answered([ok(said), '0417']))).shown).toBe(
      `site/0417: 0 of 12 objects differ, 1 cannot be compared (0123456; - is there, + should be)
of workloads that the hub no longer names
  Secret shop/pin  cannot be opened: its key is missing
exit 1`,
    )
  })

  test('what Git means and the hub has not told the site yet is pointed at', async () => {
    const waiting = { reason: 'WaveNotReached' }
    const at = [
      { workload: 'till', target: 'b', desired: 'a', waiting },
      { workload: 'pos', target: 'a', desired: 'a', waiting: null },
    ]
    expect((await run('diff 0417', answered([ok(SAME), '0417']), {}, at)).shown).toBe(
      'site/0417: no difference in 12 objects (0123456)\n' +
        '! Git means another release there of till WaveNotReached: flotilla why site/0417',
    )
  })

  test('of many sites: alike ones together, and objects that differ alike too', async () => {
    const named = (name: string) => ({ ...OBJECT, ref: { ...OBJECT.ref, name } })
    const waiting = { reason: 'WindowClosed', detail: 'opens 22:00' }
    const workloads = [{ workload: 'till', sync: 'Waiting', health: 'Healthy', waiting, failure: null }]
    const many = { ...DRIFTED, workloads, objects: [named('a'), named('b'), { ...named('c'), change: 'missing', because: 'absent', fields: [] }], leftOut: 4 } // prettier-ignore
    const sites = Array.from({ length: 12 }, (_, i) => `04${String(i).padStart(2, '0')}`)
    const { asked, shown } = await run('diff -l region=dk', answered([ok(SAME), ...sites], [ok(many), '0500']))
    expect(asked[0]).toContain('"selector":{"matchExpressions":[{"key":"region","operator":"In","values":["dk"]}]}')
    expect(shown).toBe(
      `12 sites (0400 0401 0402 0403 0404 0405 0406 0407 0408 0409 … and 2 more): no difference in 12 objects (0123456)

site/0500: 7 of 12 objects differ (0123456; - is there, + should be)
till  Waiting, Healthy  WindowClosed(opens 22:00)
  Deployment shop/a, Deployment shop/b  was changed there, and is reported only
    /spec/replicas  by kubectl-edit
    - 7
    + 2
  Deployment shop/c  is not there: it is made in the next turn
… and 4 more objects that differ
exit 1`,
    )
  })
})

describe('the end is explicit', () => {
  test.each<[string, AskState, Partial<AskOpenView>, string]>([
    ['a site that did not call', 'expired', {}, 'site 0417 did not call within 5m; last contact Wed 09:00:00Z (3h ago); it will not run this any more'], // prettier-ignore
    ['a site that never called', 'expired', { lastContactMs: null }, 'site 0417 did not call within 5m; it never called; it will not run this any more'], // prettier-ignore
    ['an agent that passes it over', 'expired', { toldMs: NOW, agent: '0.0.9' }, 'site 0417 was told and did not take it up within 5m; its agent 0.0.9 may be too old for it; it will not run this any more'], // prettier-ignore
    ['a site that went dark with it', 'unknown', { toldMs: NOW }, 'site 0417 was told at Wed 12:00:00Z and was not heard since: nobody knows whether it did it; it will not begin it any more'], // prettier-ignore
    ['a site that is at it still', 'taken', { toldMs: NOW }, 'site 0417 has begun and has not said how it ended'],
  ])('%s', async (_name, state, part, text) => {
    const over = view({ asOfMs: NOW + 400_000, counts: { ...NONE, [state]: 1 }, open: [open(state, part)] })
    const at = { ...over, asOfMs: state === 'taken' ? NOW + 400_000 : NOW }
    expect((await run('diff 0417', [at])).shown).toBe(`! ${text}\nexit 7`)
  })

  test('what has answered is shown, the others are named once', async () => {
    const both = view({
      sites: 4,
      counts: { ...NONE, answered: 1, expired: 3 },
      open: ['0417', '0418', '0419'].map((site) => open('expired', { site })),
      groups: [{ answer: ok(SAME), count: 1, sites: ['0001'] }],
    })
    expect((await run('diff -l a=b --timeout 2h', [both])).shown).toBe(
      '! 3 sites did not take it up within 2h and will not run this any more: 0417 0418 0419\n' +
        'site/0001: no difference in 12 objects (0123456)\nexit 7',
    )
  })

  test('whoever waits is told for what, once in ten seconds', async () => {
    const waits = view({ counts: { ...NONE, waiting: 1 }, open: [open('waiting')] })
    const later = { ...waits, asOfMs: NOW + 11_000 }
    const { asked, shown } = await run('diff 0417', [waits, waits, later, later, ...answered([ok(SAME), '0417'])])
    expect(asked.filter((what) => what === 'GET /v1/asks/a1')).toHaveLength(4)
    expect(shown).toBe(
      '! waits for site/0417 to call: last contact Wed 09:00:00Z (3h ago), due Wed 12:01:00Z; 4m49s left\n' +
        'site/0417: no difference in 12 objects (0123456)',
    )
  })

  test('a site that is due after the expiry is said to be at once', async () => {
    const waits = view({ counts: { ...NONE, waiting: 1 }, open: [open('waiting', { dueAtMs: NOW + 6_600_000 })] })
    const over = { ...waits, counts: { ...NONE, expired: 1 }, open: [open('expired')] }
    expect((await run('diff 0417', [waits, over])).shown).toBe(
      '! site/0417 is due Wed 13:50:00Z, in 1h50m, and this expires before: --timeout asks for longer\n' +
        '! site 0417 did not call within 5m; last contact Wed 09:00:00Z (3h ago); it will not run this any more\nexit 7',
    )
  })

  test.each<[string, AskState, number | null, string]>([
    ['that was not told yet', 'expired', null, 'site 0417 was not told of it yet, and will not run it'],
    ['that was told', 'unknown', NOW, 'site 0417 was told of it at Wed 12:00:00Z: it may have done it, or be at it'],
  ])('whoever stops waiting takes it back from a site %s', async (_name, state, toldMs, text) => {
    const waits = view({ counts: { ...NONE, waiting: 1 }, open: [open('waiting')] })
    const over = { ...waits, counts: { ...NONE, [state]: 1 }, open: [open(state, { toldMs })] }
    const { asked, shown } = await run('diff 0417', [waits, over], {}, [], AbortSignal.abort())
    expect(asked.slice(1)).toEqual(['DELETE /v1/asks/a1'])
    expect(shown).toBe(`! ${text}\nexit 7`)
  })

  test('a hub that is started anew while somebody waits is waited for, and one that stays away is said to be', async () => {
    const waits = view({ counts: { ...NONE, waiting: 1 }, open: [open('waiting')] })
    const away = new Fault('Unreachable', 'no answer from http://hub')
    const [done] = answered([ok(SAME), '0417'])
    expect((await run('diff 0417', [waits, away, away, done!])).shown).toBe('site/0417: no difference in 12 objects (0123456)') // prettier-ignore
    expect((await run('diff 0417', [waits, away])).shown).toContain('! error Unreachable: the hub is away; ask a1 may still be done') // prettier-ignore
  })

  test('what a site refuses', async () => {
    const refused: AskAnswerView = { ok: false, reason: 'Forbidden', message: 'this site does not take logs from the hub' } // prettier-ignore
    expect((await run('logs 0417 till', answered([refused, '0417']))).shown).toBe(
      '! error Forbidden at site/0417: this site does not take logs from the hub\nexit 2',
    )
  })
})

describe('logs', () => {
  const log = (pod: string, text: string, part: JsonObject = {}) => ({ pod: `shop/${pod}`, container: 'main', text, cutBytes: 0, because: null, ...part }) // prettier-ignore

  test('of one pod as they are', async () => {
    const { asked, shown } = await run(
      'logs 0417 till --tail 5 --since 10m -p -c main',
      answered([ok({ logs: [log('till-1', 'one\n\ntwo\n')], leftOut: 0 }), '0417']),
    )
    expect(asked[0]).toBe(
      'POST /v1/asks {"verb":"logs","args":{"of":"till","container":"main","tail":5,"previous":true,"sinceSeconds":600},"forMs":300000,"sites":["0417"]}',
    )
    expect(shown).toBe('one\n\ntwo')
  })

  test('of several under their names, and what is not there is said', async () => {
    const logs = [
      log('till-1', 'one\ntwo\n', { cutBytes: 800 }),
      log('till-2', '', { because: 'Rejected: is waiting to start' }),
    ]
    expect((await run('logs 0417 till', answered([ok({ logs, leftOut: 3 }), '0417']))).shown).toBe(
      `! shop/till-1 main: 800 older bytes are left out: --tail, or -c, asks for less
[shop/till-1 main] one
[shop/till-1 main] two
! shop/till-2 main: Rejected: is waiting to start
! 3 more pods are left out: name one`,
    )
  })
})

test('logs and exec are of one site', async () => {
  for (const line of ['logs 0417,0418 till', 'exec 0417,0418 till -- ls']) {
    const { asked, shown } = await run(line, [])
    expect([asked, shown]).toEqual([[], `! error: ${line.split(' ')[0]} is asked of one site\nexit 2`])
  }
})

test('diff as JSON', async () => {
  const { shown } = await run('diff 0417 -o json', answered([ok(SAME), '0417']))
  expect(JSON.parse(shown)).toEqual({ formatVersion: 1, items: [{ sites: ['0417'], count: 1, diff: SAME }] })
})

describe('exec', () => {
  const said = { pod: 'shop/till-1', container: 'main', stdout: 'one\n', stderr: 'two\n', exitCode: 0, cutBytes: 0 }

  test('prints what the command wrote', async () => {
    const { asked, shown } = await run('exec 0417 till -c main -- sh -c "echo one"', answered([ok(said), '0417']))
    expect(asked[0]).toBe(
      'POST /v1/asks {"verb":"exec","args":{"of":"till","container":"main","command":["sh","-c","echo one"]},"forMs":300000,"sites":["0417"]}',
    )
    expect(shown).toBe('one\n! two')
  })

  test('a command that fails is a difference', async () => {
    const { shown } = await run(
      'exec 0417 till -- false',
      answered([ok({ ...said, exitCode: 1, cutBytes: 7 }), '0417']),
    )
    expect(shown).toBe(
      'one\n! two\n! 7 more bytes are left out\n! the command ended with exit code 1 in shop/till-1 main\nexit 1',
    )
  })

  test('without a command nobody is asked', async () => {
    expect((await run('exec 0417 till', [])).shown).toBe('! error: give the command after --\nexit 2')
  })
})

describe('the words of the box, at sites', () => {
  test.each<[string, string, JsonObject, string, string]>([
    [
      'sbatch as Slurm says it for a cluster',
      'sbatch -M 0417 -p day train.sh epochs=3',
      { job: 'train', notes: ['--mail-user: nobody writes mail'] },
      '{"verb":"sbatch","args":{"script":"","name":"train.sh","options":["-p","day"],"args":["epochs=3"]},"forMs":300000,"sites":["0417"]}',
      '! sbatch: --mail-user: nobody writes mail\nSubmitted batch job train on cluster 0417',
    ],
    [
      'sbatch for a script',
      'sbatch --parsable --clusters=0417 --timeout=1h train.sh',
      { job: 'train', notes: [] },
      '{"verb":"sbatch","args":{"script":"","name":"train.sh","options":["--parsable"],"args":[]},"forMs":3600000,"sites":["0417"]}',
      'train;0417',
    ],
    [
      'sbatch that the site refuses',
      'sbatch -M0417 train.sh',
      { refused: ['invalid partition specified: noon'] },
      '{"verb":"sbatch","args":{"script":"","name":"train.sh","options":[],"args":[]},"forMs":300000,"sites":["0417"]}',
      '! sbatch: error: invalid partition specified: noon\n! sbatch: error: Batch job submission failed\nexit 2',
    ],
    [
      'scancel',
      'scancel -M 0417 -v train nothing',
      { cancelled: ['train'], unknown: ['nothing'] },
      '{"verb":"scancel","args":{"jobs":["train","nothing"],"user":null,"partition":null,"state":null,"name":null},"forMs":300000,"sites":["0417"]}',
      '! scancel: error: Kill job error on job id nothing on site/0417: Invalid job id specified\n! scancel: Terminating job train on site/0417\nexit 1',
    ],
    [
      'queue hold',
      'queue hold day -M 0417',
      {},
      '{"verb":"queue","args":{"queue":"day","word":"hold"},"forMs":300000,"sites":["0417"]}',
      'site/0417: queue day is held',
    ],
    [
      'job suspend',
      'job suspend train -M 0417',
      {},
      '{"verb":"job","args":{"job":"train","action":"suspend"},"forMs":300000,"sites":["0417"]}',
      'site/0417: job train is told to suspend',
    ],
    [
      'reconcile, waited for',
      'reconcile 0417 -w',
      { workloads: [{ workload: 'till', sync: 'Failed', health: 'Healthy', waiting: null, failure: 'no' }] },
      '{"verb":"reconcile","args":{},"forMs":300000,"sites":["0417"]}',
      'site/0417 compared everything\nWORKLOAD  SYNC    HEALTH   REASON\ntill      Failed  Healthy  no',
    ],
  ])('%s', async (_name, line, said, body, shown) => {
    const done = await run(line, answered([ok(said), '0417']))
    const [asked = ''] = done.asked
    expect(JSON.parse(asked.replace('POST /v1/asks ', ''))).toMatchObject(JSON.parse(body) as object)
    expect(done.shown).toBe(shown)
  })

  describe('sbatch at one of several sites', () => {
    const trial = (fit: string, atMs: number | null = null, because: readonly string[] = []): AskAnswerView =>
      ok({ job: 'train', notes: [], nowMs: NOW, timeZone: 'UTC', predictions: [{ subject: 'x', fit, places: [], evict: [], atMs, because }] }) // prettier-ignore
    const done = answered([ok({ job: 'train', notes: [] }), '0418'])

    test.each<[string, AskAnswerView, AskAnswerView, string]>([
      ['now comes before later', trial('at', NOW + 60_000), trial('now'), '0418'],
      ['sooner comes before later', trial('at', NOW + 60_000), trial('at', NOW + 50_000), '0418'],
      ['where nobody has to give way', trial('after-evicting'), trial('now'), '0418'],
      ['at all, before never', trial('never'), trial('at', NOW + 9e9), '0418'],
      ['where it is taken', ok({ refused: ['invalid partition specified: day'] }), trial('at', NOW + 9e9), '0418'],
      ['at the same time, the one that is named first', trial('now'), trial('now'), '0417'],
    ])('%s', async (_name, one, other, site) => {
      const looks = answered([one, '0417'], [other, '0418'])
      const { asked, shown } = await run('sbatch -M 0417,0418 train.sh', [...looks, ...looks, ...done])
      const bodies = asked.filter((what) => what.startsWith('POST')).map((what) => JSON.parse(what.replace('POST /v1/asks ', '')) as { sites: unknown; args: { options: unknown } }) // prettier-ignore
      expect(bodies.map(({ sites, args }) => [sites, args.options])).toEqual([
        [['0417', '0418'], ['--test-only']],
        [[site], []],
      ])
      expect(shown).toBe('Submitted batch job train on cluster 0418')
    })

    test('none of them: why, and nothing is submitted', async () => {
      const looks = answered([trial('never', null, ['0/1 nodes are available']), '0417'], [ok({ refused: ['invalid partition specified: day'] }), '0418']) // prettier-ignore
      const { asked, shown } = await run('sbatch -M 0417,0418 train.sh', looks)
      expect(asked.filter((what) => what.startsWith('POST'))).toHaveLength(1)
      expect(shown).toBe(
        '! sbatch: error: 0417: 0/1 nodes are available\n! sbatch: error: 0418: invalid partition specified: day\nexit 2',
      )
    })
  })

  test('predict asks the hub where this is no box of the site, and names where it is alike', async () => {
    const predictions = [
      { subject: 'Pod big', fit: 'never', places: [], evict: [], atMs: null, because: ['0/1 nodes'] },
    ]
    const ports = { script: async () => 'apiVersion: v1\nkind: Pod\nmetadata: { name: big }\n' }
    const one = await run('predict 0417 -f x', answered([ok({ timeZone: 'UTC', predictions }), '0417']), ports)
    expect(one.shown).toBe('Pod big at 0417: never fits\n  0/1 nodes\nexit 3')
    const many = await run('predict -l a=b -f x', answered([ok({ timeZone: 'UTC', predictions }), '0417', '0418']), ports) // prettier-ignore
    expect(many.shown).toBe('Pod big at 2 sites (0417 0418): never fits\n  0/1 nodes\nexit 3')
  })

  test.each<[string, string, string]>([
    ['names and labels', 'queue hold day -M 0417 -l a=b', '! error: give sites by name or by -l, not both'],
    ['labels that cannot be read', 'diff -l "a in ("', '! error: -l '],
    ['a time that cannot be read', 'diff 0417 --timeout soon', '! error: --timeout found soon, expected a duration such as 90s, 5m or 3h'], // prettier-ignore
    ['nobody', 'diff', '! error: name a site, or give --data at its box'],
    ['nobody to wait for', 'reconcile -w', '! error: -w waits for a site: name it, or give -l'],
  ])('%s is refused before anybody is asked', async (_name, line, shown) => {
    const done = await run(line, [])
    expect(done.asked).toEqual([])
    expect(done.shown).toContain(shown)
    expect(done.shown).toMatch(/exit 2$/)
  })
})
