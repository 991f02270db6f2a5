/** What is not yet as the last commit says: in clusters first, then in what the hub says of them. */
import type { Line, SimWorld } from './world.ts'

export async function unsettled(world: SimWorld, lines: readonly Line[]): Promise<readonly string[]> {
  const wrong: string[] = []
  const { tag } = world.author
  for (const { name, machine, cluster } of lines) {
    const { server } = cluster
    const find = (apiVersion: string, kind: string, namespace: string, at: string): string =>
      JSON.stringify(server.get(server.kinds.resolve({ apiVersion, kind }), namespace, at) ?? {})
    if (!find('apps/v1', 'Deployment', 'web', 'web').includes(`"reg/web:${tag}"`))
      wrong.push(`${name} does not run ${tag}`)
    if (!find('v1', 'ConfigMap', 'b', 'b').includes(`"x":"${tag}"`)) wrong.push(`${name} has not b of ${tag}`)
    for (const { reason, message } of machine.agent?.status().conditions ?? [])
      // That a store was rebuilt is said for as long as the process runs.
      if (reason !== 'StoreCorrupt') wrong.push(`${name}: ${reason} ${message}`)
    if (machine.store.outbox().length > 0) wrong.push(`${name} has results that nobody acknowledged`)
    const view = await world.hub.hub!.api.site(world.author.at(world.author.tip).names.get(name) ?? name)
    if (view.link !== 'Online' || view.sync !== 'Synced' || view.health !== 'Healthy')
      wrong.push(`${name} is ${view.link} ${view.sync} ${view.health} at the hub`)
  }
  if (wrong.length > 0) wrong.push(...(await world.hub.hub!.api.status()).needsYou.map(({ message }) => message))
  return wrong
}
