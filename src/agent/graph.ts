/** Runs steps that need each other, as many at once as allowed: what failed holds only what needs it. */
export interface GraphNode {
  readonly key: string
  readonly needs: readonly string[]
}

/** Results in the order of the nodes. `held` answers for a node of which one need did not come true. Needs outside the list are met. */
export async function runGraph<N extends GraphNode, R>(
  nodes: readonly N[],
  parallel: number,
  run: (node: N) => Promise<R>,
  met: (result: R) => boolean,
  held: (node: N, on: string) => R,
): Promise<readonly R[]> {
  const results = new Map<N, R>()
  const byKey = new Map(nodes.map((node) => [node.key, node] as const))
  const waiters = new Map<N, N[]>()
  const waitsFor = new Map<N, number>()
  for (const node of nodes) {
    const needs = new Set(node.needs.flatMap((key) => byKey.get(key) ?? []))
    waitsFor.set(node, needs.size)
    for (const need of needs) waiters.set(need, [...(waiters.get(need) ?? []), node])
  }
  const ready = nodes.filter((node) => waitsFor.get(node) === 0)
  const settle = (node: N, result: R): void => {
    results.set(node, result)
    for (const waiter of waiters.get(node) ?? []) {
      if (results.has(waiter)) continue
      if (!met(result)) settle(waiter, held(waiter, node.key))
      else {
        const left = (waitsFor.get(waiter) ?? 1) - 1
        waitsFor.set(waiter, left)
        if (left === 0) ready.push(waiter)
      }
    }
  }
  let next = 0
  let running = 0
  await new Promise<void>((resolve, reject) => {
    const pump = (): void => {
      while (running < parallel && next < ready.length) {
        const node = ready[next++] as N
        running += 1
        run(node).then(
          (result) => {
            running -= 1
            settle(node, result)
            pump()
          },
          (error: unknown) => reject(error as Error),
        )
      }
      if (running === 0 && next >= ready.length) resolve()
    }
    pump()
  })
  // Steps in a circle were refused by the plan; should one slip through, it waits.
  return nodes.map((node) => results.get(node) ?? held(node, node.key))
}
