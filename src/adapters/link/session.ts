/** A TLS session with what it was made under: another root, authority or certificate makes it worthless. */

const FORMAT = 1
const BINDING_BYTES = 32

/** `boundTo`: 64 hex digits. */
export function encodeSession(session: Uint8Array, boundTo: string): Buffer {
  return Buffer.concat([Buffer.from([FORMAT]), Buffer.from(boundTo, 'hex'), session])
}

/** Undefined where it is of another binding, or damaged: the cost is a full handshake. */
export function decodeSession(bytes: Uint8Array | undefined, boundTo: string): Buffer | undefined {
  if (bytes === undefined || bytes.length <= 1 + BINDING_BYTES || bytes[0] !== FORMAT) return undefined
  const all = Buffer.from(bytes)
  return all.subarray(1, 1 + BINDING_BYTES).toString('hex') === boundTo ? all.subarray(1 + BINDING_BYTES) : undefined
}
