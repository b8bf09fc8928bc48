// Nested arrays and plain objects of tensors, as users pass and return them: flattened in a stable order and built again.
import { ArgumentError } from '../errors.js'
import { Tensor } from './tensor.js'

/** A tensor, or arrays and plain objects of such. */
export type Tree = Tensor | readonly Tree[] | { readonly [key: string]: Tree }

/** The tensors of a tree, in order. */
export function leaves(tree: unknown, op: string, out: Tensor[] = []): Tensor[] {
  if (tree instanceof Tensor) out.push(tree)
  else if (Array.isArray(tree)) for (const item of tree) leaves(item, op, out)
  else if (isPlain(tree)) for (const key of Object.keys(tree)) leaves(tree[key], op, out)
  else
    throw new ArgumentError(`${op}: expected tensors, or arrays and plain objects of tensors, got ${String(tree)}`, {
      op,
      got: String(tree),
    })
  return out
}

/** Every tensor found in any value: used where other things may stand beside them. */
export function tensorsIn(value: unknown, out: Tensor[] = []): Tensor[] {
  if (value instanceof Tensor) out.push(value)
  else if (Array.isArray(value)) for (const item of value) tensorsIn(item, out)
  else if (value instanceof Map) for (const item of value.values()) tensorsIn(item, out)
  else if (isPlain(value)) for (const key of Object.keys(value)) tensorsIn(value[key], out)
  return out
}

/** A tree of the same form with other tensors, taken from `next` in order. */
export function rebuild<T>(tree: T, next: () => Tensor): T {
  if (tree instanceof Tensor) return next() as T
  if (Array.isArray(tree)) return tree.map((item) => rebuild(item, next)) as T
  if (isPlain(tree))
    return Object.fromEntries(Object.entries(tree).map(([key, item]) => [key, rebuild(item, next)])) as T
  return tree
}

function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}
