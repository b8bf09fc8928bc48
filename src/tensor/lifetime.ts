// How long tensors live: the collector, scopes and dispose() all end here, and their bytes are counted here.
import { account, release } from './queue.js'

/** What remains to be released when a handle is gone. */
export interface Held {
  readonly id: number
  readonly bytes: number
  /** Whether the collector tells when the handle is gone; until its scope ends, the scope does. */
  watched: boolean
}

/** What the bookkeeping needs of a tensor. */
export interface Owned {
  readonly held: Held
  readonly isDisposed: boolean
  dispose(): void
}

/** Live tensors of this thread, the bytes of their elements, and the most there were at once. */
export interface MemoryCount {
  tensors: number
  bytes: number
  peakBytes: number
}

const count: MemoryCount = { tensors: 0, bytes: 0, peakBytes: 0 }
let scope: Owned[] | undefined

const registry = new FinalizationRegistry<Held>(discard)

/** Takes a new handle into the books: into those of the scope, or of the collector. */
export function adopt(owner: Owned): void {
  const { bytes } = owner.held
  count.tensors++
  count.bytes += bytes
  if (count.bytes > count.peakBytes) count.peakBytes = count.bytes
  if (scope === undefined) watch(owner)
  else scope.push(owner)
}

/** What V8 is told of besides the elements of a tensor: a loss of 4 bytes holds the history it was computed by. */
const HISTORY = 4096

/** V8 is told only of what its collector can release: of what a scope releases it would make a collection of its own in every large step. */
function watch(owner: Owned): void {
  if (owner.held.watched || owner.isDisposed) return
  owner.held.watched = true
  account(owner.held.bytes + HISTORY)
  registry.register(owner, owner.held, owner)
}

/** Releases a handle at once. */
export function abandon(owner: Owned): void {
  if (owner.held.watched) registry.unregister(owner)
  discard(owner.held)
}

function discard({ id, bytes, watched }: Held): void {
  count.tensors--
  count.bytes -= bytes
  release(id, watched ? bytes + HISTORY : 0)
}

/** Runs `fn`; whatever was made in it and is not in `kept(result)` is disposed; the rest belongs to the outer scope. */
export function inScope<T>(fn: () => T, kept: (result: T) => Iterable<Owned>): T {
  const outer = scope
  const inner: Owned[] = []
  scope = inner
  let result: T
  try {
    result = fn()
  } catch (error) {
    scope = outer
    for (const owner of inner) owner.dispose()
    throw error
  }
  scope = outer
  if (inner.length === 0) return result
  const keep = new Set(kept(result))
  for (const owner of inner) {
    if (!keep.has(owner)) owner.dispose()
    else if (outer === undefined) watch(owner)
    else outer.push(owner)
  }
  return result
}

/** Takes a handle out of the scope it was made in: it lives until it is collected. */
export function unscope(owner: Owned): void {
  const index = scope?.lastIndexOf(owner) ?? -1
  if (index >= 0) scope?.splice(index, 1)
  watch(owner)
}

export function memoryCount(): MemoryCount {
  return { ...count }
}

export function resetPeak(): void {
  count.peakBytes = count.bytes
}
