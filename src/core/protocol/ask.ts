/**
 * A question or an order that the hub carries from a person to one site (ADR 0014): signed by the hub's signing key in an envelope of
 * its own, good until its expiry by the hub's signed time, done once. It travels in `SyncDown.asks`, as text: an agent that does not
 * know the kind passes it over.
 */
import { Fault, type FaultReason } from '../model/fault.ts'
import { canonicalJson, isObject, type Json, type JsonObject } from '../model/json.ts'
import { PAYLOAD_TYPES, signBytes, verifyBytes, type SigningKey } from './envelope.ts'
import {
  count,
  instantMs,
  invalid,
  list,
  parseJson,
  parseJsonText,
  record,
  siteIdText,
  siteName,
  text,
} from './shape.ts'
import { TIME_BACKSTEP_MS, type HubNow } from './time.ts'
import type { Trust } from './trust.ts'

/** Of `SyncDown.asks`. */
export const ASK_KIND = 'ask'

/** `reads`: nothing at the site changes. `steers`: what is there already goes on, waits or ends. `runs`: something else is run. */
export const ASK_VERBS = {
  diff: 'reads',
  logs: 'reads',
  predict: 'reads',
  reconcile: 'steers',
  scancel: 'steers',
  queue: 'steers',
  job: 'steers',
  sbatch: 'runs',
  exec: 'runs',
} as const satisfies Readonly<Record<string, 'reads' | 'steers' | 'runs'>>
export type AskVerb = keyof typeof ASK_VERBS
/** What a site takes where its owner says nothing: a shell in a container is a word of its own. */
export const USUAL_VERBS: readonly string[] = Object.keys(ASK_VERBS).filter((verb) => verb !== 'exec')

/** Signed payload of one ask: a batch script travels in it. */
export const ASK_MAX_BYTES = 48 * 1024
/** Of one exchange. */
export const ASKS_AT_ONCE = 8
/** The longest that an ask may wait for its site. */
export const ASK_MAX_MS = 24 * 3_600_000
/** Characters of an answer's JSON. */
export const ANSWER_MAX_CHARS = 256 * 1024
/** Characters of one part of an answer: escaped and beside its name it is one item of the outbox. */
const PART_CHARS = 24 * 1024
export const ANSWER_MAX_PARTS = Math.ceil(ANSWER_MAX_CHARS / PART_CHARS)

export interface Ask {
  readonly id: string
  readonly site: string
  readonly siteId: string
  /** The root's word on time that `issued` and `expires` are of. */
  readonly timeEpoch: number
  /** A verb that a site does not know is answered so. */
  readonly verb: string
  readonly args: JsonObject
  /** Whose token asked. */
  readonly by: string
  /** RFC 3339, UTC, by the hub's clock. */
  readonly issued: string
  readonly expires: string
  /** Characters of the answer that the hub keeps. */
  readonly most: number
}

export type AskAnswer =
  | { readonly ok: true; readonly said: JsonObject }
  | { readonly ok: false; readonly reason: FaultReason; readonly message: string }

/** As it stands in `SyncDown.asks`, bytes in base64. */
export interface SealedAsk extends JsonObject {
  readonly kind: string
  readonly payload: string
  readonly keyid: string
  readonly sig: string
}

export function sealAsk(ask: Ask, key: SigningKey): SealedAsk {
  const payload = askBytes(ask)
  const sig = signBytes(PAYLOAD_TYPES.ask, payload, key)
  return { kind: ASK_KIND, payload: payload.toString('base64'), keyid: key.keyid, sig: sig.toString('base64') }
}

export function askBytes(ask: Ask): Buffer {
  return Buffer.from(canonicalJson(ask as unknown as JsonObject))
}

export interface AskInput {
  readonly trust: Trust
  readonly site: string
  readonly siteId: string
  readonly hubNow: HubNow
}

export type AskVerdict =
  | { readonly verdict: 'take'; readonly ask: Ask }
  /** `ask`: what it was, where it was signed and meant for this site: it is answered. */
  | { readonly verdict: 'refuse'; readonly reason: FaultReason; readonly because: string; readonly ask?: Ask }

/** From the outside in: nothing of a payload is read before its signature holds. */
export function judgeAsk(item: JsonObject, { trust, site, siteId, hubNow }: AskInput): AskVerdict {
  try {
    const { payload, keyid, sig } = envelopeOf(item)
    const key = trust.rings.manifest.get(keyid)
    if (key === undefined) return refuse('SignatureInvalid', `key ${keyid} may not ask`)
    if (!verifyBytes(PAYLOAD_TYPES.ask, payload, sig, key))
      return refuse('SignatureInvalid', 'the signature of an ask does not verify')
    const ask = readBody(payload)
    if (ask.siteId !== siteId || ask.site !== site) return refuse('WrongSite', `an ask of site ${ask.site}`)
    if (ask.timeEpoch !== trust.timeEpoch)
      return refuse('HubClock', `time epoch ${ask.timeEpoch}, the root says ${trust.timeEpoch}`, ask)
    if (hubNow.known !== 'exact') return refuse('HubClock', 'the hub has not said what time it is', ask)
    const issuedMs = Date.parse(ask.issued)
    const expiresMs = Date.parse(ask.expires)
    if (hubNow.ms > expiresMs) return refuse('Expired', `expired at ${ask.expires}`, ask)
    if (expiresMs - issuedMs > ASK_MAX_MS || issuedMs > hubNow.ms + TIME_BACKSTEP_MS)
      return refuse('InvalidInput', `asked at ${ask.issued} until ${ask.expires}`, ask)
    return { verdict: 'take', ask }
  } catch (error) {
    if (!(error instanceof Fault)) throw error
    return refuse(error.reason, error.message)
  }
}

function refuse(reason: FaultReason, because: string, ask?: Ask): AskVerdict {
  return { verdict: 'refuse', reason, because, ...(ask === undefined ? {} : { ask }) }
}

function envelopeOf(item: JsonObject): { readonly payload: Buffer; readonly keyid: string; readonly sig: Buffer } {
  const payload = text(item['payload'], 'ask.payload', Math.ceil(ASK_MAX_BYTES / 3) * 4)
  const sig = text(item['sig'], 'ask.sig', 128)
  return {
    payload: Buffer.from(payload, 'base64'),
    keyid: text(item['keyid'], 'ask.keyid', 64),
    sig: Buffer.from(sig, 'base64'),
  }
}

const ID = /^[A-Za-z0-9_-]{8,64}$/

function readBody(payload: Uint8Array): Ask {
  const it = record(parseJson(payload, 'an ask'), 'ask')
  const body = {
    id: idOf(it['id'], 'ask.id'),
    site: siteName(it['site'], 'ask.site'),
    siteId: siteIdText(it['siteId'], 'ask.siteId'),
    timeEpoch: count(it['timeEpoch'], 'ask.timeEpoch'),
    verb: text(it['verb'], 'ask.verb', 64),
    args: record(it['args'], 'ask.args'),
    by: text(it['by'], 'ask.by'),
    issued: text(it['issued'], 'ask.issued'),
    expires: text(it['expires'], 'ask.expires'),
    most: Math.min(count(it['most'], 'ask.most'), ANSWER_MAX_CHARS),
  }
  instantMs(body.issued, 'ask.issued')
  instantMs(body.expires, 'ask.expires')
  return body
}

function idOf(value: Json | undefined, path: string): string {
  return ID.test(text(value, path, 64)) ? (value as string) : invalid(path, 'an id')
}

/** What goes into the outbox of the site, class `result`: that it was taken, and then its answer in parts. */
export type AskWord =
  | { readonly id: string; readonly taken: true }
  | { readonly id: string; readonly part: number; readonly of: number; readonly text: string }

export function takenBody(id: string): JsonObject {
  return { kind: ASK_KIND, id, taken: true }
}

/** An answer above `most` is one that says so. */
export function answerBodies(id: string, answer: AskAnswer, most: number): readonly JsonObject[] {
  let whole = JSON.stringify(answer)
  if (whole.length > Math.min(most, ANSWER_MAX_CHARS)) {
    const message = `the answer has ${whole.length} characters, and ${most} are kept: ask for less`
    whole = JSON.stringify({ ok: false, reason: 'TooLarge', message } satisfies AskAnswer)
  }
  const of = Math.max(1, Math.ceil(whole.length / PART_CHARS))
  return Array.from({ length: of }, (_, part) => ({
    kind: ASK_KIND,
    id,
    part,
    of,
    text: whole.slice(part * PART_CHARS, (part + 1) * PART_CHARS),
  }))
}

/** undefined: no word about an ask, or none that can be meant. */
export function readAskWord(body: JsonObject): AskWord | undefined {
  if (body['kind'] !== ASK_KIND) return undefined
  try {
    const id = idOf(body['id'], 'id')
    if (body['taken'] === true) return { id, taken: true }
    const part = count(body['part'], 'part')
    const of = count(body['of'], 'of')
    if (of > ANSWER_MAX_PARTS || part >= of) return undefined
    return { id, part, of, text: text(body['text'], 'text', PART_CHARS) }
  } catch (error) {
    if (error instanceof Fault) return undefined
    throw error
  }
}

/** From all its parts, in order. */
export function readAnswer(parts: readonly string[], known: ReadonlySet<string>): AskAnswer {
  try {
    const it = record(parseJsonText(parts.join(''), 'an answer'), 'answer')
    if (it['ok'] === true) return { ok: true, said: record(it['said'], 'answer.said') }
    const reason = text(it['reason'], 'answer.reason')
    const message = text(it['message'], 'answer.message', ANSWER_MAX_CHARS)
    // A reason of a newer agent is told in its words.
    if (known.has(reason)) return { ok: false, reason: reason as FaultReason, message }
    return { ok: false, reason: 'Unexpected', message: `${reason}: ${message}` }
  } catch (error) {
    if (!(error instanceof Fault)) throw error
    return { ok: false, reason: error.reason, message: error.message }
  }
}

export function isAskVerb(verb: string): verb is AskVerb {
  return Object.hasOwn(ASK_VERBS, verb)
}

/** Envelopes among what an answer asks for; the others are the exchange's own. */
export function asksAmong(asks: readonly JsonObject[] | undefined): readonly JsonObject[] {
  return list(asks ?? [], 'asks', 64).filter((item): item is JsonObject => isObject(item) && item['kind'] === ASK_KIND)
}
