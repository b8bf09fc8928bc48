// The fused blocks along depth, as functions. All compute float32, and float64 in plain code, on the CPU; gradients for every input, once.

import type { Nonlinearity } from '../tensor/ops/recurrent.js'
import { needOptions } from '../tensor/options.js'
import { record } from '../tensor/record.js'
import { call, Tensor } from '../tensor/tensor.js'

/**
 * A stack of highway layers: the coupled gates of a recurrence, along depth.
 * ```
 * h = φ(W_h x_k + b_h)      t = σ(W_t x_k + b_t)      x_(k+1) = t ⊙ h + (1 − t) ⊙ x_k      k = 0 … K−1
 * ```
 * Shapes: x […, D] → […, D]; weight [K, 2·D, D] and bias [K, 2·D], of each layer first the rows of h, then those of t; φ is ReLU or tanh.
 * Errors: `ERR_SHAPE`, `ERR_DTYPE`, `ERR_DEVICE`. Not in torch. Source: Srivastava et al. 2015 (Highway Networks), equation 3.
 */
export function highway(x: Tensor, weight: Tensor, bias?: Tensor, given: { nonlinearity?: Nonlinearity } = {}): Tensor {
  const { nonlinearity = 'relu' } = needOptions(given, 'highway')
  return call('highway', [x, weight, bias], { nonlinearity })
}

export interface ResidualNormOptions {
  /** [D], absent: ones */
  weight?: Tensor | undefined
  /** [D], absent: zeros */
  bias?: Tensor | undefined
  /** By the root of the mean square, without subtracting the mean. @default false */
  rms?: boolean
  /** @default 1e-5 */
  eps?: number
}

/**
 * A residual addition and the norm that follows it, in one pass.
 * ```
 * s = x + r
 * layer norm:  y = (s − mean(s)) / √(variance(s) + eps) ⊙ weight + bias      the variance divided by D
 * rms:         y = s / √(mean(s²) + eps) ⊙ weight + bias
 * ```
 * Shapes: x, residual (absent: zeros) […, D] → output y and sum s, both […, D]: s is the stream that goes on. Errors: `ERR_SHAPE`, `ERR_DTYPE`,
 * `ERR_DEVICE`. As torch's `layer_norm(x + r)` and `rms_norm(x + r)`. Source: Ba et al. 2016; Zhang and Sennrich 2019.
 */
export function residualNorm(
  x: Tensor,
  residual?: Tensor,
  given: ResidualNormOptions = {},
): { output: Tensor; sum: Tensor } {
  const { weight, bias, rms = false, eps = 1e-5 } = needOptions(given, 'residualNorm')
  const results = record('residualNorm', [x, residual, weight, bias], { rms, eps })
  const [output, sum] = results.map((result) => new Tensor(result))
  return { output: output as Tensor, sum: sum as Tensor }
}

/** Weights of a residual MLP: F hidden units between two linear maps. */
export interface ResidualMLPWeights {
  /** [D], absent: ones */
  normWeight?: Tensor | undefined
  /** [D], absent: zeros */
  normBias?: Tensor | undefined
  /** [F, D] */
  weight1: Tensor
  /** [F], absent: zeros */
  bias1?: Tensor | undefined
  /** [D, F] */
  weight2: Tensor
  /** [D], absent: zeros */
  bias2?: Tensor | undefined
}

/**
 * The pre-norm residual block of two linear maps.
 * ```
 * n = (x − mean(x)) / √(variance(x) + eps) ⊙ normWeight + normBias      u = W₁ n + b₁      y = x + W₂ gelu(u) + b₂
 * gelu(u) = u/2 · (1 + tanh(√(2/π) (u + 0.044715 u³)))
 * ```
 * Shapes: x […, D] → […, D]. Errors: `ERR_SHAPE`, `ERR_DTYPE`, `ERR_DEVICE`. As torch's `layer_norm`, `linear`, `gelu(approximate='tanh')`,
 * `linear`. Source: He et al. 2016 (identity shortcut); Xiong et al. 2020 (norm before the branch); Hendrycks and Gimpel 2016 (GELU).
 */
export function residualMLP(x: Tensor, given: ResidualMLPWeights, options: { eps?: number } = {}): Tensor {
  const { eps = 1e-5 } = needOptions(options, 'residualMLP')
  const { normWeight, normBias, weight1, bias1, weight2, bias2 } = needOptions(given, 'residualMLP')
  return call('residualMLP', [x, normWeight, normBias, weight1, bias1, weight2, bias2], { eps })
}
