// npm run check: types of everything in TypeScript and everything in Rust, without making anything.
import { main, run, runTool } from './lib/run.mjs'
import { cargoFlags, libtorch, packages } from './lib/steps.mjs'

await main(async () => {
  await packages()
  const env = await libtorch()
  const typescript = await runTool('tsc', ['-p', 'tsconfig.json'])
  const rust = await run('cargo', ['check', ...cargoFlags(), '--all-targets'], { env })
  return typescript || rust
})
