/** What a shell reads (UX.md). */
export const EXIT = { ok: 0, difference: 1, failed: 2, wouldNotFit: 3, policy: 4, lint: 5, timeout: 7 } as const
export type ExitCode = (typeof EXIT)[keyof typeof EXIT]
