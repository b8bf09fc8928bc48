// npm run build: everything up to something that runs. `--only addon` stops after the addon; `--write` renews index.d.ts.
import { main } from './lib/run.mjs'
import { buildAddon, buildAll, libtorch, packages } from './lib/steps.mjs'

await main(async () => {
  const options = { write: process.argv.includes('--write') }
  if (process.argv.includes('--only')) {
    await packages()
    await buildAddon(await libtorch(), options)
  } else {
    await buildAll(options)
  }
})
