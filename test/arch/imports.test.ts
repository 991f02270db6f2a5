import fs from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { MAY_IMPORT, PORT_FILES, roomOf } from './may-import.ts'

const root = path.resolve(import.meta.dirname, '../..')
const src = path.join(root, 'src')
const files = fs
  .readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => file.replaceAll(path.sep, '/'))

/** Static and dynamic imports, types included: a type from above couples as much as a value. */
function importsOf(file: string): string[] {
  const text = fs.readFileSync(path.join(src, file), 'utf8')
  const found = text.matchAll(
    /(?:^|\n)(?:import|export|\})[^'"\n]*? from ['"]([^'"]+)['"]|(?:^|\n)import ['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]\s*\)/g,
  )
  return [...found].map((match) => match[1] ?? match[2] ?? match[3] ?? '')
}

test('there are files to look at', () => {
  expect(files.length).toBeGreaterThan(30)
})

test('every file stands in a room of the map', () => {
  expect(files.filter((file) => roomOf(file) === undefined)).toEqual([])
})

test('rooms import only what the map allows', () => {
  const broken: string[] = []
  for (const file of files) {
    const room = roomOf(file)
    if (room === undefined) continue
    const may = MAY_IMPORT[room]
    if (may === undefined || may.includes('*')) continue
    for (const target of importsOf(file)) {
      if (target.startsWith('.')) {
        const resolved = path.posix.normalize(path.posix.join(path.posix.dirname(file), target))
        if (room.startsWith('adapters/') && PORT_FILES.includes(resolved)) continue
        const to = resolved.startsWith('../') ? resolved.slice(3).split('/')[0] : roomOf(resolved)
        if (
          to !== room &&
          !may.some((allowed) => allowed === to || (allowed.endsWith('/*') && to?.startsWith(allowed.slice(0, -1))))
        )
          broken.push(`${file} (${room}) imports ${target}`)
      } else {
        const name = target.startsWith('node:')
          ? target
          : target
              .split('/')
              .slice(0, target.startsWith('@') ? 2 : 1)
              .join('/')
        if (!may.includes(name) && !(name.startsWith('node:') && may.includes('node:*')))
          broken.push(`${file} (${room}) imports ${target}`)
      }
    }
  }
  expect(broken).toEqual([])
})

test('the checker sees what it must: a planted import in each form is found', () => {
  const dir = fs.mkdtempSync(path.join(src, '.arch-'))
  try {
    fs.writeFileSync(
      path.join(dir, 'x.ts'),
      "import { a } from './a.ts'\nimport type { B } from \"../b.ts\"\nexport { c } from './c.ts'\nconst d = await import('./d.ts')\nimport './e.ts'\nimport {\n  f,\n} from './f.ts'\n",
    )
    expect(importsOf(path.join(path.basename(dir), 'x.ts'))).toEqual([
      './a.ts',
      '../b.ts',
      './c.ts',
      './d.ts',
      './e.ts',
      './f.ts',
    ])
  } finally {
    fs.rmSync(dir, { recursive: true })
  }
})

test('port files hold types only, so that an adapter that imports one depends on nothing that runs', () => {
  const values = PORT_FILES.filter((file) => files.includes(file)).filter((file) => {
    const text = fs.readFileSync(path.join(src, file), 'utf8')
    return /^export (?!type|interface)/m.test(text) || /^import (?!type)/m.test(text)
  })
  expect(values).toEqual([])
})
