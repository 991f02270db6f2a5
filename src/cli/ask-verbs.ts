import { Fault } from '../core/model/fault.ts'
import { ASK_VERBS, isAskVerb } from '../core/protocol/ask.ts'

/** `all`, `none`, or verbs with commas between. Fault InvalidInput: one that there is none of. */
export function askVerbs(text: string): readonly string[] {
  const all = Object.keys(ASK_VERBS)
  if (text === 'all') return all
  const verbs = text === 'none' ? [] : text.split(',').filter((verb) => verb !== '')
  const unknown = verbs.find((verb) => !isAskVerb(verb))
  if (unknown === undefined) return verbs
  throw new Fault('InvalidInput', `--asks found ${unknown}, expected all, none, or some of ${all.join(',')}`)
}
