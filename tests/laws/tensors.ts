// From the library's tensors to the plain arrays of the reference.
import { grad, type Tensor, type Variable } from 'quarterturn'
import type { Vec } from './reference/vector.js'

/** All elements, in order. */
export async function numbers(x: Tensor): Promise<Vec> {
  return Array.from((await x.data()) as ArrayLike<number>)
}

/** The rows of a matrix. */
export async function toVecs(x: Tensor): Promise<Vec[]> {
  const [rows = 0, columns = 0] = x.shape
  const values = await numbers(x)
  return Array.from({ length: rows }, (_, i) => values.slice(i * columns, (i + 1) * columns))
}

/** The gradients of a scalar, one list of numbers for each variable. */
export async function gradientsOf(loss: Tensor, variables: Variable[]): Promise<Vec[]> {
  const gradients = grad(loss, variables)
  return Promise.all(variables.map((variable) => numbers(gradients.get(variable))))
}
