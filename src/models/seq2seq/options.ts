// What an EncoderDecoder is made of: its options, checked once, and what of them is saved.
import { type Carrier, carriers, Stack, type StackOptions } from '../../axis/index.js'
import { ArgumentError } from '../../errors.js'
import { whole } from '../../tensor/shape.js'
import type { Vocabulary } from '../../text/index.js'
import { told } from '../../told.js'
import { taken } from '../check.js'

/** Carriers along time and depth, as `axis.Stack` takes them; or the names under which `axis.carriers` has them, which a saved model keeps. */
export interface StackCell extends Pick<StackOptions, 'mlp' | 'norm' | 'tied'> {
  alongTime: Carrier | string
  /** Not for a carrier that fills both axes. @default 'residual' */
  alongDepth?: Carrier | string
}
/** What both sides are made of. */
export type Cell = 'lstm' | 'gru' | 'minLSTM' | 'transformer' | StackCell
/** How the decoder looks back at the source. */
export type Attending = 'none' | 'additive' | 'multiplicative'
/** Which tables are one. */
export type Tying = false | 'target' | 'all'

/** All of an EncoderDecoder but its vocabularies and first weights. */
export interface EncoderDecoderConfig {
  /** H: width of the embeddings, of the layers and of the sentence vector's parts. @default 256 */
  width: number
  /** K: layers of each of the two sides. @default 2 */
  numLayers: number
  /** Dropout between the layers, in training; in a Transformer also of embeddings, attention and branches. @default 0 */
  dropout: number
  /**
   * Whether the source is read from its end, which brings the first symbols of both sequences close together (2014, §3.3).
   * @default true, but false where both directions are read anyway and for a Transformer
   */
  reversed: boolean
  /** @default 'lstm' */
  cell: Cell
  /**
   * Additive (Bahdanau et al. 2015) or multiplicative (Luong et al. 2015, “general”) attention of the decoder's outputs to the source; the
   * Transformer has its own. What was attended to is not fed into the next step, so that all steps of the decoder are one operation. @default 'none'
   */
  attention: Attending
  /** Whether recurrences, Transformer layers and the head have biases; the system of 2014 has none. @default true */
  bias: boolean
  /** Whether the encoder reads both ways, each half as wide: its states side by side are what the decoder starts from. @default false */
  bidirectional: boolean
  /** Whether every layer after the first adds its input to its output, as in GNMT (Wu et al. 2016, §3.1). @default false */
  residual: boolean
  /** `'target'`: the decoder's embedding is the head's weight; `'all'`: and the encoder's embedding, of the same vocabulary. @default false */
  tied: Tying
  /** Weight of a uniform distribution mixed into the targets, in training (Szegedy et al. 2016). @default 0 */
  labelSmoothing: number
  /** Of a Transformer. @default 4 */
  heads: number
  /** The most symbols of a source. @default Infinity */
  maxSource: number
}

/** `source` and `target` are vocabularies or, where only sizes are asked for, their sizes. */
export interface EncoderDecoderOptions extends Partial<EncoderDecoderConfig> {
  /** The symbols that are read. */
  source: Vocabulary
  /** The symbols that are written. */
  target: Vocabulary
  /**
   * Every parameter of recurrences, embeddings, attention and head starts uniform within ± this; Transformer layers and stacks start as they do by
   * themselves. @default 0.08; beside a Transformer or stacks embeddings are normal of deviation 1/√H, and the others as `nn` makes them
   */
  initRange?: number | undefined
}

/** The system of 2014 (Sutskever, Vinyals and Le, §3.4): what `EncoderDecoder` takes beside the two vocabularies. */
export const paper2014 = {
  width: 1000,
  numLayers: 4,
  dropout: 0,
  reversed: true,
  cell: 'lstm',
  attention: 'none',
  bias: false,
  bidirectional: false,
  residual: false,
  tied: false,
  labelSmoothing: 0,
  initRange: 0.08,
} as const

export const KIND = 'EncoderDecoder'
const CELLS = ['lstm', 'gru', 'minLSTM', 'transformer']

/** The options with what was left out. @throws ArgumentError (`ERR_ARGUMENT`) that names the option. */
export function settled(given: Partial<EncoderDecoderConfig>): EncoderDecoderConfig {
  const {
    width = 256,
    numLayers = 2,
    dropout = 0,
    cell = 'lstm',
    attention = 'none',
    bias = true,
    bidirectional = false,
    residual = false,
    tied = false,
    labelSmoothing = 0,
    heads = 4,
    maxSource = Number.POSITIVE_INFINITY,
    reversed = cell !== 'transformer' && !bidirectional,
  } = taken(given, KIND)
  whole(width, 'width', KIND, 1)
  whole(numLayers, 'numLayers', KIND, 1)
  whole(heads, 'heads', KIND, 1)
  if (maxSource !== Number.POSITIVE_INFINITY) whole(maxSource, 'maxSource', KIND, 1)
  oneOf('attention', attention, ['none', 'additive', 'multiplicative'])
  oneOf('tied', tied, [false, 'target', 'all'])
  for (const [name, value] of Object.entries({ reversed, bias, bidirectional, residual }))
    oneOf(name, value, [true, false])
  for (const [name, value] of Object.entries({ dropout, labelSmoothing }))
    if (!(typeof value === 'number' && value >= 0 && value < 1)) throw bad(name, '0 … 1, below 1', value)
  const options = { width, numLayers, dropout, reversed, cell, attention, bias, bidirectional, residual, tied }
  checkCell(options)
  if (cell === 'transformer') {
    if (width % 2 !== 0) throw bad('width', 'even for a Transformer', width)
    if (width % heads !== 0) throw bad('heads', `a divisor of width ${width}`, heads)
  }
  return { ...options, labelSmoothing, heads, maxSource }
}

/** What belongs to recurrences alone. */
function checkCell(config: Omit<EncoderDecoderConfig, 'labelSmoothing' | 'heads' | 'maxSource'>): void {
  const { width, cell, attention, bias, bidirectional, residual, reversed } = config
  const stacked = typeof cell === 'object' && cell !== null
  if (!stacked && !CELLS.includes(cell as string))
    throw bad('cell', `${CELLS.join(', ')} or { alongTime, alongDepth }`, cell)
  const name = stacked ? 'an axis.Stack' : 'a Transformer'
  if (stacked || cell === 'transformer') {
    if (bidirectional) throw bad('bidirectional', `false for ${name}`, bidirectional)
    if (residual) throw bad('residual', `false for ${name}, which has its own way along depth`, residual)
  }
  if (stacked && !bias) throw bad('bias', `true for ${name}, whose carriers have their own`, bias)
  if (cell === 'transformer' && attention !== 'none')
    throw bad('attention', "'none' for a Transformer, which has its own", attention)
  if (bidirectional && reversed) throw bad('reversed', 'false where both directions are read', reversed)
  if (bidirectional && width % 2 !== 0) throw bad('width', 'even where both directions are read', width)
}

/** The stack of one side. */
export function stackOf({ width, numLayers, dropout, cell }: EncoderDecoderConfig): Stack {
  const { alongTime, alongDepth, ...options } = cell as StackCell
  return new Stack({
    ...options,
    width,
    layers: numLayers,
    dropout,
    alongTime: carrierOf('time', alongTime),
    ...(alongDepth === undefined ? {} : { alongDepth: carrierOf('depth', alongDepth) }),
  })
}

function carrierOf(axis: 'time' | 'depth', given: Carrier | string): Carrier {
  if (typeof given !== 'string') return given
  const known = new Map(
    carriers.flatMap((row) => Object.entries({ ...row[axis], ...(axis === 'time' ? row.both : {}) })),
  )
  const make = known.get(given)
  if (make === undefined) throw bad(axis === 'time' ? 'alongTime' : 'alongDepth', [...known.keys()].join(', '), given)
  return make()
}

export function oneOf(name: string, value: unknown, allowed: readonly unknown[], op = KIND): void {
  if (!allowed.includes(value)) throw bad(name, allowed.map(String).join(', '), value, op)
}

/** An option outside its domain. */
export function bad(name: string, expected: string, got: unknown, op = KIND): ArgumentError {
  return new ArgumentError(`${op}: ${name} must be ${expected}, got ${told(got)}`, { op, expected, got: told(got) })
}
