// Layer: a function with parameters that keeps what its backward pass needs.
import { ArgumentError, CheckpointError, ShapeError } from '../errors.js'
import { Parameter, type Shape } from './parameter.js'

/** Values of a checkpoint. */
export interface Values {
  shape: Shape
  data: ArrayLike<number>
}

/**
 * The base class. What `forward` and `backward` return belongs to the layer, which writes over it at its next call: copy what is to stay. `x` must
 * stay as it is until `backward` is done.
 */
export abstract class Layer {
  /** The shape of what the last forward pass gave. */
  outputShape: Shape = []

  /** @throws ShapeError (`ERR_SHAPE`) where x does not fit. */
  abstract forward(x: Float32Array, shape: Shape): Float32Array

  /**
   * From the gradient of the output of the last forward pass to that of its input; adds the gradients of the parameters to `grad`. Once after each
   * forward pass.
   */
  abstract backward(dy: Float32Array): Float32Array

  /** Its parameters by the keys that they have in torch: `weight_ih_l0`, `0.weight`. */
  parameters(): Map<string, Parameter> {
    return new Map(named(this.members(), ''))
  }

  /** Names and values of the fields that may be or hold parameters. */
  protected members(): Iterable<readonly [string, unknown]> {
    return Object.entries(this)
  }

  /**
   * Takes the values of all parameters from a checkpoint, of any layer of the same sizes, also one of `nn`.
   *
   * @throws CheckpointError (`ERR_CHECKPOINT`) for keys that are missing or left over, and other shapes.
   */
  loadStateDict(state: ReadonlyMap<string, Values>): this {
    const parameters = this.parameters()
    const missing = [...parameters.keys()].filter((key) => !state.has(key))
    const extra = [...state.keys()].filter((key) => !parameters.has(key))
    if (missing.length + extra.length > 0)
      throw new CheckpointError(
        `loadStateDict: missing keys: ${missing.join(', ') || 'none'}; keys of no parameter: ${extra.join(', ') || 'none'}`,
        { op: 'loadStateDict', expected: missing.join(', '), got: extra.join(', ') },
      )
    for (const [key, { shape }] of parameters) {
      const given = (state.get(key) as Values).shape
      if (String(given) === String(shape)) continue
      const [expected, got] = [show(shape), show(given)]
      throw new CheckpointError(`loadStateDict: ${key} must be ${expected}, got ${got}`, {
        op: 'loadStateDict',
        expected,
        got,
      })
    }
    for (const [key, { data }] of parameters) data.set((state.get(key) as Values).data)
    return this
  }
}

function* named(members: Iterable<readonly [string, unknown]>, prefix: string): Generator<[string, Parameter]> {
  for (const [key, value] of members) {
    if (value instanceof Parameter) yield [prefix + key, value]
    else if (value instanceof Layer)
      for (const [name, each] of value.parameters()) yield [`${prefix}${key}.${name}`, each]
    else if (Array.isArray(value)) yield* named(Object.entries(value), `${prefix}${key}.`)
  }
}

export function show(shape: Shape): string {
  return `[${shape.join(', ')}]`
}

export function elements(shape: Shape): number {
  return shape.reduce((product, size) => product * size, 1)
}

/** The number of rows of x […, width]. @throws ShapeError unless that is its shape, and x has as many elements. */
export function rowsOf(op: string, x: ArrayLike<number>, shape: Shape, width: number, letter = 'I'): number {
  if (shape.length === 0 || shape[shape.length - 1] !== width)
    throw wrongShape(op, 'input', `[…, ${letter}=${width}]`, show(shape))
  needElements(op, x, shape)
  return elements(shape.slice(0, -1))
}

/** @throws ShapeError unless x has the elements of its shape. */
export function needElements(op: string, x: ArrayLike<number>, shape: Shape): void {
  if (x.length !== elements(shape)) throw wrongShape(op, 'input', `the elements of ${show(shape)}`, `${x.length}`)
}

/** @throws ShapeError unless dy has the elements of the last output; ArgumentError where there is none. */
export function needGradient(op: string, dy: Float32Array, rows: number, width: number): void {
  if (rows < 0)
    throw new ArgumentError(`${op}: backward must follow a forward pass, once`, {
      op,
      expected: 'forward before backward',
      got: 'backward',
    })
  if (dy.length !== rows * width)
    throw wrongShape(op, 'the gradient', `of ${rows * width} elements, as the output`, `${dy.length}`)
}

export function wrongShape(op: string, what: string, expected: string, got: string): ShapeError {
  return new ShapeError(`${op}: ${what} must be ${expected}, got ${got}`, { op, expected, got })
}
