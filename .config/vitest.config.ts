// How vitest runs the tests: the TypeScript sources directly, one child process per test file.
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const root = fileURLToPath(new URL('..', import.meta.url))

export default defineConfig({
  root,
  cacheDir: `${root}build/vite`,
  resolve: { alias: { 'quarterturn/js': `${root}src/js/index.ts`, quarterturn: `${root}src/index.ts` } },
  test: {
    include: ['tests/**/*.test.ts'],
    pool: 'forks', // the engine is one per process: a file that crashes it must not take the others along
    maxWorkers: 2, // each worker's engine already uses every core
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Two workers' engines take turns on the same cores: threads that have nothing to do leave them soon.
    env: { GOMP_SPINCOUNT: process.env.GOMP_SPINCOUNT ?? '1000' },
  },
})
