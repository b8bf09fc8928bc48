// Layer: a function with parameters that keeps what its backward pass needs.
import { ArgumentError, ShapeError } from '../errors.js'
import { Module } from './module.js'
import { type Shape, show } from './parameter.js'

/**
 * The base class. What `forward` and `backward` return belongs to the layer, which writes over it at its next call: copy what is to stay. `x` must
 * stay as it is until `backward` is done.
 */
export abstract class Layer extends Module {
  /** The shape of what the last forward pass gave. */
  outputShape: Shape = []

  /** @throws ShapeError (`ERR_SHAPE`) where x does not fit. */
  abstract forward(x: Float32Array, shape: Shape): Float32Array

  /**
   * From the gradient of the output of the last forward pass to that of its input; adds the gradients of the parameters to `grad`. Once after each
   * forward pass. Without `inputGradient` the first layer of a network is spared a product: what it gives then has no meaning.
   */
  abstract backward(dy: Float32Array, inputGradient?: boolean): Float32Array
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
