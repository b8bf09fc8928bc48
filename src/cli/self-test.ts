// The self-test of `quarterturn doctor`: operations of libtorch and kernels of ours against values worked out here, one number at a time.
import { nn } from '../index.js'
import { grad, type Tensor, tensor, Variable } from '../tensor/index.js'

interface Check {
  name: string
  /** The largest difference from what is right, relative to 1. */
  error(): Promise<number>
}

const TOLERANCE = 1e-4
const X = [0.7, -0.4, 1.1]
const WEIGHTS = [0.5, -0.3, 0.8, 0.6]
const RECURRENT = [0.2, 0.7, -0.5, 0.4]

/** What is wrong, a line each; empty where all is right. */
export async function selfTest(): Promise<{ checks: string[]; wrong: string[] }> {
  const wrong: string[] = []
  for (const check of CHECKS) {
    try {
      const error = await check.error()
      if (!(error <= TOLERANCE)) wrong.push(`${check.name} is wrong by ${error.toPrecision(2)}`)
    } catch (cause) {
      wrong.push(`${check.name}: ${cause instanceof Error ? cause.message : String(cause)}`)
    }
  }
  return { checks: CHECKS.map(({ name }) => name), wrong }
}

const CHECKS: Check[] = [
  {
    // d Σ(A·A) / dA = rows of column sums + columns of row sums
    name: 'a product and its gradient',
    async error() {
      const a = new Variable(tensor([1, 2, 3, 4]).reshape([2, 2]))
      return difference(await grad(a.matmul(a).sum(), [a]).get(a).data(), [7, 11, 9, 13])
    },
  },
  {
    name: 'cross entropy',
    async error() {
      const loss = nn.functional.crossEntropy(tensor([[1, 2, 3]]), tensor([0], { dtype: 'int64' }))
      return difference([await loss.item()], [Math.log(1 + Math.E + Math.E ** 2)])
    },
  },
  {
    name: 'a gated scan',
    async error() {
      const { output } = nn.functional.gatedScan(sequence([0.5, 0.5, 0.5]), sequence(X))
      let h = 0
      return difference(
        await output.data(),
        X.map((x) => (h = 0.5 * h + x)),
      )
    },
  },
  { name: 'an LSTM and its gradient', error: () => recurrence(4, lstm, nn.functional.lstm) },
  { name: 'a GRU and its gradient', error: () => recurrence(3, gru, nn.functional.gru) },
]

type Layer = typeof nn.functional.lstm | typeof nn.functional.gru

/** A layer of one unit: its outputs, and the gradient of their sum for the input weights, against a central difference. */
async function recurrence(gates: number, reference: (weights: number[]) => number[], layer: Layer): Promise<number> {
  const weights = WEIGHTS.slice(0, gates)
  const column = (values: number[]): Tensor => tensor(values.map((value) => [value]))
  const weightIh = new Variable(column(weights))
  const { output } = layer(sequence(X), undefined, { weightIh, weightHh: column(RECURRENT.slice(0, gates)) })
  const gradient = grad(output.sum(), [weightIh]).get(weightIh)
  const step = 1e-5
  const sum = (k: number, by: number) =>
    reference(weights.map((weight, i) => (i === k ? weight + by : weight))).reduce((all, one) => all + one)
  const slopes = weights.map((_, k) => (sum(k, step) - sum(k, -step)) / (2 * step))
  return Math.max(difference(await output.data(), reference(weights)), difference(await gradient.data(), slopes))
}

function lstm(weights: number[]): number[] {
  let [h, c] = [0, 0]
  return X.map((x) => {
    const [i, f, g, o] = weights.map((weight, k) => weight * x + (RECURRENT[k] as number) * h) as [
      number,
      number,
      number,
      number,
    ]
    c = sigmoid(f) * c + sigmoid(i) * Math.tanh(g)
    h = sigmoid(o) * Math.tanh(c)
    return h
  })
}

function gru(weights: number[]): number[] {
  const [wr, wz, wn] = weights as [number, number, number]
  const [ur, uz, un] = RECURRENT as [number, number, number, number]
  let h = 0
  return X.map((x) => {
    const [r, z] = [sigmoid(wr * x + ur * h), sigmoid(wz * x + uz * h)]
    h = (1 - z) * Math.tanh(wn * x + r * un * h) + z * h
    return h
  })
}

/** [B=1, T, 1] */
function sequence(values: number[]): Tensor {
  return tensor([values.map((value) => [value])])
}

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x))
}

function difference(found: ArrayLike<number | bigint>, right: readonly number[]): number {
  if (found.length !== right.length) return Number.POSITIVE_INFINITY
  return Math.max(...right.map((value, i) => Math.abs(Number(found[i]) - value)))
}
