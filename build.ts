/** Bundles the program for images: `dist/flotilla.js`, with what is lazily imported in files of their own. */
import { rolldown } from 'rolldown'

const bundle = await rolldown({
  input: { flotilla: 'src/main.ts' },
  platform: 'node',
  // Optional natives and CommonJS oddities stay outside a bundle that does not need them.
  external: [/^node:/],
})
const { output } = await bundle.write({
  dir: 'dist',
  format: 'esm',
  minify: false,
  chunkFileNames: 'chunks/[name]-[hash].js',
  sourcemap: false,
})
process.stdout.write(`${output.map((file) => file.fileName).join('\n')}\n`)
