/** What a reason for waiting means, said the same by the hub and at the box. */
import type { Waiting, WaitingReason } from '../model/state.ts'

/** One sentence a reason; the detail in brackets carries the numbers. */
export const WAITING_SENTENCES: Readonly<Record<WaitingReason, string>> = {
  WaveNotReached: 'its wave has not begun',
  Slot: 'all places of its wave are taken',
  Soaking: 'it runs and is watched before it counts as done',
  Coverage: 'too few sites give evidence yet',
  ApprovalNeeded: 'the wave waits for a yes',
  Paused: 'it is paused',
  Budget: 'the fleet allows no more changing or broken sites at once',
  WindowClosed: 'no maintenance window is open',
  Frozen: 'an operator froze it',
  Hold: 'the site is on hold',
  Dependency: 'what it depends on is not healthy here at this revision',
  LinkDown: 'the site has missed its agreed contact',
  HeldByError: 'an error in the fleet repository keeps it as it is',
  DeletionBrake: 'the revision would delete too much',
  Withdrawn: 'this release was withdrawn: Git is ahead of the fleet',
  Staging: 'the site is fetching what it needs',
  Secret: 'a secret cannot be decrypted at the site',
  AgentTooOld: 'the agent does not know a field that it must obey',
  ClockUnknown: 'the site does not know what time it is',
  Capacity: 'the site has no room',
  QueueLimit: 'its queue is full',
  Priority: 'others go first',
  Suspended: 'it is suspended in Git',
  PermitExpired: 'the permit to begin ran out; it needs the word of the hub again',
  Observe: 'the site only observes',
  Unsigned: 'no release signer signed for it here',
  Unlisted: 'no workload of the fleet targets the site: it keeps what it has',
}

/** The sentence of a reason, with who or what did it where that is known; a reason of a later version is its own sentence. */
export function sentenceOf({ reason, detail = '' }: Waiting): string {
  if (reason !== 'Paused') return Object.hasOwn(WAITING_SENTENCES, reason) ? WAITING_SENTENCES[reason] : reason
  const [, by, mark, kind, why = ''] = /^([^,:]+)([,:]) (?:(abort|undo|failure): )?(.*)$/s.exec(detail) ?? []
  if (by === undefined) return WAITING_SENTENCES.Paused
  return mark === ':' ? `${by} paused the site at the box: ${why}` : stopSentence(by, kind ?? 'pause', why)
}

/** Who stopped a rollout, and how: a person, or the rollout's own policy. */
export function stopSentence(by: string, kind: string, why: string): string {
  const who = by === 'policy' ? 'its policy' : by
  const did = kind === 'pause' ? 'paused it' : kind === 'abort' ? 'aborted it' : 'took the release back'
  return `${who} ${did}: ${why}`
}
