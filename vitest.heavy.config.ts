import { defineConfig } from 'vitest/config'

/** Suites on real control planes, real Git servers and the built CLI; CI runs them after `npm test`. */
export default defineConfig({
  test: {
    include: ['test/e2e/**/*.test.ts', 'test/**/*.real.test.ts'],
    pool: 'forks',
    fileParallelism: false,
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
})
