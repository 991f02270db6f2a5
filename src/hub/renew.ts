/** A site's next key: offered on proof of the one it holds, and in force, the others fenced, when it is first used. */
import type { Caller, Renewed, RenewRequest } from '../core/protocol/ports.ts'
import { Fault } from '../core/model/fault.ts'
import type { EnrolParts } from './enrol.ts'
import { goesBy } from './rename.ts'

/** However often it is asked, a site holds the key it proved and one offered. Faults KeyUnknown, KeyRetired; then nothing was changed. */
export async function renewKey({ world, authority, nowMs }: EnrolParts, request: RenewRequest): Promise<Renewed> {
  const { siteId, heldHash, nextHash, publicKey } = request
  const facts = { site: request.site }
  // Whatever name it asks under, it is certified by the one that it has now.
  const site = await world.turn(async (commit) => {
    const held = world.keys.get(heldHash)
    const record = held === undefined ? undefined : world.sites.get(held.site)
    if (held === undefined || record?.siteId !== siteId || !goesBy(record, request.site))
      throw new Fault('KeyUnknown', 'no site of this name, id and key', { facts })
    if (held.state === 'retired' || record.standing === 'retired')
      throw new Fault('KeyRetired', 'this key was retired', { facts })
    if (held.siteId !== siteId) throw new Fault('WrongSite', 'a key of another site', { facts })
    const { name } = record
    const next = world.keys.get(nextHash)
    if (next !== undefined && (next.state === 'retired' || next.site !== name || next.siteId !== siteId))
      throw new Fault('KeyRetired', 'the next key was used before', { facts })
    if (next !== undefined) return name
    const earlier = [...world.keys.values()].filter(
      (key) => key.site === name && key.state === 'offered' && key.hash !== heldHash,
    )
    await commit({
      keys: [
        ...earlier.map((key) => ({ ...key, state: 'retired' as const })),
        { hash: nextHash, site: name, siteId, state: 'offered' },
      ],
      audit: [
        {
          atMs: nowMs(),
          actor: `key of ${name}`,
          action: 'key renewed',
          subject: name,
          detail: { heldHash, nextHash },
        },
      ],
    })
    return name
  })
  return { certificate: await authority.certify({ site, siteId, publicKey }, nowMs()) }
}

/** At an exchange: costs nothing but for the first under an offered key. */
export async function fenceOthers({ world }: Pick<EnrolParts, 'world'>, caller: Caller): Promise<void> {
  if (world.keys.get(caller.keyHash)?.state !== 'offered') return
  await world.turn(async (commit) => {
    const used = world.keys.get(caller.keyHash)
    if (used?.state !== 'offered') return
    const others = [...world.keys.values()].filter(
      (key) => key.site === used.site && key.state !== 'retired' && key.hash !== used.hash,
    )
    await commit({
      keys: [{ ...used, state: 'active' }, ...others.map((key) => ({ ...key, state: 'retired' as const }))],
    })
  })
}
