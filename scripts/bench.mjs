// npm run -s bench -- PATTERN [--json] [--rounds N] [--threads N]: builds what is missing and runs the benches (bench/main.ts).
import { main, run } from './lib/run.mjs'
import { buildAll, kernelBench } from './lib/steps.mjs'

await main(async () => {
  const env = { ...(await buildAll()), QUARTERTURN_KERNEL_BENCH: await kernelBench('kernels') }
  return await run(process.execPath, ['--enable-source-maps', 'build/ts/bench/main.js', ...process.argv.slice(2)], {
    env,
  })
})
