// Pairs as batches for training.
import { Loader } from '../../data/index.js'
import type { Tensor } from '../../tensor/index.js'
import { EOS_ID, PAD_ID } from '../../text/index.js'
import { checkList, checkRecords, taken } from '../check.js'
import { KIND, oneOf } from './options.js'
import { type Symbols, sourceIds, type Writer } from './sources.js'

/** A sequence and what is to be written for it. */
export interface Pair {
  source: Symbols
  target: Symbols
}

/** Pairs as numbers of the vocabularies. */
export interface PairBatch {
  /** int64 [B, S], in the order of the text, without `<EOS>`, filled up with `<PAD>` */
  source: Tensor
  /** int64 [B, T], ending in `<EOS>`, filled up with `<PAD>` */
  target: Tensor
}

export interface PairLoaderOptions {
  /** @default 128 */
  batch?: number
  /** @default true */
  shuffle?: boolean
  /** Where the shuffles start (default: drawn from the ambient generator). */
  seed?: number | bigint
  /** Whether batches hold pairs of near-equal length, so that little of them is padding; otherwise whatever comes. @default true */
  bucket?: boolean
}

export type PairLoader = Loader<{ source: number[][]; target: number[][] }>

/** See `EncoderDecoder.loader`. */
export function pairLoader(
  { source, target, config }: Pick<Writer, 'source' | 'target' | 'config'>,
  pairs: readonly Pair[],
  options: PairLoaderOptions,
): PairLoader {
  const op = `${KIND}.loader`
  const { batch = 128, shuffle = true, seed, bucket = true } = taken(options, op)
  oneOf('bucket', bucket, [true, false], op)
  const given = checkRecords(pairs, 'pairs', op)
  const sources = given.map((pair) => pair.source)
  const fields = {
    source: sourceIds({ source, config }, sources, op),
    target: given.map((pair) => [...target.encode(checkList(pair.target, 'each target', op)), EOS_ID]),
  }
  return new Loader(fields, {
    batch,
    shuffle,
    padding: { source: PAD_ID, target: PAD_ID },
    ...(bucket ? { bucketBy: ['source', 'target'] as const } : {}),
    ...(seed === undefined ? {} : { seed }),
  })
}
