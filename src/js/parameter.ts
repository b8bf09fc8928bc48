// Parameter: numbers that training changes, beside their gradient.
import { ArgumentError } from '../errors.js'
import { random } from './random.js'

export type Shape = readonly number[]

/** Weights or a bias: float32, row by row. */
export class Parameter {
  readonly shape: Shape
  readonly data: Float32Array
  /** The gradients of all backward passes since the last step of the optimizer, added up. */
  readonly grad: Float32Array

  constructor(shape: Shape, data = new Float32Array(shape.reduce((product, size) => product * size, 1))) {
    this.shape = shape
    this.data = data
    this.grad = new Float32Array(data.length)
  }
}

/** Uniform on ± bound. */
export function uniform(shape: Shape, bound: number): Parameter {
  const made = new Parameter(shape)
  for (let i = 0; i < made.data.length; i++) made.data[i] = (2 * random() - 1) * bound
  return made
}

/** Every element `value`. */
export function constant(shape: Shape, value: number): Parameter {
  const made = new Parameter(shape)
  made.data.fill(value)
  return made
}

/** @throws ArgumentError unless the value is a whole number ≥ `least`. */
export function whole(value: number, name: string, op: string, least = 1): number {
  if (Number.isSafeInteger(value) && value >= least) return value
  const expected = `a whole number ≥ ${least}`
  throw new ArgumentError(`${op}: ${name} must be ${expected}, got ${String(value)}`, {
    op,
    expected,
    got: String(value),
  })
}

export function show(shape: Shape): string {
  return `[${shape.join(', ')}]`
}
