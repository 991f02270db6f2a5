/** Orders that look as good as the right ones, and are, as long as nobody is killed in between. */
import type { Mistake } from './bundle.ts'

export const MISTAKES: readonly Mistake[] = [
  {
    mistake: 'what is to be made is written down only once it is made',
    file: 'src/agent/reconcile.ts',
    swaps: [{ old: ', ...intend(before, steps)])', new: '])' }],
  },
  {
    mistake: 'the inventory drops an object before its deletion is answered',
    file: 'src/agent/execute.ts',
    swaps: [
      {
        old: '      const state = await cluster.delete(name,',
        new: "      ports.done({ kind: 'deleted', step, state: 'deleted' })\n      const state = await cluster.delete(name,",
      },
    ],
  },
  {
    mistake: 'a manifest counts before what it names is at home',
    file: 'src/agent/sync.ts',
    swaps: [
      {
        old: '      await stage(manifest, answer.blobs,',
        new: '      store.accept({ envelope, ...floor, acceptedAtMs: clock.nowMs() })\n      await stage(manifest, answer.blobs,',
      },
    ],
  },
  {
    mistake: 'a word that must arrive is dropped when it is sent',
    file: 'src/agent/outbox.ts',
    swaps: [
      {
        old: '    next: (observations) => {\n',
        new: '    next: (observations) => {\n      if (items.length > 0) store.write({ outboxAck: itemSeq })\n',
      },
    ],
  },
  {
    mistake: 'sequence numbers are reserved once the hub has answered to them',
    file: 'src/agent/outbox.ts',
    swaps: [
      { old: '      if (seq >= reserved) reserve()\n', new: '' },
      {
        old: '    acknowledged: (ack, outboxSeq) => {\n',
        new: '    acknowledged: (ack, outboxSeq) => {\n      if (seq >= reserved) reserve()\n',
      },
    ],
  },
  {
    mistake: 'the ApplySet is noted as written before it is',
    file: 'src/agent/parent.ts',
    swaps: [
      {
        old: '  try {\n    await apply()\n',
        new: '  store.write({ notes: new Map([[NOTE, { digest }]]) })\n  try {\n    await apply()\n',
      },
    ],
  },
]
