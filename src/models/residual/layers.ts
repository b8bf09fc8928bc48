// What the blocks of residual networks are built of: convolutions as He et al. start them, and norms that may have become part of them.
import * as nn from '../../nn/index.js'
import { isFloat } from '../../tensor/dtype.js'
import type { DType, Tensor } from '../../tensor/index.js'

/**
 * A convolution that keeps the size but for its stride. It has no bias unless its norm was folded into it, and starts normal with deviation √(2 / fan out)
 * (He et al. 2015, equation 14).
 */
export function convolution(
  input: number,
  output: number,
  { kernel = 3, stride = 1, bias = false }: { kernel?: number; stride?: number; bias?: boolean } = {},
): nn.Conv2d {
  const made = new nn.Conv2d(input, output, kernel, { stride, padding: Math.floor(kernel / 2), bias })
  const weight = nn.init.kaimingNormal(made.weight.shape, { mode: 'fanOut', nonlinearity: 'relu' })
  return Object.assign(made, { weight, ...(bias ? { bias: nn.init.zeros([output]) } : {}) })
}

/** The norm after a convolution, absent where it was folded into it. */
export type Norm = nn.BatchNorm2d | undefined

export function normOf(channels: number, folded: boolean): Norm {
  return folded ? undefined : new nn.BatchNorm2d(channels)
}

/** relu(norm(x)), before a convolution. */
export function activated(norm: Norm, x: Tensor): Tensor {
  return norm === undefined ? x.relu() : norm.forward(x, { relu: true })
}

/** norm(conv(x)), then + residual and a ReLU where asked for: as few passes over memory as there are operations for, in one place. */
export function convolved(conv: nn.Conv2d, norm: Norm, x: Tensor, after: nn.AfterConv = {}): Tensor {
  return norm === undefined ? conv.forward(x, after) : norm.forward(conv.forward(x), after as nn.AfterNorm)
}

/** The same image with its channels side by side in memory, as libtorch's convolutions on the CPU are fastest; shape and values stay. */
export function channelsLast(x: Tensor): Tensor {
  return x.permute([0, 2, 3, 1]).clone().permute([0, 3, 1, 2])
}

/** Images as the network reads them: floats as they are, whole numbers as bytes, divided by 255. */
export function brightness(x: Tensor, dtype: DType): Tensor {
  return isFloat(x.dtype) ? x.to(dtype) : x.to(dtype).div(255)
}
