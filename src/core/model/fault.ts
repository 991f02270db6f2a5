/** How a loop that met a fault goes on: try again later by itself, or only when its input changes. */
export type Retry = 'backoff' | 'on-change'

/** Every reason a fault can have. Append-only: a reason is never renamed, reused or removed. Pages: docs/reasons.md. */
export const REASONS = {
  Unexpected: { retry: 'backoff', says: 'something we did not foresee; the cause is kept' },
  InvalidInput: { retry: 'on-change', says: 'text or bytes from outside do not have the form they must have' },
  TooLarge: { retry: 'on-change', says: 'an input is above its size limit' },
  Cancelled: { retry: 'backoff', says: 'the process is shutting down or the caller gave up' },
  Timeout: { retry: 'backoff', says: 'no answer in the time allowed' },
  Unreachable: { retry: 'backoff', says: 'no connection to the other side' },
  CaptivePortal: { retry: 'backoff', says: 'something between us and the hub answers in its place' },
  Unauthorized: { retry: 'backoff', says: 'credentials were refused' },
  Forbidden: { retry: 'on-change', says: 'the account is known and may not do this' },
  NotFound: { retry: 'backoff', says: 'what was asked for is not there' },
  Conflict: { retry: 'backoff', says: 'it changed since it was read; read again' },
  FieldConflict: { retry: 'on-change', says: 'another manager owns a field that we set' },
  ImmutableField: { retry: 'on-change', says: 'a field cannot be changed in place' },
  Rejected: { retry: 'on-change', says: 'the API server refuses the object' },
  NoKindMatch: { retry: 'backoff', says: 'the API server does not serve this kind (yet)' },
  Throttled: { retry: 'backoff', says: 'asked to slow down' },
  WebhookFailed: { retry: 'backoff', says: 'an admission webhook did not answer' },
  ServerError: { retry: 'backoff', says: 'the other side failed' },
  OutcomeUnknown: { retry: 'backoff', says: 'the request was sent and no answer came: it may have happened' },
  WatchExpired: { retry: 'backoff', says: 'the watch is too old: list again' },
  GitUnreachable: { retry: 'backoff', says: 'the Git host does not answer' },
  GitUnauthorized: { retry: 'backoff', says: 'the Git host refuses the credentials' },
  BranchGone: { retry: 'backoff', says: 'the branch we follow is not there' },
  HistoryRewritten: { retry: 'on-change', says: 'the new tip does not contain the last good revision' },
  ObjectUnreadable: { retry: 'backoff', says: 'a Git object is missing or damaged' },
  UnsafeTree: { retry: 'on-change', says: 'a symlink, submodule or path outside the grammar stands in the tree' },
  StoreFull: { retry: 'backoff', says: 'no room on the disk' },
  StoreReadOnly: { retry: 'backoff', says: 'the disk cannot be written' },
  StoreCorrupt: { retry: 'backoff', says: 'stored bytes do not match their checksum' },
  StoreFailed: { retry: 'backoff', says: 'the store failed' },
  SignatureInvalid: { retry: 'on-change', says: 'no signature by a key that the pinned root names' },
  WrongSite: { retry: 'on-change', says: 'meant for another site' },
  OldGeneration: { retry: 'on-change', says: 'older than what this site already accepted' },
  ForkedHub: { retry: 'on-change', says: 'the same generation with another body: two hubs speak for one' },
  BlobMismatch: { retry: 'backoff', says: 'bytes do not hash to their name' },
  AgentTooOld: { retry: 'on-change', says: 'a critical field that this agent does not know' },
  Expired: { retry: 'backoff', says: 'too old to install something new by it' },
  TokenRefused: { retry: 'on-change', says: 'the enrolment token is used, expired or for another site' },
  KeyUnknown: { retry: 'on-change', says: 'the hub does not know this key' },
  KeyRetired: { retry: 'on-change', says: 'this key was retired' },
  HubNotTrusted: { retry: 'backoff', says: 'the hub shows a certificate that our pinned root did not sign' },
  HubClock: { retry: 'backoff', says: 'the hub is not sure what time it is, so it signs nothing' },
  CommitUnsigned: { retry: 'on-change', says: 'the fleet takes signed commits only, and this one is not signed' },
  SignerUnknown: { retry: 'on-change', says: 'a commit signed by a key that the fleet does not name' },
  SignerExpired: { retry: 'on-change', says: 'a commit signed by a key that had expired or was revoked' },
  CommitForged: { retry: 'on-change', says: 'a commit whose signature does not match it' },
  Stale: { retry: 'backoff', says: 'the answer is about something older than what was asked' },
} as const satisfies Record<string, { readonly retry: Retry; readonly says: string }>

export type FaultReason = keyof typeof REASONS

/** The one class that is thrown. Code switches on `reason`, never on `message`. */
export class Fault extends Error {
  readonly reason: FaultReason
  /** Facts for logs and conditions; never secrets. */
  readonly facts: Readonly<Record<string, string | number>>
  /** When the other side said how long to wait. */
  readonly retryAfterMs: number | undefined

  constructor(
    reason: FaultReason,
    message: string,
    options: {
      cause?: unknown
      facts?: Readonly<Record<string, string | number>>
      retryAfterMs?: number | undefined
    } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'Fault'
    this.reason = reason
    this.facts = options.facts ?? {}
    this.retryAfterMs = options.retryAfterMs
  }

  get retry(): Retry {
    return REASONS[this.reason].retry
  }
}

/** Any thrown value as a Fault: what no adapter mapped is `Unexpected`, keeps its cause and backs off. */
export function asFault(error: unknown): Fault {
  if (error instanceof Fault) return error
  if (error instanceof Error && error.name === 'AbortError')
    return new Fault('Cancelled', 'cancelled', { cause: error })
  return new Fault('Unexpected', error instanceof Error ? error.message : String(error), { cause: error })
}
