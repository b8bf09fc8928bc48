// npm start: from a fresh clone to a trained model. Builds what is missing and runs the main job, examples/g2p.
import { main, run } from './lib/run.mjs'
import { buildAll } from './lib/steps.mjs'

await main(async () => {
  const env = await buildAll()
  return await run(
    process.execPath,
    ['--enable-source-maps', 'build/ts/examples/g2p/train.js', ...process.argv.slice(2)],
    { env },
  )
})
