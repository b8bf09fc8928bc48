// What a score must be published with so that others can compute it again: the settings and the program, in sacreBLEU's notation.
import { createRequire } from 'node:module'

let version: string | undefined

/** `nrefs:1|case:mixed|…|version:quarterturn-0.1.0`. */
export function signature(references: number | undefined, settings: Readonly<Record<string, string | number>>): string {
  version ??= (createRequire(import.meta.url)('quarterturn/package.json') as { version: string }).version
  const all = { nrefs: references ?? 'var', ...settings, version: `quarterturn-${version}` }
  return Object.entries(all)
    .map(([name, value]) => `${name}:${value}`)
    .join('|')
}
