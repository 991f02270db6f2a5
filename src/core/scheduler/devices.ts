/** Resource claims counted: how many devices of a class a node has, and how many are promised. */
import type { JsonObject } from '../model/json.ts'
import type { PodClass } from './classes.ts'
import { has, listAt, numberAt, objectAt, textAt } from './object.ts'
import type { State } from './state.ts'
import { grown } from './undo.ts'

interface DeviceRequest {
  readonly deviceClass: string
  readonly count: number
}

interface DeviceClaim {
  readonly row: number
  readonly requests: readonly DeviceRequest[]
}

/** The one form of selector that needs no evaluator; a class with another form offers nothing, and its pods say so. */
const DRIVER_IS = /^\s*device\.driver\s*==\s*(['"])([^'"]+)\1\s*$/

export class Devices {
  readonly #state: State
  readonly #claims = new Map<string, DeviceClaim>()
  /** Device class to its driver; null where its selectors cannot be read. */
  readonly #classes = new Map<string, string | null>()
  /** Slice to [node, driver, devices]. */
  readonly #slices = new Map<string, readonly [string, string, number]>()
  /** By claim: 1 + the node it is held on, and by how many pods. */
  #heldOn = new Int32Array(0)
  #users = new Int32Array(0)
  #rows = 0

  constructor(state: State) {
    this.#state = state
  }

  setClaim(claim: JsonObject, key: string): void {
    const row = this.#claims.get(key)?.row ?? this.#rows++
    this.#heldOn = grown(this.#heldOn, this.#rows)
    this.#users = grown(this.#users, this.#rows)
    const requests = listAt(objectAt(objectAt(claim, 'spec'), 'devices'), 'requests').map((request) => {
      const exact = has(request, 'exactly') ? objectAt(request, 'exactly') : request
      return { deviceClass: textAt(exact, 'deviceClassName'), count: numberAt(exact, 'count', 1) }
    })
    this.#claims.set(key, { row, requests })
  }

  setClass(object: JsonObject): void {
    const selectors = listAt(objectAt(object, 'spec'), 'selectors')
    const [first, ...others] = selectors
    const driver = first === undefined ? '' : DRIVER_IS.exec(textAt(objectAt(first, 'cel'), 'expression'))?.[2]
    this.#classes.set(textAt(objectAt(object, 'metadata'), 'name'), others.length > 0 ? null : (driver ?? null))
  }

  setSlice(slice: JsonObject): void {
    const spec = objectAt(slice, 'spec')
    const name = textAt(objectAt(slice, 'metadata'), 'name')
    this.#slices.set(name, [textAt(spec, 'nodeName'), textAt(spec, 'driver'), listAt(spec, 'devices').length])
  }

  drop(kind: 'claim' | 'class' | 'slice', key: string): void {
    if (kind === 'claim') this.#claims.delete(key)
    else if (kind === 'class') this.#classes.delete(key)
    else this.#slices.delete(key)
  }

  /** It names a claim that nobody told of: where claims are not read at all, no pod with one can be placed. */
  isUnread(podClass: PodClass): boolean {
    return this.#claimsOf(podClass).includes(undefined)
  }

  fits(podClass: PodClass, node: number): boolean {
    const wanted = new Map<string, number>()
    for (const claim of this.#claimsOf(podClass)) {
      if (claim === undefined) return false
      const held = (this.#heldOn[claim.row] as number) - 1
      if (held >= 0 && held !== node) return false
      if (held >= 0) continue
      for (const { deviceClass, count } of claim.requests) {
        const driver = this.#classes.get(deviceClass)
        if (driver === undefined || driver === null) return false
        wanted.set(driver, (wanted.get(driver) ?? 0) + count)
      }
    }
    for (const [driver, count] of wanted) if (count > this.#on(node, driver) - this.#held(node, driver)) return false
    return true
  }

  #on(node: number, driver: string): number {
    let devices = 0
    const name = this.#state.facts[node]?.name
    for (const [at, of, count] of this.#slices.values())
      if (at === name && (driver === '' || of === driver)) devices += count
    return devices
  }

  #held(node: number, driver: string): number {
    let held = 0
    for (const claim of this.#claims.values())
      if (this.#heldOn[claim.row] === node + 1)
        for (const { deviceClass, count } of claim.requests)
          if (this.#classes.get(deviceClass) === driver) held += count
    return held
  }

  #claimsOf(podClass: PodClass): (DeviceClaim | undefined)[] {
    const namespace = this.#state.namespaces.names[podClass.namespace]
    return podClass.spec.devices.map((name) => this.#claims.get(`${namespace}/${name}`))
  }

  moved(podClass: PodClass, node: number, sign: 1 | -1): void {
    for (const claim of this.#claimsOf(podClass)) {
      if (claim === undefined) continue
      this.#state.log.add(this.#users, claim.row, sign)
      this.#state.log.set(this.#heldOn, claim.row, (this.#users[claim.row] as number) > 0 ? node + 1 : 0)
    }
  }
}
