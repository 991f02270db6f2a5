/** The hub's keys through two rotations, as `hub rotate` makes them: another key counts beside the old, then the old counts no more. */
import type { SigningKey } from '../../../src/core/protocol/envelope.ts'
import type { TrustStatement } from '../../../src/core/protocol/ports.ts'
import { acceptTrust, nextTrust, signTrust, type Trust } from '../../../src/core/protocol/trust.ts'
import { fixedKey, HUB, ROOT, STATEMENT, TRUST } from './fixed.ts'

interface HubKeys {
  readonly chain: readonly TrustStatement[]
  readonly trust: Trust
  readonly signer: SigningKey
}

const NEXT = fixedKey(5)
/** Whatever it may sign with. */
export const SIGNERS: readonly SigningKey[] = [HUB, NEXT]

const FIRST: HubKeys = { chain: [STATEMENT], trust: TRUST, signer: HUB }
const BOTH = after(FIRST, [NEXT, HUB])
export const HUB_KEYS: readonly HubKeys[] = [FIRST, BOTH, after(BOTH, [NEXT])]

function after({ chain, trust }: HubKeys, signers: readonly SigningKey[]): HubKeys {
  const keys = signers.map(({ publicKey }) => ({ key: publicKey, roles: ['manifest', 'time'] as const }))
  const statement = signTrust({ ...nextTrust(trust, 0), keys }, ROOT)
  const read = acceptTrust(statement, ROOT.publicKey, trust)
  if (read.verdict === 'refuse') throw new Error(read.because)
  return { chain: [...chain, statement], trust: read.trust, signer: NEXT }
}
