/** The hub's own keys: which key signs, who issues, and who signs for releases besides the hub. */
import type { Command } from '../command.ts'
import { EXIT } from '../exit.ts'
import type { CliPorts } from '../ports.ts'

const STEPS = {
  signing: 'another key signs manifests and time; what the old one signed still counts',
  authority: 'another authority issues certificates; those of the old one are still taken',
  'retire-old': 'only the newest signing key and authority count from now on',
  root: 'the root hands over to a new one',
  'release-signer': 'from now on a release counts only if this key has signed for it as well (--key)',
  'time-epoch': 'every time statement of before is void: for a fleet that was told a wrong time',
} as const

const rotate: Command<CliPorts> = {
  name: 'hub rotate',
  group: 'Run',
  summary: `Rotate the hub's keys, one step at a time: ${Object.keys(STEPS).join(', ')}`,
  arguments: [{ name: 'STEP', help: Object.entries(STEPS).map(([step, says]) => `${step}: ${says}`).join('. ') }], // prettier-ignore
  flags: {
    data: { type: 'string', placeholder: 'DIR', help: 'folder of the hub', default: '.flotilla/hub' },
    'root-key': { type: 'string', placeholder: 'FILE', help: 'where the root key is kept, if not in that folder' },
    key: { type: 'string', placeholder: 'FILE', help: 'for release-signer: its public key, Ed25519, PEM' },
  },
  async run([step = ''], flags, ports, io) {
    if (!(step in STEPS)) {
      io.err(`error: found ${step}, expected ${Object.keys(STEPS).join(', ')}`)
      return EXIT.failed
    }
    const { data, key, 'root-key': rootKey } = flags
    if ((step === 'release-signer') !== (typeof key === 'string')) {
      io.err('error: --key names the public key of a release-signer, and belongs to that step alone')
      return EXIT.failed
    }
    const { version } = await ports.rotateKeys(String(data), step as keyof typeof STEPS, {
      rootKey: rootKey as string | undefined,
      key: key as string | undefined,
    })
    io.out(`trust version ${version}: ${STEPS[step as keyof typeof STEPS]}`)
    io.out('restart the hub: sites hear of it at their next exchange, and those that are dark when they come back')
    return EXIT.ok
  },
}

export const KEYS: readonly Command<CliPorts>[] = [rotate]
