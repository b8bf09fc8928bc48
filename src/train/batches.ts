// Batches: what training, evaluation and prediction take data from, and how they go through it.
import { Loader } from '../data/loader.js'
import { StreamLoader } from '../data/stream.js'
import { ArgumentError } from '../errors.js'
import { Pace } from '../tensor/pace.js'
import { tensorsIn } from '../tensor/tree.js'

/**
 * What a run takes batches from: a `data.Loader`, or any iterable of batches that can be gone through once per epoch. Exact resume needs `state` and
 * `restore`; without them a resumed epoch is entered by passing over the batches that were done.
 */
export interface Batches<B> {
  [Symbol.asyncIterator]?(): AsyncIterator<B>
  [Symbol.iterator]?(): Iterator<B>
  /** Batches of an epoch, for the progress line. */
  readonly length?: number
  state?(): unknown
  // The state is the loader's own; a run only carries it.
  restore?(state: never): void
}

export function checkBatches(data: Batches<unknown>, name: string, op: string): void {
  if (typeof data === 'object' && data !== null && (Symbol.asyncIterator in data || Symbol.iterator in data)) return
  const expected = 'a data.Loader or another iterable of batches'
  const got = data === null ? 'null' : typeof data
  throw new ArgumentError(`${op}: ${name} must be ${expected}, got ${got}`, { op, expected, got })
}

/** The batches of any iterable, with the back pressure that a Loader has by itself. */
export function paced<B>(data: Batches<B>): AsyncIterable<B> {
  return makesBatches(data) ? (data as unknown as AsyncIterable<B>) : withPace(data)
}

async function* withPace<B>(data: Batches<B>): AsyncGenerator<B, void, undefined> {
  const pace = new Pace()
  for await (const batch of data as AsyncIterable<B> | Iterable<B>) {
    yield batch
    await pace.turn()
  }
}

/** How many rows a batch has: the first axis of its first tensor. */
export function rowsOf(batch: unknown): number {
  return tensorsIn(batch)[0]?.shape[0] ?? 1
}

/** Frees a batch that the loader made for this turn alone. */
export function discard(data: Batches<unknown>, batch: unknown): void {
  if (makesBatches(data)) for (const tensor of tensorsIn(batch)) tensor.dispose()
}

/** Whether the batches are tensors of the library's own making, at its own pace. */
function makesBatches(data: Batches<unknown>): boolean {
  return data instanceof Loader || data instanceof StreamLoader
}
