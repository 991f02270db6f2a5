/** From the line that `token create` prints to an identity on the disk: before the first exchange, and once. */
import { Fault } from '../core/model/fault.ts'
import type { AgentStore, SiteIdentity } from './ports.ts'

/** What the link offers. Faults: InvalidInput, TokenRefused, HubNotTrusted, CaptivePortal, Unreachable, Timeout. */
export interface EnrolPort {
  enrol(line: string, signal: AbortSignal): Promise<SiteIdentity>
}

export interface EnrolOptions {
  /** `keep`: an identity that is there stays, and the token is not used. `replace`: the box gets a new one. */
  readonly existing: 'keep' | 'replace'
}

/** The identity that the site has from here on. A token is used at most once: it is stored before anything else is done with it. */
export async function enrolSite(
  port: EnrolPort,
  store: Pick<AgentStore, 'identity' | 'saveIdentity'>,
  line: string | undefined,
  options: EnrolOptions,
  signal: AbortSignal,
): Promise<SiteIdentity> {
  const held = store.identity()
  if (held !== null && (options.existing === 'keep' || line === undefined)) return held
  if (line === undefined)
    throw new Fault('KeyUnknown', 'this site is not enrolled: run the line that `token create` prints')
  const identity = await port.enrol(line, signal)
  store.saveIdentity(identity)
  return identity
}
