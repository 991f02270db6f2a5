/** `node test/e2e/link-faults/run.ts [SEED]`: all 12 profiles at once, each with ten minutes; prints the table of docs/link.md. As root. */
import { converge, missing, PROFILES, table } from './profiles.ts'

const WITHIN_MS = 600_000
const seed = Number(process.argv[2] ?? 1)
const needs = missing()
if (needs !== undefined) throw new Error(needs)
const all = await Promise.all(PROFILES.map((profile, i) => converge(profile, seed * 100 + i, WITHIN_MS)))
console.log(`seed ${seed}\n${table(all)}`)
for (const { evidence } of all) if (evidence !== '') console.log(evidence)
process.exit(all.every(({ ms }) => ms !== null) ? 0 : 1)
