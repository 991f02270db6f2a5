/** How plain (unquoted) YAML scalars become JSON: as YAML 1.2 core says, and as kubectl's YAML library reads them. */

export type Scalar = null | boolean | number | string
/** `core`: our own kinds, YAML 1.2 core. `kubectl`: source manifests, as go-yaml (1.1 in part) reads them. */
export type Reading = 'core' | 'kubectl'
export type Resolved = { readonly value: Scalar } | { readonly refused: string }

const NULL = /^(?:~|null|Null|NULL)?$/
const TRUE = /^(?:true|True|TRUE)$/
const FALSE = /^(?:false|False|FALSE)$/
const GO_TRUE = /^(?:true|True|TRUE|y|Y|yes|Yes|YES|on|On|ON)$/
const GO_FALSE = /^(?:false|False|FALSE|n|N|no|No|NO|off|Off|OFF)$/
const DECIMAL = /^[-+]?[0-9]+$/
const FLOAT = /^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$/
const NOT_FINITE = /^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$/
/** Base 60, `12:30`: only YAML 1.1 in its letter reads it as a number. */
const SEXAGESIMAL = /^[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+$/

const REFUSED_INTEGER = 'an integer above 2^53 loses digits in JSON'
const REFUSED_FLOAT = 'not a finite number'

function integer(digits: string, base: 2 | 8 | 10 | 16, negative: boolean): Resolved {
  const size = base === 10 ? Number(digits) : Number.parseInt(digits, base)
  if (!Number.isSafeInteger(size)) return { refused: REFUSED_INTEGER }
  return { value: negative && size !== 0 ? -size : size }
}

function float(text: string): Resolved {
  const value = Number(text)
  return Number.isFinite(value) ? { value } : { refused: REFUSED_FLOAT }
}

function resolveCore(text: string): Resolved {
  if (NULL.test(text)) return { value: null }
  if (TRUE.test(text)) return { value: true }
  if (FALSE.test(text)) return { value: false }
  if (DECIMAL.test(text)) return integer(text.replace(/^[-+]/, ''), 10, text.startsWith('-'))
  if (/^0o[0-7]+$/.test(text)) return integer(text.slice(2), 8, false)
  if (/^0x[0-9a-fA-F]+$/.test(text)) return integer(text.slice(2), 16, false)
  if (FLOAT.test(text)) return float(text)
  if (NOT_FINITE.test(text)) return { refused: REFUSED_FLOAT }
  return { value: text }
}

/** As go-yaml: underscores are dropped, then Go's ParseInt with base 0, then a float; `yes` and `on` are booleans. */
function resolveKubectl(text: string): Resolved {
  if (NULL.test(text)) return { value: null }
  if (GO_TRUE.test(text)) return { value: true }
  if (GO_FALSE.test(text)) return { value: false }
  if (NOT_FINITE.test(text)) return { refused: REFUSED_FLOAT }
  if (!/^[-+.0-9]/.test(text)) return { value: text }
  const plain = text.replaceAll('_', '')
  const negative = plain.startsWith('-')
  const digits = plain.replace(/^[-+]/, '')
  if (/^0[xX][0-9a-fA-F]+$/.test(digits)) return integer(digits.slice(2), 16, negative)
  if (/^0[bB][01]+$/.test(digits)) return integer(digits.slice(2), 2, negative)
  if (/^0[oO]?[0-7]+$/.test(digits)) return integer(digits.replace(/^0[oO]?/, ''), 8, negative)
  if (/^(?:0|[1-9][0-9]*)$/.test(digits)) return integer(digits, 10, negative)
  return FLOAT.test(plain) ? float(plain) : { value: text }
}

export function resolvePlain(text: string, reading: Reading): Resolved {
  return reading === 'core' ? resolveCore(text) : resolveKubectl(text)
}

/**
 * How YAML 1.1 takes this plain scalar, where that differs from what YAML 1.2 core takes it for; undefined where they agree.
 * The country code `no` is the case everybody meets once.
 */
export function otherReading(text: string): string | undefined {
  if (SEXAGESIMAL.test(text)) return 'a number in base 60'
  const core = resolveCore(text)
  const other = resolveKubectl(text)
  if ('refused' in core || 'refused' in other || core.value === other.value) return undefined
  return typeof other.value === 'boolean' ? `the boolean ${other.value}` : `the number ${other.value}`
}
