// What is random in training: how often, with which mean, and the same again from the same seed.
import { axis, cat, manualSeed, normal, type Tensor, zeros } from 'quarterturn'
import { describe, expect, test } from 'vitest'
import { numbersOf } from '../parity/checkOp.js'

/** Bounds of k of n at probability p: 4.5 standard deviations, which one of 150,000 sound runs leaves. */
function expectShare(k: number, n: number, p: number, what: string): void {
  const deviation = Math.sqrt((p * (1 - p)) / n)
  expect(Math.abs(k / n - p), `${what}: ${k} of ${n}, expected ${p}`).toBeLessThanOrEqual(4.5 * deviation)
}

describe('stochastic depth', () => {
  const [K, keep, DRAWS] = [5, 0.4, 600]
  /** p_l of the paper: falls in a line from 1 to `keep`. */
  const shares = Array.from({ length: K }, (_, k) => 1 - ((k + 1) / K) * (1 - keep))
  const carrier = axis.stochasticDepth({ keep })
  /** What layer k takes up of writes of one, for 2 rows of 3 units. */
  const taken = (index: number, training: boolean): Tensor => {
    const context = { axis: 'depth', index, layers: K, training } as const
    return carrier.step({}, zeros([2, 3]), zeros([2, 3]).add(1), context).output
  }

  test('each layer is kept as often as its place says, whole, and independently of the others', async () => {
    manualSeed(1)
    const rounds: number[][] = []
    for (let i = 0; i < DRAWS; i++) {
      const values = await numbersOf(cat(shares.map((_, k) => taken(k, true).unsqueeze(0))))
      const layers = shares.map((_, k) => [...values].slice(6 * k, 6 * k + 6))
      for (const layer of layers) expect(new Set(layer).size).toBe(1) // all rows and units, or none
      rounds.push(layers.map((layer) => layer[0] as number))
    }
    expect(rounds.flat().every((value) => value === 0 || value === 1)).toBe(true)
    for (const [k, p] of shares.entries())
      expectShare(rounds.filter((round) => round[k] === 1).length, DRAWS, p, `layer ${k}`)
    const last = shares[K - 1] as number
    const before = shares[K - 2] as number
    expectShare(rounds.filter((round) => round[K - 1] === 1 && round[K - 2] === 1).length, DRAWS, last * before, 'both')
  })

  test('in use each counts by its probability, which is the mean in training', async () => {
    for (const [k, p] of shares.entries()) {
      for (const value of await numbersOf(taken(k, false))) expect(value).toBeCloseTo(p, 6)
    }
  })

  test('a Stack draws anew at each pass, and the same again from the same seed', async () => {
    const net = new axis.Stack({ width: 4, layers: 8, alongTime: axis.dense(), alongDepth: axis.stochasticDepth() })
    const x = normal([2, 3, 4])
    const passes = async (seed: number): Promise<string[]> => {
      manualSeed(seed)
      const outputs = [net.forward(x), net.forward(x), net.forward(x), net.forward(x)]
      return Promise.all(outputs.map(async (y) => (await numbersOf(y)).join()))
    }
    const [one, again, other] = [await passes(3), await passes(3), await passes(4)]
    expect(one).toEqual(again)
    expect(one).not.toEqual(other)
    expect(new Set(one).size).toBeGreaterThan(1)
    net.eval()
    expect(new Set(await passes(3)).size).toBe(1)
  })
})

describe('zoneout', () => {
  const [B, T, D, keep] = [4, 40, 16, 0.3]
  const make = (share = keep): axis.Stack =>
    new axis.Stack({
      width: D,
      layers: 1,
      alongTime: axis.zoneout({ keep: share }),
      alongDepth: axis.plain(),
      norm: 'none',
    })

  test('a unit keeps its value as often as is said, each by itself', async () => {
    manualSeed(2)
    const y = make().forward(normal([B, T, D]))
    const kept = y
      .slice(1, 1)
      .eq(y.slice(1, 0, T - 1))
      .to('float32')
    const count = Number(await kept.sum().item())
    expectShare(count, B * (T - 1) * D, keep, 'units kept')
    // Neighbours are independent: both are kept by the product.
    const both = Number(
      await kept
        .slice(2, 1)
        .mul(kept.slice(2, 0, D - 1))
        .sum()
        .item(),
    )
    expectShare(both, B * (T - 1) * (D - 1), keep * keep, 'neighbours kept')
  })

  test('in use a step is the mean of what it is in training', async () => {
    manualSeed(2)
    const net = make().to('float64')
    const rows = 4000
    const x = normal([1, 1, D], 0, 1, { dtype: 'float64' })
    const { of } = net.initialState({ batch: 1 })
    const h = normal([1, D], 0, 1, { dtype: 'float64' })
    const state = (count: number): axis.StackState => ({ of, time: [{ h: h.expand([count, D]) }] })
    net.eval()
    const used = await numbersOf(net.run(x, state(1)).output)
    net.train()
    const drawn = net.run(x.expand([rows, 1, D]), state(rows)).output.reshape([rows, D])
    const mean = await numbersOf(drawn.mean(0))
    const none = make(0).to('float64').eval()
    for (const [i, p] of none.parameters().entries()) p.assign(net.parameters()[i] as Tensor)
    const fresh = await numbersOf(none.run(x, state(1)).output)
    const before = await numbersOf(h)
    for (const [i, value] of [...used].entries()) {
      const [a, b] = [before[i] as number, fresh[i] as number]
      expect(value).toBeCloseTo(keep * a + (1 - keep) * b, 12)
      const deviation = Math.abs(a - b) * Math.sqrt((keep * (1 - keep)) / rows)
      expect(Math.abs((mean[i] as number) - value), `unit ${i}`).toBeLessThanOrEqual(4.5 * deviation + 1e-12)
    }
  })

  test('the same seed draws the same, another one not', async () => {
    const net = make()
    const x = normal([B, T, D])
    const pass = async (seed: number): Promise<number[]> => {
      manualSeed(seed)
      return [...(await numbersOf(net.forward(x)))]
    }
    expect(await pass(5)).toEqual(await pass(5))
    expect(await pass(5)).not.toEqual(await pass(6))
  })
})
