/** Rotation of a hub's keys on its own disk, beside the running hub or with it stopped: a restart takes the new ones. */
import { createPublicKey, type KeyObject } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { rotateKeys, type Rotated, type Rotation } from '../adapters/link/rotate.ts'
import type { RotationFiles, RotationStep } from '../cli/ports.ts'
import { Fault } from '../core/model/fault.ts'
import { signingKey, type SigningKey } from '../core/protocol/envelope.ts'
import { KEYS_FOLDER } from './hub.ts'

/** Faults: StoreCorrupt, InvalidInput, those of the disk. */
export async function rotateHubKeys(data: string, step: RotationStep, files: RotationFiles): Promise<Rotated> {
  const rotation: Rotation = step === 'release-signer' ? { step, key: publicKeyOf(files.key ?? '') } : { step }
  return rotateKeys(path.resolve(data, KEYS_FOLDER), rotation, Date.now(), files.rootKey)
}

/** A release signer's private key. Fault InvalidInput. */
export function readSigner(file: string): SigningKey {
  try {
    return signingKey(fs.readFileSync(file, 'utf8'))
  } catch (cause) {
    throw new Fault('InvalidInput', `${file}: not the private key of a release signer (Ed25519, PEM)`, { cause })
  }
}

function publicKeyOf(file: string): KeyObject {
  try {
    const key = createPublicKey(fs.readFileSync(file, 'utf8'))
    if (key.asymmetricKeyType !== 'ed25519') throw new Error(`a key of type ${key.asymmetricKeyType}`)
    return key
  } catch (cause) {
    throw new Fault('InvalidInput', `${file}: not the public key of a release signer (Ed25519, PEM)`, { cause })
  }
}
