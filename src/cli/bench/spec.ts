// What is computed: the four models, their sizes, and weights and inputs that every contender starts from.

/** LSTM, GRU, minLSTM: the last step of x [B, T, I] through the layer [H], then a linear map to O. Residual block: x [B, I], F = H units within. */
export type Kind = 'lstm' | 'gru' | 'minlstm' | 'residual'
export type Size = 'small' | 'medium' | 'large'

export interface Spec {
  kind: Kind
  batch: number
  steps: number
  inputSize: number
  hiddenSize: number
  outputSize: number
  /** mse: the mean of squares against y [B, O]. crossEntropy: of labels y [B]. */
  loss: 'mse' | 'crossEntropy'
  /** Of Adam, β = 0.9 and 0.999, ε = 1e-8. */
  lr: number
}

export const KINDS: Readonly<Record<Kind, string>> = {
  lstm: 'LSTM',
  gru: 'GRU',
  minlstm: 'minLSTM',
  residual: 'Residual block',
}

/** B, T, I, H. */
const SIZES: Readonly<Record<Size, { recurrent: Sizes; residual: Sizes }>> = {
  small: { recurrent: [8, 32, 16, 32], residual: [32, 1, 64, 256] },
  medium: { recurrent: [16, 64, 32, 64], residual: [256, 1, 128, 512] },
  large: { recurrent: [32, 128, 64, 128], residual: [1024, 1, 256, 1024] },
}
type Sizes = readonly [batch: number, steps: number, inputSize: number, hiddenSize: number]

export const SIZE_NAMES = Object.keys(SIZES) as Size[]

export function specOf(kind: Kind, size: Size): Spec {
  const [batch, steps, inputSize, hiddenSize] = SIZES[size][kind === 'residual' ? 'residual' : 'recurrent']
  const outputSize = kind === 'residual' ? inputSize : 1
  return { kind, batch, steps, inputSize, hiddenSize, outputSize, loss: 'mse', lr: 1e-3 }
}

/** `B=16 T=64 I=32 H=64` */
export function describeSpec({ kind, batch, steps, inputSize, hiddenSize }: Spec): string {
  return kind === 'residual'
    ? `B=${batch} D=${inputSize} F=${hiddenSize}`
    : `B=${batch} T=${steps} I=${inputSize} H=${hiddenSize}`
}

export interface Weight {
  shape: number[]
  data: Float32Array
}

/**
 * The weights, under torch's names: those of the layer (gates in the order i, f, g, o; r, z, n; f, i, c) and `head.weight`, `head.bias`. Recurrent
 * layers have no bias: libraries disagree about how many there are, and Adam would move two as fast as one.
 */
export function weightsOf({ kind, inputSize, hiddenSize, outputSize }: Spec): Map<string, Weight> {
  const made = new Map<string, Weight>()
  const add = (name: string, shape: number[], scale: number, offset = 0) => {
    const data = hashed(
      shape.reduce((product, size) => product * size, 1),
      1000 * (made.size + 1),
      scale,
    )
    made.set(name, { shape, data: offset === 0 ? data : data.map((value) => value + offset) })
  }
  if (kind === 'residual') {
    add('norm.weight', [inputSize], 0.1, 1)
    add('norm.bias', [inputSize], 0.1)
    add('linear1.weight', [hiddenSize, inputSize], 1 / Math.sqrt(inputSize))
    add('linear1.bias', [hiddenSize], 0.1)
    add('linear2.weight', [inputSize, hiddenSize], 1 / Math.sqrt(hiddenSize))
    add('linear2.bias', [inputSize], 0.1)
    return made
  }
  const gates = { lstm: 4, gru: 3, minlstm: 3 }[kind]
  add('weight_ih_l0', [gates * hiddenSize, inputSize], 1 / Math.sqrt(hiddenSize))
  if (kind !== 'minlstm') add('weight_hh_l0', [gates * hiddenSize, hiddenSize], 1 / Math.sqrt(hiddenSize))
  add('head.weight', [outputSize, hiddenSize], 1 / Math.sqrt(hiddenSize))
  add('head.bias', [outputSize], 0.1)
  return made
}

/** x and y of the one batch that is timed. */
export function batchOf({ batch, steps, inputSize, outputSize }: Spec): { x: Float32Array; y: Float32Array } {
  return { x: hashed(batch * steps * inputSize, 77, 1), y: hashed(batch * outputSize, 78_901, 1) }
}

export function shapeOf({ kind, batch, steps, inputSize }: Spec): number[] {
  return kind === 'residual' ? [batch, inputSize] : [batch, steps, inputSize]
}

/** Numbers in [-scale, scale), the same in every process: a multiplicative hash of the position, exact in float64. */
function hashed(count: number, seed: number, scale: number): Float32Array {
  const out = new Float32Array(count)
  for (let i = 0; i < count; i++) out[i] = ((((i + seed) * 2654435761) % 4294967296) / 2147483648 - 1) * scale
  return out
}

/** [R, C] → [C, R], for libraries that keep weights the other way round. */
export function transposed({ shape, data }: Weight): Weight {
  const [rows, columns] = shape as [number, number]
  const out = new Float32Array(data.length)
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) out[c * rows + r] = data[r * columns + c] as number
  return { shape: [columns, rows], data: out }
}

/** Gates [G·H, …] in another order. */
export function reordered({ shape, data }: Weight, order: readonly number[]): Weight {
  const block = data.length / order.length
  const out = new Float32Array(data.length)
  for (const [to, from] of order.entries()) out.set(data.subarray(from * block, (from + 1) * block), to * block)
  return { shape, data: out }
}
