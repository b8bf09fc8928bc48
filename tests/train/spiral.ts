// A small problem for tests of training: two spirals, a net with dropout, and bits to compare.
import { createHash } from 'node:crypto'
import { data, dropout, matmul, nn, normal, optim, type Tensor, train, Variable } from 'quarterturn'

export const rows = 200

const points = Array.from({ length: rows }, (_, i) => {
  const [arm, angle] = [i % 2, 0.5 + (3 * i) / rows]
  return [Math.cos(angle + arm * Math.PI) * angle, Math.sin(angle + arm * Math.PI) * angle]
})
const arms = points.map((_, i) => i % 2)

export class Net extends nn.Module {
  first = new Variable(normal([2, 16]))
  firstBias = new Variable(normal([16]))
  second = new Variable(normal([16, 2], 0, 0.3))

  forward(x: Tensor): Tensor {
    const hidden = matmul(x, this.first).add(this.firstBias).tanh()
    return matmul(this.training ? dropout(hidden, 0.2) : hidden, this.second)
  }
}

export interface Points {
  x: Tensor
  y: Tensor
}

export const loss = (model: Net, { x, y }: Points): Tensor => nn.functional.crossEntropy(model.forward(x), y)
export const adamW = optim.adamW({ lr: 0.01 })

export const loader = (options: data.LoaderOptions<{ x: number[][]; y: number[] }> = {}) =>
  new data.Loader({ x: points, y: arms }, { batch: 16, shuffle: true, seed: 5, ...options })

/** Options of a quiet run. */
export const quiet = { loss, optimizer: adamW, seed: 7, progress: false } as const

export function fit(
  model: Net,
  options: Partial<train.FitOptions<Net, Points & { step: number }>> = {},
  batches = loader(),
): Promise<train.History> {
  return train.fit(model, batches, { ...quiet, ...options })
}

/** All weights as one hash. */
export async function digest(model: nn.Module): Promise<string> {
  const hash = createHash('sha256')
  for (const [name, tensor] of model.stateDict())
    hash.update(name).update(new Uint8Array((await tensor.data()).buffer as ArrayBuffer))
  return hash.digest('hex')
}
