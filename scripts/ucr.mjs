// npm run corpus:ucr: the labelled series that ship with PyPI `aeon`, as files in the cache folder (examples/ucr/sets.ts). No addon, no libtorch.
import { join } from 'node:path'
import { main, run } from './lib/run.mjs'
import { buildLibrary, buildPrograms, packages } from './lib/steps.mjs'
import { fetchWheels } from './lib/wheels.mjs'
import { cacheFolder } from './libtorch.mjs'

const AEON = {
  requirement: 'aeon==1.6.0',
  file: 'aeon-1.6.0-py3-none-any.whl',
  sha256: 'd05227086706f80111ac5fee8de4d5d3115bb3bcfd1c786c8629393055816409',
  bytes: 6_421_000,
}

await main(async () => {
  await packages()
  await buildLibrary()
  await buildPrograms()
  const told = { what: 'the series', without: 'It is package aeon 1.6.0.' }
  const [wheel] = await fetchWheels([AEON], join(cacheFolder(), 'downloads'), { spare: 20e6, ...told })
  return run(process.execPath, ['--enable-source-maps', 'build/ts/examples/ucr/make-sets.js', wheel])
})
