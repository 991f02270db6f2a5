import { defineConfig } from 'vitest/config'

/** The fast suites: pure, or on loopback only. Suites that need a real Kubernetes have configs of their own. */
export default defineConfig({
  test: {
    include: ['test/{unit,property,contract,simulation,arch}/**/*.test.ts'],
    exclude: ['test/**/*.real.test.ts'],
    pool: 'threads',
    isolate: false,
    maxWorkers: 2,
    testTimeout: 30_000,
  },
})
