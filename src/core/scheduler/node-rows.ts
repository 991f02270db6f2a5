/** A node's row in every column that has one: its room, its domains, and what counters count there. */
import type { NodeFacts } from './node.ts'
import type { State } from './state.ts'

/** The node as it now is; its pods stay on it, and are counted by its new labels. */
export function putNode(state: State, node: number, before: NodeFacts | null, facts: NodeFacts): void {
  state.fitNodes(state.nodeRows)
  if (before !== null) {
    state.recountNode(node, 'out')
    for (const counter of state.counters) counter.dropNode(node)
  }
  state.facts[node] = facts
  state.setAlive(node, true)
  for (const key of state.keys.values()) key.setNode(node, facts.labels[key.name], state.nodeCapacity)
  for (const counter of state.counters) {
    counter.setNode(node, true, state.nodeCapacity)
    counter.refresh(state.log)
  }
  for (let dim = 0; dim < state.idle.length; dim++) {
    const now = facts.allocatable[dim] ?? 0
    const was = before?.allocatable[dim] ?? 0
    ;(state.allocatable[dim] as Float64Array)[node] = now
    state.log.add(state.idle[dim] as Float64Array, node, now - was)
  }
  if (before !== null) state.recountNode(node, 'in')
}

/** A node that is gone: nobody is on it any more. */
export function takeNode(state: State, node: number): void {
  for (const counter of state.counters) {
    counter.dropNode(node)
    counter.refresh(state.log)
  }
  for (const key of state.keys.values()) key.setNode(node, undefined, state.nodeCapacity)
  for (let dim = 0; dim < state.idle.length; dim++)
    for (const columns of [state.allocatable, state.idle, state.later]) (columns[dim] as Float64Array)[node] = 0
  state.facts[node] = null
  state.setAlive(node, false)
}
