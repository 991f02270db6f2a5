/** How large anything on the link may be, checked before it is read. */

/** A sync, up, as it arrives (deflated): status, facts, outbox. A site is one of thousands. */
export const SYNC_UP_MAX_BYTES = 160 * 1024
/** The head of either direction, inflated: JSON that compresses 20 times. */
export const HEAD_MAX_BYTES = 1024 * 1024
/** A sync, down, as it arrives: a manifest and inline blobs. */
export const SYNC_DOWN_MAX_BYTES = 8 * 1024 * 1024
export const FACTS_MAX_BYTES = 16 * 1024
/** Observations of one message, deflated. */
export const STATUS_MAX_BYTES = 64 * 1024
export const OUTBOX_MAX_BYTES = 256 * 1024
export const MAX_OBSERVATIONS = 5_000
export const MAX_OBJECT_REPORTS = 20
export const MAX_OUTBOX_ITEMS = 1_000
export const MAX_CONDITIONS = 32
export const MAX_PARTS = 4_096
/** One blob, whichever way it comes: an object, a release's list of 50,000, a config. */
export const BLOB_MAX_BYTES = 16 * 1024 * 1024
/** Blobs above this come by `GET`, so that a cut resumes within them. */
export const INLINE_BLOB_MAX_BYTES = 64 * 1024
/** What a hub puts inline into one answer, before compression; the rest by `want` in the next. */
export const INLINE_TOTAL_MAX_BYTES = 1024 * 1024
/** All inline blobs of one answer, as a site unpacks them. */
export const INLINE_UNPACKED_MAX_BYTES = 32 * 1024 * 1024
export const ENROL_MAX_BYTES = 16 * 1024
