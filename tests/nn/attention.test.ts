// Attention layers: what masks hide, order, positions, dropout; what they refuse. Numbers are held to PyTorch's in tests/parity.
import {
  checkpoint,
  grad,
  manualSeed,
  memory,
  nn,
  normal,
  optim,
  type Tensor,
  tensor,
  Variable,
  zeros,
} from 'quarterturn'
import { beforeEach, describe, expect, test } from 'vitest'
import { expectClose } from '../tolerances.js'

beforeEach(() => void manualSeed(12))
const f64 = { dtype: 'float64' } as const
const code = (name: string) => expect.objectContaining({ code: name })
const numbers = async (x: Tensor): Promise<number[]> => Array.from((await x.data()) as Float64Array)

describe('MultiheadAttention', () => {
  const layer = (): nn.MultiheadAttention => new nn.MultiheadAttention(8, 2, f64)

  test('causal is a mask below the diagonal, added masks are those of bool, and keyMask is a mask for every query', async () => {
    const [attention, x] = [layer(), normal([2, 4, 8], 0, 1, f64)]
    const lower = [0, 1, 2, 3].map((i) => [0, 1, 2, 3].map((j) => j <= i))
    const seen = tensor(lower)
    const added = tensor(
      lower.map((row) => row.map((see) => (see ? 0 : -Infinity))),
      f64,
    )
    const causal = await numbers(attention.forward(x, { causal: true }))
    expectClose(await numbers(attention.forward(x, { mask: seen })), causal, 'float64', 'bool')
    expectClose(await numbers(attention.forward(x, { mask: added })), causal, 'float64', 'added')
    const keyMask = tensor([
      [true, true, false, true],
      [true, false, true, true],
    ])
    const rows = keyMask.reshape([2, 1, 4])
    const both = rows.logicalAnd(seen)
    const expected = await numbers(attention.forward(x, { mask: both }))
    for (const options of [
      { causal: true, keyMask },
      { mask: seen, keyMask },
      { mask: added, keyMask },
    ])
      expectClose(await numbers(attention.forward(x, options)), expected, 'float64', 'both')
    expectClose(await numbers(attention.forward(x, { mask: both.unsqueeze(1) })), expected, 'float64', 'by head')
  })

  test('padding changes neither the other outputs nor their gradients', async () => {
    const attention = layer()
    const short = normal([1, 3, 8], 0, 1, f64)
    const run = async (garbage: number): Promise<number[]> => {
      const x = short.mul(1).reshape([1, 3, 8])
      const padded = nn.functional.pad(x, [0, 0, 0, 2], { value: garbage })
      const keyMask = tensor([[true, true, true, false, false]])
      const y = attention.forward(padded, { keyMask }).slice(1, 0, 3)
      const gradients = grad(y.square().sum(), attention.parameters())
      const each = await Promise.all(attention.parameters().map((p) => numbers(gradients.get(p))))
      return [...(await numbers(y)), ...each.flat()]
    }
    const [zero, large] = [await run(0), await run(50)]
    expectClose(large, zero, 'float64', 'padding', 1e4) // 50² times what the sums hold otherwise
    expectClose(zero.slice(0, 24), await numbers(attention.forward(short)), 'float64', 'alone')
  })

  test('one product or three give the same: self-attention is attention to a copy', async () => {
    const [attention, x] = [layer(), normal([2, 3, 8], 0, 1, f64)]
    const [same, copy] = [x.clone(), x.clone()]
    const expected = await numbers(attention.forward(x))
    expectClose(await numbers(attention.forward(x, { key: same })), expected, 'float64', 'key')
    expectClose(await numbers(attention.forward(x, { key: same, value: copy })), expected, 'float64', 'value')
  })

  test('dropout acts in training only', async () => {
    const attention = new nn.MultiheadAttention(8, 2, { dropout: 0.5 })
    const x = normal([2, 6, 8])
    expect(await numbers(attention.forward(x))).not.toEqual(await numbers(attention.forward(x)))
    attention.eval()
    expect(await numbers(attention.forward(x))).toEqual(await numbers(attention.forward(x)))
  })

  test('its temporaries are freed', () => {
    const [attention, x] = [layer().eval(), zeros([2, 3, 8], f64)]
    const before = memory().tensors
    const y = attention.forward(x, {
      keyMask: tensor([
        [true, true, true],
        [true, true, false],
      ]),
    })
    expect(memory().tensors).toBe(before + 2)
    expect(y.isDisposed).toBe(false)
  })

  test('refuses sizes, masks and options that do not fit, in the terms of the user', () => {
    const attention = new nn.MultiheadAttention(8, 2)
    const x = zeros([2, 3, 8])
    expect(() => new nn.MultiheadAttention(8, 3)).toThrow('numHeads must be a divisor of embedDim 8, got 3')
    expect(() => new nn.MultiheadAttention(8, 2, { dropout: 2 })).toThrow(code('ERR_ARGUMENT'))
    expect(() => attention.forward(zeros([2, 8]))).toThrow('query must be [B, L, E=8], got [2, 8]')
    expect(() => attention.forward(x, { key: zeros([1, 3, 8]) })).toThrow('key must be [B=2, S, E=8], got [1, 3, 8]')
    expect(() => attention.forward(x, { key: x.clone(), value: zeros([2, 4, 8]) })).toThrow(/as the key is/)
    expect(() => attention.forward(x, { keyMask: tensor([[true]]) })).toThrow('keyMask must be [B=2, S=3], got [1, 1]')
    expect(() => attention.forward(x, { keyMask: zeros([2, 3]) })).toThrow(code('ERR_DTYPE'))
    expect(() => attention.forward(x, { mask: tensor([[true]]).expand([4, 4]) })).toThrow(code('ERR_SHAPE'))
  })
})

describe('Transformer', () => {
  test('a causal encoder does not look ahead; a decoder sees all of the memory', async () => {
    const options = { numLayers: 2, dimFeedforward: 12, dropout: 0, ...f64 }
    const [encoder, decoder] = [new nn.TransformerEncoder(8, 2, options), new nn.TransformerDecoder(8, 2, options)]
    const [x, memory] = [normal([1, 5, 8], 0, 1, f64), normal([1, 4, 8], 0, 1, f64)]
    const changed = nn.functional.pad(x.slice(1, 0, 4), [0, 0, 0, 1], { value: 3 })
    for (const run of [
      (y: Tensor) => encoder.forward(y, { causal: true }),
      (y: Tensor) => decoder.forward(y, memory, { causal: true }),
    ]) {
      const [a, b] = [await numbers(run(x)), await numbers(run(changed))]
      expectClose(b.slice(0, 32), a.slice(0, 32), 'float64', 'past')
      expect(b.slice(32)).not.toEqual(a.slice(32))
    }
    const last = nn.functional.pad(memory.slice(1, 0, 3), [0, 0, 0, 1], { value: 3 })
    const a = await numbers(decoder.forward(x, memory, { causal: true }))
    const b = await numbers(decoder.forward(x, last, { causal: true }))
    expect(b.slice(0, 8)).not.toEqual(a.slice(0, 8))
  })

  test('layers start differently, and the last norm comes with normFirst', () => {
    const keys = (options: nn.TransformerStackOptions): string[] => [
      ...new nn.TransformerEncoder(8, 2, { numLayers: 1, dimFeedforward: 4, ...options }).stateDict().keys(),
    ]
    expect(keys({}).filter((key) => !key.startsWith('layers.'))).toEqual([])
    expect(keys({ normFirst: true }).slice(-2)).toEqual(['norm.weight', 'norm.bias'])
    expect(keys({ normFirst: true, norm: false }).slice(-1)).toEqual(['layers.0.norm2.bias'])
    expect(keys({ norm: true, bias: false }).slice(-1)).toEqual(['norm.weight'])
    const { layers } = new nn.TransformerEncoder(8, 2, { numLayers: 2, dimFeedforward: 4 })
    expect(layers[0]?.linear1.weight).not.toBe(layers[1]?.linear1.weight)
  })

  test('a tiny encoder learns to reverse: the loss falls to a tenth', async () => {
    class Reverse extends nn.Module {
      embed = new nn.Embedding(6, 16)
      positions = new nn.SinusoidalPositions(16)
      encoder = new nn.TransformerEncoder(16, 2, { numLayers: 1, dimFeedforward: 32, dropout: 0, normFirst: true })
      head = new nn.Linear(16, 6)
      forward(words: Tensor): Tensor {
        return this.head.forward(this.encoder.forward(this.positions.forward(this.embed.forward(words))))
      }
    }
    const model = new Reverse()
    const rows = Array.from({ length: 32 }, (_, i) => [0, 1, 2, 3, 4].map((j) => (i * (j + 1) + j * j) % 6))
    const x = tensor(rows, { dtype: 'int64' })
    const y = tensor(
      rows.map((row) => [...row].reverse()),
      { dtype: 'int64' },
    )
    const optimizer = new optim.AdamW(model.parameters(), { lr: optim.schedules.warmup(1e-2, { steps: 5 }) })
    const losses: Tensor[] = []
    for (let step = 0; step < 80; step++) {
      const loss = nn.functional.crossEntropy(model.forward(x), y)
      optimizer.step(grad(loss, model.parameters()))
      losses.push(loss)
    }
    const [first, last] = [await losses[0]?.item(), await losses.at(-1)?.item()]
    expect(last as number).toBeLessThan((first as number) / 10)
  })

  test('within checkpoint, also at their first call, layers give the gradients that they give without', async () => {
    const make = [
      () => new nn.TransformerEncoderLayer(4, 2, { dimFeedforward: 6, dropout: 0.3, ...f64 }),
      () => new nn.SinusoidalPositions(4),
      () => nn.weightNorm(new nn.Linear(4, 3, f64)),
      () => new nn.Mish(),
    ]
    for (const one of make) {
      const layer: nn.Layer = one()
      const x = new Variable(normal([2, 3, 4], 0, 1, f64))
      const leaves = [x, ...layer.parameters()]
      const run = async (forward: (z: Tensor) => Tensor): Promise<number[]> => {
        manualSeed(5)
        const gradients = grad(forward(x).square().sum(), leaves)
        return (await Promise.all(leaves.map((leaf) => numbers(gradients.get(leaf))))).flat()
      }
      const inside = await run((z) => checkpoint((y: Tensor) => layer.forward(y), z))
      expectClose(inside, await run((z) => layer.forward(z)), 'float64', layer.constructor.name)
    }
  })

  test('in bfloat16 with float32 masters a causal model learns its sequence', async () => {
    class Model extends nn.Module {
      embed = new nn.Embedding(12, 16)
      positions = new nn.LearnedPositions(8, 16)
      encoder = new nn.TransformerEncoder(16, 2, { numLayers: 1, dimFeedforward: 32, dropout: 0, normFirst: true })
      head = new nn.Linear(16, 12)
      forward(words: Tensor): Tensor {
        return this.head.forward(
          this.encoder.forward(this.positions.forward(this.embed.forward(words)), { causal: true }),
        )
      }
    }
    const model = new Model().to('bfloat16')
    const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-2, masters: true })
    const x = tensor([[3, 1, 4, 1, 5, 9, 2, 6]], { dtype: 'int64' })
    const y = tensor([[1, 4, 1, 5, 9, 2, 6, 5]], { dtype: 'int64' })
    const losses: Tensor[] = []
    for (let step = 0; step < 40; step++) {
      const loss = nn.functional.crossEntropy(model.forward(x).to('float32'), y)
      optimizer.step(grad(loss, model.parameters()).clipByNorm(1), { notFinite: 'error' })
      losses.push(loss)
    }
    expect(await losses.at(-1)?.item()).toBeLessThan(((await losses[0]?.item()) as number) / 10)
  })

  test('refuses an activation and sizes that are none', () => {
    expect(() => new nn.TransformerEncoderLayer(8, 2, { activation: 'tanh' as never })).toThrow(code('ERR_ARGUMENT'))
    expect(() => new nn.TransformerDecoderLayer(8, 2, { dimFeedforward: 0 })).toThrow(code('ERR_ARGUMENT'))
    expect(() => new nn.TransformerEncoder(8, 2, { numLayers: 0 })).toThrow(code('ERR_ARGUMENT'))
  })
})

describe('positions', () => {
  test('sinusoidal: sines and cosines of the paper, whatever came before; no state', async () => {
    const positions = new nn.SinusoidalPositions(6)
    expect(positions.stateDict().size).toBe(0)
    const row = (t: number): number[] =>
      [0, 1, 2].flatMap((i) => [Math.sin(t / 10_000 ** (i / 3)), Math.cos(t / 10_000 ** (i / 3))])
    for (const [length, offset] of [
      [3, 0],
      [2, 100],
      [1, 5],
    ] as const) {
      const expected = Array.from({ length }, (_, t) => row(t + offset)).flat()
      const y = positions.forward(zeros([1, length, 6], f64), { offset })
      expectClose(await numbers(y), expected, 'float64', `${length} from ${offset}`)
    }
    expectClose(
      await numbers(positions.forward(zeros([1, 2, 6]))),
      [row(0), row(1)].flat().map(Math.fround),
      'float32',
      'another dtype',
    )
    expect(() => new nn.SinusoidalPositions(5)).toThrow(code('ERR_ARGUMENT'))
    expect(() => positions.forward(zeros([1, 2, 5]))).toThrow(code('ERR_SHAPE'))
  })

  test('learned: rows of the weight, from the offset on', async () => {
    const positions = new nn.LearnedPositions(4, 2)
    const rows = (await positions.weight.toArray()) as number[][]
    const y = positions.forward(zeros([2, 2, 2]), { offset: 1 })
    expect(await y.toArray()).toEqual([rows.slice(1, 3), rows.slice(1, 3)])
    const gradient = grad(y.sum(), [positions.weight]).get(positions.weight)
    expect(await gradient.toArray()).toEqual([0, 2, 2, 0].map((g) => [g, g]))
    expect(() => positions.forward(zeros([1, 3, 2]), { offset: 2 })).toThrow('there are at most 4 positions, got 5')
  })

  test('rotary: products depend on distances alone, lengths stay', async () => {
    const { rotary } = nn.functional
    const [q, k] = [normal([1, 8], 0, 1, f64), normal([1, 8], 0, 1, f64)]
    const product = async (i: number, j: number): Promise<number> =>
      rotary(q, { offset: i })
        .mul(rotary(k, { offset: j }))
        .sum()
        .item()
    expect(await product(7, 4)).toBeCloseTo(await product(13, 10), 12)
    expect(await product(7, 4)).not.toBeCloseTo(await product(7, 5), 3)
    expect(await rotary(q, { offset: 9 }).square().sum().item()).toBeCloseTo(await q.square().sum().item(), 12)
    const turned = await numbers(rotary(tensor([[1, 0]], f64), { offset: 2 }))
    expectClose(turned, [Math.cos(2), Math.sin(2)], 'float64', 'one pair')
    expect(() => rotary(zeros([3, 3]))).toThrow(code('ERR_SHAPE'))
    expect(() => rotary(zeros([3, 4]), { base: 0 })).toThrow(code('ERR_ARGUMENT'))
  })
})
