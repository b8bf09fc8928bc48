// Layers against PyTorch's: its state dict is loaded, then outputs, every gradient, and ten steps of training with each optimizer are compared.
import { fileURLToPath } from 'node:url'
import {
  arange,
  cat,
  type Device,
  devices,
  full,
  grad,
  loadCheckpointFile,
  nn,
  optim,
  type Tensor,
  tensor,
  Variable,
} from 'quarterturn'
import { beforeAll, describe, expect, test } from 'vitest'
import { expectClose } from '../tolerances.js'
import { cotangent, numbersOf } from './checkOp.js'

type Float = 'float64' | 'float32'
type Named = Record<string, Tensor>

interface LayerCase {
  /** Our kernels alone compute it. */
  onCpu?: true
  make(): nn.Module
  forward(model: never, inputs: Named): Named
}

/** The `Residual` of layers.py: a residual block with a projection, pooled and classified. */
class Residual extends nn.Module {
  conv1 = new nn.Conv2d(2, 4, 3, { stride: 2, padding: 1, bias: false })
  bn1 = new nn.BatchNorm2d(4)
  conv2 = new nn.Conv2d(4, 4, 3, { padding: 1, bias: false })
  bn2 = new nn.BatchNorm2d(4)
  shortcut = new nn.Sequential(new nn.Conv2d(2, 4, 1, { stride: 2, bias: false }), new nn.BatchNorm2d(4))
  pool = new nn.MaxPool2d(2)
  average = new nn.AdaptiveAvgPool2d(1)
  head = new nn.Linear(4, 3)

  forward(x: Tensor): Tensor {
    const inner = this.bn1.forward(this.conv1.forward(x)).relu()
    const sum = this.bn2.forward(this.conv2.forward(inner)).add(this.shortcut.forward(x)).relu()
    return this.head.forward(this.average.forward(this.pool.forward(sum)).flatten(1))
  }
}

/** The `Decoder` of layers.py. */
class Decoder extends nn.TransformerDecoder {
  constructor() {
    super(8, 2, { numLayers: 2, normFirst: true, dimFeedforward: 12, dropout: 0 })
  }
}

/** Their outputs side by side. */
class Activations extends nn.Module {
  each = [
    new nn.ELU(0.7),
    new nn.SELU(),
    new nn.CELU(2),
    new nn.Mish(),
    new nn.ReLU6(),
    new nn.Hardtanh({ low: -0.3, high: 0.5 }),
    new nn.LogSigmoid(),
    new nn.Softsign(),
    new nn.PReLU(4),
    new nn.PReLU(),
    new nn.GLU(),
  ]

  forward(x: Tensor): Tensor {
    return cat(
      this.each.map((activation) => activation.forward(x)),
      -1,
    )
  }
}

const plain = (model: nn.Layer, { x, index }: Named): Named => ({ output: model.forward((x ?? index) as Tensor) })
const lstm = (model: nn.LSTM, { x, h, c }: Named, options?: nn.ForwardOptions): Named => {
  const { output, state } = model.forward(x as Tensor, h && c && { h, c }, options)
  return { output, ...state }
}
type Hidden = nn.GRU | nn.RNN | nn.MinGRU | nn.MinLSTM
const hidden = (model: Hidden, { x, h }: Named, options?: nn.ForwardOptions): Named => {
  const { output, state } = model.forward(x as Tensor, h && { h }, options)
  return { output, ...state }
}
/** Those of layers.py. */
const lengths = [3, 5, 2]
/** true where there is a key. */
const present = (x: Tensor): Tensor =>
  arange(x.shape[1] as number)
    .to(x.device)
    .lt(tensor(lengths, { dtype: 'int64', device: x.device }).reshape([3, 1]))
/** Added to the products: −∞ above the diagonal. */
const causalMask = ({ shape: [, T = 0], dtype, device }: Tensor): Tensor =>
  full([T, T], -Infinity, { dtype: dtype as 'float64', device }).triu(1)
const one = (output: Tensor): Named => ({ output })
const small = { dimFeedforward: 12, dropout: 0 }
const deep = { numLayers: 2, bidirectional: true }

const layers: Record<string, LayerCase> = {
  lstm: { make: () => new nn.LSTM(3, 4, deep), forward: lstm },
  gru: { make: () => new nn.GRU(3, 4, deep), forward: hidden },
  rnn: { make: () => new nn.RNN(3, 4, deep), forward: hidden },
  lstmWithoutBiasOrState: { make: () => new nn.LSTM(3, 4, { numLayers: 2, bias: false }), forward: lstm },
  rnnRelu: { make: () => new nn.RNN(3, 4, { nonlinearity: 'relu' }), forward: hidden },
  lstmWithLengths: {
    make: () => new nn.LSTM(3, 4, { ...deep, recompute: 2 }),
    forward: (model: nn.LSTM, inputs) => lstm(model, inputs, { lengths }),
    onCpu: true,
  },
  gruWithLengths: {
    make: () => new nn.GRU(3, 4, deep),
    forward: (model: nn.GRU, inputs) => hidden(model, inputs, { lengths: tensor(lengths, { dtype: 'int64' }) }),
    onCpu: true,
  },
  rnnWithLengths: {
    make: () => new nn.RNN(3, 4, deep),
    forward: (model: nn.RNN, inputs) => hidden(model, inputs, { lengths }),
    onCpu: true,
  },
  lstmProjected: { make: () => new nn.LSTM(3, 4, { ...deep, projSize: 2 }), forward: lstm },
  minGRU: { make: () => new nn.MinGRU(3, 4, deep), forward: hidden },
  minLSTM: { make: () => new nn.MinLSTM(3, 4, { ...deep, positive: true }), forward: hidden },
  highway: { make: () => new nn.Highway(5, { layers: 2 }), forward: plain },
  residualMLP: { make: () => new nn.ResidualMLP(5, 7), forward: plain },
  linear: { make: () => new nn.Linear(5, 3), forward: plain },
  embedding: { make: () => new nn.Embedding(7, 3, { paddingIndex: 2 }), forward: plain },
  layerNorm: { make: () => new nn.LayerNorm(5), forward: plain },
  batchNorm1d: { make: () => new nn.BatchNorm1d(3), forward: plain },
  conv2d: { make: () => new nn.Conv2d(4, 6, [3, 2], { stride: [2, 1], padding: [1, 0], groups: 2 }), forward: plain },
  residual: { make: () => new Residual(), forward: plain },
  activations: { make: () => new Activations(), forward: plain },
  rmsNorm: { make: () => new nn.RMSNorm(5), forward: plain },
  groupNorm: { make: () => new nn.GroupNorm(2, 4), forward: plain },
  conv1d: { make: () => new nn.Conv1d(4, 6, 3, { stride: 2, padding: 1, dilation: 2, groups: 2 }), forward: plain },
  convTranspose1d: {
    make: () => new nn.ConvTranspose1d(4, 6, 3, { stride: 2, padding: 1, outputPadding: 1, groups: 2 }),
    forward: plain,
  },
  convTranspose2d: {
    make: () => new nn.ConvTranspose2d(3, 2, [3, 2], { stride: [2, 1], padding: [1, 0], dilation: [1, 2] }),
    forward: plain,
  },
  pools: {
    make: () =>
      new nn.Sequential(
        new nn.Conv1d(2, 3, 1),
        new nn.MaxPool1d(3, { stride: 1, padding: 1 }),
        new nn.AvgPool1d(2),
        new nn.AdaptiveAvgPool1d(4),
        new nn.Upsample({ scaleFactor: 2, mode: 'linear' }),
      ),
    forward: plain,
  },
  attention: {
    make: () => new nn.MultiheadAttention(8, 2),
    forward: (model: nn.MultiheadAttention, { x }) =>
      one(model.forward(x as Tensor, { keyMask: present(x as Tensor) })),
  },
  attentionToMemory: {
    make: () => new nn.MultiheadAttention(8, 4),
    forward: (model: nn.MultiheadAttention, { x, key, value }) => one(model.forward(x as Tensor, { key, value })),
  },
  encoderLayer: {
    make: () => new nn.TransformerEncoderLayer(8, 2, { ...small, activation: 'gelu' }),
    forward: (model: nn.TransformerEncoderLayer, { x }) =>
      one(model.forward(x as Tensor, { keyMask: present(x as Tensor) })),
  },
  encoderLayerNormFirst: {
    make: () => new nn.TransformerEncoderLayer(8, 2, { ...small, normFirst: true, bias: false }),
    forward: (model: nn.TransformerEncoderLayer, { x }) =>
      one(model.forward(x as Tensor, { mask: causalMask(x as Tensor) })),
  },
  decoderLayer: {
    make: () => new nn.TransformerDecoderLayer(8, 2, small),
    forward: (model: nn.TransformerDecoderLayer, { x, memory }) =>
      one(model.forward(x as Tensor, memory as Tensor, { causal: true })),
  },
  decoder: {
    make: () => new Decoder(),
    forward: (model: Decoder, { x, memory }) =>
      one(model.forward(x as Tensor, memory as Tensor, { causal: true, memoryKeyMask: present(memory as Tensor) })),
  },
  weightNorm: {
    make: () => new nn.Sequential(nn.weightNorm(new nn.Linear(4, 5)), nn.weightNorm(new nn.Linear(5, 3), { dim: 1 })),
    forward: plain,
  },
  weightNormOfImages: { make: () => nn.weightNorm(new nn.Conv2d(2, 3, [2, 3])), forward: plain },
  spectralNorm: { make: () => nn.spectralNorm(new nn.Linear(4, 5)), forward: plain },
  spectralNormOfImages: {
    make: () => nn.spectralNorm(new nn.ConvTranspose2d(3, 2, 2), { dim: 1, iterations: 2 }),
    forward: plain,
  },
}

const optimizers = {
  sgd: (parameters: Variable[]) => new optim.SGD(parameters, { lr: 0.05, momentum: 0.9, weightDecay: 0.01 }),
  adamw: (parameters: Variable[]) => new optim.AdamW(parameters, { lr: 0.01, weightDecay: 0.05 }),
}

let file: Map<string, Tensor>
/** The names of all state dict entries in PyTorch's order. */
let order: string[]

beforeAll(async () => {
  const { tensors, metadata } = await loadCheckpointFile(
    fileURLToPath(new URL('fixtures/layers.safetensors', import.meta.url)),
  )
  const made = JSON.parse(metadata.made as string) as { torch: string; order: string[] }
  expect(made.torch).toMatch(/^2\.11\.0\b/)
  file = tensors
  order = made.order
})

/** One layer in one dtype on one device, with PyTorch's weights. */
class Setup {
  readonly model: nn.Module
  readonly #layer: LayerCase

  constructor(
    readonly name: string,
    readonly dtype: Float,
    readonly device: Device,
  ) {
    this.#layer = layers[name] as LayerCase
    this.model = this.#layer.make().to(device).to(dtype)
    const state = this.part('state')
    const keys = order.filter((key) => key.startsWith(`${name}/`)).map((key) => key.slice(`${name}/state/`.length))
    expect([...this.model.stateDict().keys()], 'keys of the state dict, in order').toEqual(keys)
    this.model.loadStateDict(Object.fromEntries(Object.entries(state).map(([key, value]) => [key, this.#here(value)])))
  }

  /** The tensors of the fixture under layer/part, in float64 on the CPU. */
  part(part: string): Named {
    const prefix = `${this.name}/${part}/`
    return Object.fromEntries(
      [...file].flatMap(([key, value]) => (key.startsWith(prefix) ? [[key.slice(prefix.length), value]] : [])),
    )
  }

  #here(x: Tensor): Tensor {
    return x.dtype === 'int64' ? x.to(this.device) : x.to(this.dtype, this.device)
  }

  inputs(leaves: boolean): Named {
    const variable = (x: Tensor): Tensor => (leaves && x.dtype !== 'int64' ? new Variable(x) : x)
    return Object.fromEntries(Object.entries(this.part('input')).map(([key, x]) => [key, variable(this.#here(x))]))
  }

  target(): Tensor {
    return this.#here(this.part('target').output as Tensor)
  }

  forward(inputs: Named): Named {
    return this.#layer.forward(this.model as never, inputs)
  }

  async compare(actual: Named, part: string, loose = 1): Promise<void> {
    const expected = this.part(part)
    expect(Object.keys(actual).sort(), part).toEqual(Object.keys(expected).sort())
    for (const [key, y] of Object.entries(actual)) {
      const other = expected[key] as Tensor
      expect(y.shape, `${part} ${key}: shape`).toEqual(other.shape)
      const [found, wanted] = await Promise.all([numbersOf(y), numbersOf(other)])
      if (part === 'adamw after' && key.endsWith('in_proj_bias')) {
        // Attention does not depend on the bias of the keys: its gradient is rounding alone, of which AdamW makes whole steps.
        for (const list of [found, wanted]) list.splice(list.length / 3, list.length / 3)
      }
      expectClose(found, wanted, y.dtype, `${part} ${key}`, loose)
    }
  }
}

describe.each(devices())('on %s', (device) => {
  const names = Object.keys(layers).filter((name) => device === 'cpu' || layers[name]?.onCpu !== true)

  describe.each(['float64', 'float32'] as const)('%s', (dtype) => {
    test.each(names)('%s: state dict, outputs, every gradient, and outputs in eval mode', async (name) => {
      const setup = new Setup(name, dtype, device)
      const inputs = setup.inputs(true)
      const outputs = setup.forward(inputs)
      await setup.compare(outputs, 'output')

      const named = Object.entries(inputs).map(([key, x]): [string, Tensor] => [`input ${key}`, x])
      const leaves = [...named, ...setup.model.namedParameters()].filter(([, x]) => x.requiresGrad)
      const loss = Object.values(outputs)
        .map((y, k) => y.mul(cotangent(y, k)).sum())
        .reduce((a, b) => a.add(b))
      const gradients = grad(
        loss,
        leaves.map(([, x]) => x),
      )
      await setup.compare(Object.fromEntries(leaves.map(([key, x]) => [key, gradients.get(x)])), 'gradient')

      setup.model.eval()
      await setup.compare(setup.forward(inputs), 'evaluated')
    })

    const trainings = names.flatMap((name) =>
      Object.keys(optimizers).map((optimizer): [string, keyof typeof optimizers] => [name, optimizer as never]),
    )
    test.each(trainings)('ten losses of %s with %s, and the state after them', async (name, optimizerName) => {
      const setup = new Setup(name, dtype, device)
      const inputs = setup.inputs(false)
      const target = setup.target()
      const parameters = setup.model.parameters()
      const optimizer = optimizers[optimizerName](parameters)
      const losses: Tensor[] = []
      for (let step = 0; step < 10; step++) {
        const loss = nn.functional.mseLoss(setup.forward(inputs).output as Tensor, target)
        optimizer.step(grad(loss, parameters))
        losses.push(loss)
      }
      const found = tensor(await Promise.all(losses.map((loss) => loss.item())), { dtype: 'float64' })
      await setup.compare({ losses: found.to(dtype) }, optimizerName, 10) // each of ten steps adds its rounding
      await setup.compare(Object.fromEntries(setup.model.stateDict()), `${optimizerName} after`, 10) // the same
    })
  })
})

describe.skipIf(devices().length > 1)('on cuda', () => {
  test.skip(`${Object.keys(layers).length} layers: there is no CUDA device here`, () => {})
})
