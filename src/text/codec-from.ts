// codecFrom: the codec that a file of a saved model holds.
import { DataError } from '../errors.js'
import { BytePairEncoding } from './byte-pair-encoding.js'
import { type Codec, SymbolCodec, type SymbolCodecJSON } from './codec.js'

/**
 * The codec whose `toJSON` gave this: a `SymbolCodec` or a `BytePairEncoding`.
 *
 * @throws DataError (`ERR_DATA`) for anything else; ArgumentError (`ERR_ARGUMENT`) for symbols that no `Vocabulary` takes.
 */
export function codecFrom(json: unknown): Codec {
  if (typeof json === 'object' && json !== null && !Array.isArray(json)) {
    if ('symbols' in json && 'tokenizer' in json) return SymbolCodec.fromJSON(json as SymbolCodecJSON)
    if ('model' in json) return BytePairEncoding.fromJSON(json)
  }
  throw new DataError('codecFrom: this is neither a SymbolCodec nor a tokenizer.json', { op: 'codecFrom' })
}
