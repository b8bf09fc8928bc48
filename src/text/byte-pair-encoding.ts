// BytePairEncoding: pieces of words, learnt from texts. The work is done in crates/text, by the crate tokenizers.
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import type { BytePairEncoder } from '../../index.js'
import { ArgumentError, DataError, EngineError, FileError } from '../errors.js'
import { native } from '../native.js'
import { writeWhole } from '../tensor/whole-file.js'
import { told } from '../told.js'
import { checkArray, checkIterable, checkText } from './check.js'
import type { Codec } from './codec.js'
import { EOS_ID, PAD_ID, Vocabulary } from './vocabulary.js'

export interface BytePairOptions {
  /** The most pieces, `<PAD>`, `<EOS>` and the 256 bytes included: at least 258. @default 8000 */
  size?: number
  /** A pair that occurs less often is not joined. @default 2 */
  minCount?: number
  /** Whether texts are read in lower case; then texts come back in lower case. @default false */
  lowercase?: boolean
}

/** Texts that cross to the engine together, between turns of the event loop. */
const BLOCK = 4096

/**
 * Byte-pair encoding over bytes (Sennrich, Haddow and Birch 2016; over bytes: Radford et al. 2019):
 *
 *     pieces ← <PAD>, <EOS>, the 256 bytes;   until there are `size`: join the most frequent pair of neighbouring pieces
 *
 * within words, numbers, marks and white space, a space going with what follows it. Every text is a sequence of bytes, so nothing is unknown, `coverage` is
 * always 1, and `decodeText(encodeText(x))` is x for every Unicode text, `<EOS>` written out included (in lower case with `lowercase`; a lone surrogate, which is no
 * Unicode, becomes U+FFFD). Numbers that end within a character, which only a model writes, give U+FFFD. In `vocabulary` pieces are written as GPT-2 has them:
 * one character for each byte, `Ġ` for a space.
 *
 * @example
 * const pairs = await text.BytePairEncoding.train(['the king and the sea', 'the king'], { size: 300 })
 * pairs.tokenize('the king')   // ['the', 'Ġking']
 * pairs.decodeText(pairs.encodeText('a ship, 東京'))   // 'a ship, 東京'
 * await pairs.save('tokenizer.json')
 * const again = await text.BytePairEncoding.load('tokenizer.json')
 */
export class BytePairEncoding implements Codec {
  readonly vocabulary: Vocabulary
  readonly #encoder: BytePairEncoder

  /** @internal */
  constructor(encoder: BytePairEncoder) {
    if (!(encoder instanceof native().BytePairEncoder))
      throw wrong('BytePairEncoding', 'the first argument', 'what train, load or fromJSON give', encoder)
    this.#encoder = encoder
    this.vocabulary = new Vocabulary(encoder.pieces().slice(2))
  }

  /**
   * Learns pieces from texts (of both languages, for one vocabulary of both), on all cores, off the JavaScript thread. The result does not depend on the order of
   * the texts or on the number of threads. Where the texts have too few pairs, there are fewer pieces than `size`.
   *
   * @throws ArgumentError (`ERR_ARGUMENT`) for a size below 258, other options that cannot be used, and for what is not text.
   */
  static async train(
    texts: Iterable<string> | AsyncIterable<string>,
    options: BytePairOptions = {},
  ): Promise<BytePairEncoding> {
    const op = 'BytePairEncoding.train'
    const { size = 8000, minCount = 2, lowercase = false } = options ?? {}
    for (const [name, value, least] of [
      ['size', size, 258],
      ['minCount', minCount, 1],
    ] as const) {
      if (!Number.isInteger(value) || value < least || value >= 2 ** 31)
        throw wrong(op, name, `a whole number ≥ ${least}`, value)
    }
    if (typeof lowercase !== 'boolean') throw wrong(op, 'lowercase', 'true or false', lowercase)
    const blocks: ReturnType<typeof pack>[] = []
    for await (const block of blocksOf(texts, op)) blocks.push(pack(block))
    return new BytePairEncoding(await attempt(op, () => native().trainBytePairs(blocks, { size, minCount, lowercase })))
  }

  /**
   * What `toJSON` gave: the contents of a tokenizer.json.
   *
   * @throws DataError (`ERR_DATA`) for anything but byte-pair encoding over bytes with `<PAD>` as its number 0 and `<EOS>` as 1.
   */
  static fromJSON(json: object): BytePairEncoding {
    const op = 'BytePairEncoding.fromJSON'
    if (typeof json !== 'object' || json === null) throw wrong(op, 'json', 'an object', json)
    return parsed(JSON.stringify(json), op)
  }

  /**
   * Reads a tokenizer.json, as `save` or Hugging Face's `tokenizers` wrote it.
   *
   * @throws FileError (`ERR_IO`) where the file cannot be read; DataError (`ERR_DATA`) as `fromJSON`.
   */
  static async load(path: string): Promise<BytePairEncoding> {
    const op = 'BytePairEncoding.load'
    const file = checkPath(path, op)
    return parsed(await onDisk(file, op, () => readFile(file, 'utf8')), op, `${file}: `)
  }

  /**
   * Writes a tokenizer.json, whole or not at all, which Hugging Face's `tokenizers` reads too. (There `<EOS>` within a text is read as the symbol, not as five
   * characters, unless `encode_special_tokens` is set.)
   *
   * @throws FileError (`ERR_IO`) where the file system refuses.
   */
  async save(path: string): Promise<void> {
    const op = 'BytePairEncoding.save'
    const file = checkPath(path, op)
    await onDisk(file, op, () => writeWhole(file, [`${JSON.stringify(this.toJSON())}\n`]))
  }

  get size(): number {
    return this.vocabulary.size
  }

  /** Whether there is such a piece. */
  has(piece: string): boolean {
    return this.vocabulary.has(piece)
  }

  tokenize(text: string): string[] {
    return this.encodeText(text).map((id) => this.vocabulary.symbols[id] as string)
  }

  /** @throws ArgumentError (`ERR_ARGUMENT`) for what is no piece. */
  detokenize(pieces: readonly string[]): string {
    return this.decodeText(
      this.vocabulary.encode(checkArray(pieces, 'BytePairEncoding.detokenize', 'an array of pieces')),
    )
  }

  encodeText(text: string): number[] {
    const op = 'BytePairEncoding.encodeText'
    return Array.from(attemptNow(op, () => this.#encoder.encode(checkText(text, op))))
  }

  /** `encodeText` for each of many texts, on all cores, off the JavaScript thread. */
  async encodeTexts(texts: Iterable<string> | AsyncIterable<string>): Promise<number[][]> {
    const op = 'BytePairEncoding.encodeTexts'
    const all: number[][] = []
    for await (const block of blocksOf(texts, op)) {
      const { ids, ends } = await attempt(op, () => this.#encoder.encodeAll(pack(block)))
      for (const [i, end] of ends.entries()) all.push(Array.from(ids.subarray(ends[i - 1] ?? 0, end)))
    }
    return all
  }

  /** @throws ArgumentError (`ERR_ARGUMENT`) for a number that is no piece's. */
  decodeText(ids: Iterable<number>): string {
    const op = 'BytePairEncoding.decodeText'
    const known: number[] = []
    for (const id of checkIterable(ids, op, 'numbers of pieces')) {
      if (id === EOS_ID) break
      if (!(Number.isInteger(id) && id >= 0 && id < this.size))
        throw wrong(op, 'each number', `within 0 … ${this.size - 1}`, id)
      if (id !== PAD_ID) known.push(id)
    }
    return attemptNow(op, () => this.#encoder.decode(Uint32Array.from(known)))
  }

  /** 1: there is no text that bytes do not spell. */
  coverage(text: string): number {
    checkText(text, 'BytePairEncoding.coverage')
    return 1
  }

  /** The contents of a tokenizer.json. */
  toJSON(): object {
    return JSON.parse(attemptNow('BytePairEncoding.toJSON', () => this.#encoder.toJson())) as object
  }
}

/** Texts of an iterable by the block; between two the event loop has a turn. */
async function* blocksOf(texts: Iterable<string> | AsyncIterable<string>, op: string): AsyncGenerator<string[]> {
  const given = texts as AsyncIterable<string> | null | undefined
  const isAsync = typeof given === 'object' && given !== null && typeof given[Symbol.asyncIterator] === 'function'
  if (typeof texts === 'string') throw wrong(op, 'texts', 'several texts', 'one')
  const all = isAsync ? given : checkIterable(texts as Iterable<string>, op, 'texts')
  let block: string[] = []
  for await (const text of all) {
    block.push(checkText(text, op))
    if (block.length < BLOCK) continue
    yield block
    block = []
    await setImmediate()
  }
  if (block.length > 0) yield block
}

/** Texts, one after another in UTF-8, and where each ends. */
function pack(texts: readonly string[]): { bytes: Uint8Array; ends: Uint32Array } {
  // Two halves of a surrogate pair must not meet where two texts do.
  const whole = texts.map((text) => text.replace(/\p{Surrogate}/gu, '\ufffd'))
  const ends = new Uint32Array(whole.length)
  let end = 0
  for (const [i, text] of whole.entries()) {
    end += Buffer.byteLength(text)
    ends[i] = end
  }
  return { bytes: Buffer.from(whole.join('')), ends }
}

function parsed(json: string, op: string, name = ''): BytePairEncoding {
  return new BytePairEncoding(attemptNow(op, () => native().BytePairEncoder.fromJson(json), name))
}

function checkPath(path: unknown, op: string): string {
  if (typeof path === 'string' && path !== '' && !path.includes('\0')) return resolve(path)
  throw wrong(op, 'the path', 'a path', path)
}

async function onDisk<T>(path: string, op: string, body: () => Promise<T>): Promise<T> {
  try {
    return await body()
  } catch (cause) {
    const { code = 'an unknown error' } = cause as NodeJS.ErrnoException
    throw new FileError(`${op}: ${path}: ${code}`, { op, got: code, cause })
  }
}

async function attempt<T>(op: string, body: () => Promise<T>): Promise<T> {
  try {
    return await body()
  } catch (cause) {
    throw explained(cause, op, '')
  }
}

function attemptNow<T>(op: string, body: () => T, name = ''): T {
  try {
    return body()
  } catch (cause) {
    throw explained(cause, op, name)
  }
}

/** The addon says `CODE: message`. */
function explained(cause: unknown, op: string, name: string): unknown {
  const [, code, message] = /^(ERR_[A-Z]+): (.*)$/s.exec((cause as Error)?.message ?? '') ?? []
  const text = `${op}: ${name}${message}`
  switch (code) {
    case 'ERR_ARGUMENT':
      return new ArgumentError(text, { op, cause })
    case 'ERR_DATA':
      return new DataError(text, { op, cause })
    case 'ERR_ENGINE':
    case 'ERR_PANIC':
      return new EngineError(text, { op, cause }, code)
    default:
      return cause
  }
}

function wrong(op: string, name: string, expected: string, got: unknown): ArgumentError {
  return new ArgumentError(`${op}: ${name} must be ${expected}, got ${told(got)}`, { op, expected, got: told(got) })
}
