// The files of Vega's datasets, where npm put them.
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

/** The path of a file of npm `vega-datasets`. */
export function vegaFile(name: string): string {
  return join(dirname(createRequire(import.meta.url).resolve('vega-datasets')), '../data', name)
}
