// Reversible blocks: the ordinary form's outputs and gradients, random numbers and statistics once, the inverse, and memory that depth does not change.
import { readFileSync } from 'node:fs'
import { cat, grad, manualSeed, memory, nn, normal, type Tensor, Variable, zeros } from 'quarterturn'
import { beforeEach, describe, expect, test } from 'vitest'
import { numbersOf } from '../parity/checkOp.js'
import { expectClose } from '../tolerances.js'

const f64 = { dtype: 'float64' } as const
const code = (name: string) => expect.objectContaining({ code: name })
beforeEach(() => void manualSeed(3))

function ordinary({ blocks, dim }: nn.Reversible, x: Tensor): Tensor {
  const size = x.shape[dim] as number
  let [a, b] = [x.slice(dim, 0, size / 2), x.slice(dim, size / 2)]
  for (const { f, g } of blocks) {
    a = a.add(f.forward(b))
    b = b.add(g.forward(a))
  }
  return cat([a, b], dim)
}

const mlp = (width: number) =>
  new nn.Sequential(new nn.Linear(width, 7, f64), new nn.Tanh(), new nn.Linear(7, width, f64))
const branches: Record<string, () => nn.Layer> = {
  maps: () => mlp(3),
  'maps and dropout': () => new nn.Sequential(mlp(3), new nn.Dropout(0.4)),
  'layer norms': () => new nn.Sequential(new nn.LayerNorm(3, f64), mlp(3)),
}

describe('Reversible', () => {
  test.each(Object.keys(branches))('%s: outputs and gradients of the ordinary form', async (name) => {
    const make = branches[name] as () => nn.Layer
    const net = new nn.Reversible(Array.from({ length: 4 }, () => ({ f: make(), g: make() })))
    const x = new Variable(normal([5, 6], 0, 1, f64))
    const leaves = [x, ...net.parameters()]
    const run = async (forward: () => Tensor): Promise<number[][]> => {
      manualSeed(9)
      const y = forward()
      const gradients = grad(y.sin().sum(), leaves)
      return Promise.all([y, ...leaves.map((leaf) => gradients.get(leaf))].map(numbersOf))
    }
    const [ours, theirs] = [await run(() => net.forward(x)), await run(() => ordinary(net, x))]
    // The inputs come back up to rounding, block by block.
    for (const [i, values] of theirs.entries()) expectClose(ours[i] as number[], values, 'float64', `value ${i}`, 100)
  })

  test('what lies before and behind takes part; frozen parameters and shared branches too', async () => {
    const shared = mlp(2)
    const net = new nn.Reversible([
      { f: shared, g: mlp(2) },
      { f: shared, g: mlp(2) },
    ])
    const [first, last] = [new nn.Linear(3, 4, f64), new nn.Linear(4, 1, f64)]
    const [frozen] = (net.blocks[0] as nn.ReversiblePair).g.parameters() as [Variable]
    frozen.requiresGrad = false
    const x = normal([6, 3], 0, 1, f64)
    const leaves = [
      ...first.parameters(),
      ...net.parameters().filter(({ requiresGrad }) => requiresGrad),
      ...last.parameters(),
    ]
    const run = async (inner: (x: Tensor) => Tensor): Promise<number[][]> => {
      const gradients = grad(
        last
          .forward(inner(first.forward(x)))
          .square()
          .sum(),
        leaves,
      )
      return Promise.all(leaves.map((leaf) => numbersOf(gradients.get(leaf))))
    }
    const [ours, theirs] = [await run((h) => net.forward(h)), await run((h) => ordinary(net, h))]
    for (const [i, values] of theirs.entries())
      expectClose(ours[i] as number[], values, 'float64', `gradient ${i}`, 100)
  })

  test('convolutions with batch norms: gradients, and statistics that move once', async () => {
    const make = () =>
      new nn.Sequential(new nn.BatchNorm2d(2, f64), new nn.ReLU(), new nn.Conv2d(2, 2, 3, { padding: 1, ...f64 }))
    const net = new nn.Reversible(Array.from({ length: 3 }, () => ({ f: make(), g: make() })))
    const before = net.stateDict()
    const x = normal([3, 4, 5, 5], 0, 1, f64)
    const run = async (forward: () => Tensor): Promise<number[][]> => {
      net.loadStateDict(before)
      const gradients = grad(forward().sin().sum(), net.parameters())
      const values = net.parameters().map((leaf) => gradients.get(leaf))
      return Promise.all([...values, ...net.stateDict().values()].map(numbersOf))
    }
    const [ours, theirs] = [await run(() => net.forward(x)), await run(() => ordinary(net, x))]
    for (const [i, values] of theirs.entries()) expectClose(ours[i] as number[], values, 'float64', `value ${i}`, 1000)
    // A second forward pass moves the statistics, and the first one's gradients do not mind.
    const [first] = [net.forward(x).sin().sum(), net.forward(x)]
    expect(await numbersOf(grad(first, net.parameters()).get(net.parameters()[0] as Variable))).toHaveLength(2)
    net.eval()
    expectClose(await numbersOf(net.inverse(net.forward(x))), await numbersOf(x), 'float64', 'the inverse', 100)
  })

  test('refuses odd axes, branches that change the shape, and what is no module', () => {
    expect(() => new nn.Reversible([{ f: mlp(2), g: mlp(2) }]).forward(zeros([2, 5], f64))).toThrow(code('ERR_SHAPE'))
    const wide = new nn.Linear(2, 3, f64)
    expect(() => new nn.Reversible([{ f: wide, g: mlp(2) }]).forward(zeros([2, 4], f64))).toThrow(/keep the shape/)
    expect(() => new nn.Reversible([{ f: 3, g: mlp(2) }] as never)).toThrow(code('ERR_ARGUMENT'))
    expect(() => new nn.Reversible(3 as never)).toThrow(code('ERR_ARGUMENT'))
  })

  // The engine keeps values for gradients outside of what `memory` counts: the process is asked.
  test.skipIf(process.platform !== 'linux')('what a step keeps does not grow with the number of blocks', async () => {
    const resident = (): number =>
      Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024
    const half = 2 * 2 ** 20
    const peak = async (count: number, reversible: boolean): Promise<number> => {
      const net = new nn.Reversible(
        Array.from({ length: count }, () => ({ f: new nn.Linear(8, 8), g: new nn.Linear(8, 8) })),
      )
      const x = normal([half / 32, 16])
      await x.select(0, 0).data()
      memory.trim()
      const start = resident()
      let top = 0
      const watch = setInterval(() => (top = Math.max(top, resident())), 2)
      const y = reversible ? net.forward(x) : ordinary(net, x)
      const gradients = grad(y.sum(), net.parameters())
      for (const [, gradient] of gradients) await gradient.data()
      clearInterval(watch)
      return Math.max(top, resident()) - start
    }
    await peak(2, true)
    const [kept, grown] = [await peak(48, true), await peak(48, false)]
    // 48 blocks keep 4 halves each in the ordinary form.
    expect(kept).toBeLessThan(grown / 2)
  })
})
