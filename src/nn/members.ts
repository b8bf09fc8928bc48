// What a module holds: its Variables and modules, found through fields, arrays, Maps and plain objects, each once, by path.
import { ArgumentError } from '../errors.js'
import { Tensor } from '../tensor/tensor.js'
import { Variable } from '../tensor/variable.js'
import type { Module } from './module.js'

export interface Members {
  /** By path, in the order of the fields; the module itself has the path ''. */
  modules: Map<string, Module>
  variables: Map<string, Variable>
  /** The module that each Variable was found in. */
  owners: Map<Variable, Module>
  /** Further paths of what was found before, to its first path. */
  aliases: Map<string, string>
}

type Entries = Iterable<readonly [key: unknown, value: unknown]>

/** A field's name as torch's files have it: `inProjWeight` is `in_proj_weight`. */
export function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

/** Walks everything below `root`; `entriesOf` gives the entries of a module and undefined for what is none. */
export function findMembers(root: Module, entriesOf: (value: object) => Entries | undefined): Members {
  const members: Members = { modules: new Map(), variables: new Map(), owners: new Map(), aliases: new Map() }
  const seen = new Map<object, string>()
  const visit = (value: unknown, path: string, owner: Module): void => {
    if (typeof value !== 'object' || value === null || (value instanceof Tensor && !(value instanceof Variable))) return
    const own = value instanceof Variable ? undefined : entriesOf(value)
    const entries = own ?? entriesOfContainer(value)
    if (entries === undefined && !(value instanceof Variable)) return
    const known = seen.get(value)
    if (known !== undefined) {
      members.aliases.set(path, known)
      return
    }
    seen.set(value, path)
    if (value instanceof Variable) {
      if (members.variables.has(path))
        throw new ArgumentError(`Module: two parameters have the path ${path}; a key must not contain a dot`, {
          op: 'Module',
          got: path,
        })
      members.variables.set(path, value)
      members.owners.set(value, owner)
      return
    }
    const inside = own === undefined ? owner : (value as Module)
    if (own !== undefined) members.modules.set(path, inside)
    for (const [key, item] of entries as Entries)
      visit(item, path === '' ? String(key) : `${path}.${String(key)}`, inside)
  }
  visit(root, '', root)
  return members
}

function entriesOfContainer(value: object): Entries | undefined {
  if (Array.isArray(value)) return value.entries()
  if (value instanceof Map) return value.entries()
  const prototype = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null ? Object.entries(value) : undefined
}

/** The first path of what `key` names, also where it names it through a second path. */
export function resolveAlias(key: string, { aliases, variables }: Members): string {
  let resolved = key
  for (let turns = 0; turns <= aliases.size && !variables.has(resolved); turns++) {
    let prefix = resolved
    while (!aliases.has(prefix) && prefix.includes('.')) prefix = prefix.slice(0, prefix.lastIndexOf('.'))
    const target = aliases.get(prefix)
    if (target === undefined) return key
    const rest = resolved.slice(prefix.length + 1)
    resolved = target === '' || rest === '' ? target + rest : `${target}.${rest}`
  }
  return variables.has(resolved) ? resolved : key
}
