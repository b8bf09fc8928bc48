// npm run test:install:all: the install tests with every package manager under every major of Node.
import { main, runTool } from './lib/run.mjs'
import { buildAll } from './lib/steps.mjs'

await main(async () => {
  const env = { ...(await buildAll()), QUARTERTURN_INSTALL: 'all' }
  return await runTool('vitest', ['run', '--config', '.config/vitest.config.ts', 'tests/install/packages'], { env })
})
