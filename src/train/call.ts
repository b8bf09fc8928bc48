// Calls into functions of the user, and what they may return.
import { ArgumentError, CallbackError, QuarterturnError } from '../errors.js'
import { Tensor } from '../tensor/tensor.js'

/** What a loss may return beside a scalar: metrics then compare this prediction with this target, and nothing is computed twice. */
export interface Outputs {
  loss: Tensor
  prediction: Tensor
  target: Tensor
}

/** A loss: a scalar to be made small, alone or with the prediction and target behind it. Synchronous. */
export type Loss<M, B> = (model: M, batch: B) => Tensor | Outputs

export function isOutputs(value: unknown): value is Outputs {
  if (typeof value !== 'object' || value === null || value instanceof Tensor) return false
  const { loss, prediction, target } = value as Partial<Outputs>
  return loss instanceof Tensor && prediction instanceof Tensor && target instanceof Tensor
}

/** A scalar as a value of its own, without the graph behind it. */
export function scalar(value: unknown, name: string, op: string): Tensor {
  if (!(value instanceof Tensor) || value.size !== 1) {
    const got = value instanceof Tensor ? String(value) : value === null ? 'null' : typeof value
    throw new ArgumentError(`${op}: ${name} must return a scalar tensor, got ${got}`, {
      op,
      expected: 'a scalar tensor',
      got,
    })
  }
  const plain = value.detach()
  return plain.rank === 0 ? plain : plain.reshape([])
}

/** Calls a function of the user. An error of ours goes through as it is; anything else that it throws is told apart. */
export function called<T>(name: string, op: string, fn: () => T): T {
  try {
    return fn()
  } catch (cause) {
    if (cause instanceof QuarterturnError) throw cause
    throw callbackError(name, op, cause)
  }
}

export function callbackError(name: string, op: string, cause: unknown): CallbackError {
  return new CallbackError(`${op}: ${name} threw: ${cause instanceof Error ? cause.message : String(cause)}`, {
    op,
    got: name,
    cause,
  })
}
