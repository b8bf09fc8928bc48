// The search of sequences: against every sequence there is, against a beam search written out over arrays, and by chance against the distribution.
import {
  AbortedError,
  ahead,
  arange,
  manualSeed,
  models,
  nn,
  noGrad,
  normal,
  type Tensor,
  tensor,
  uniform,
  Variable,
  zeros,
} from 'quarterturn'
import { beforeEach, describe, expect, it } from 'vitest'

const [START, END] = [0, 1]
const NEVER = Number.NEGATIVE_INFINITY

/** A small recurrent net whose next symbol depends on all before it: h' = tanh(h W + E[last]), logits = h' U + mask. */
class Net {
  readonly W: Variable
  readonly E: Variable
  readonly U: Variable
  readonly mask: Variable
  /** The first state of each sentence. */
  readonly h: Tensor

  constructor(
    readonly V: number,
    readonly B: number,
    possible: readonly number[] = Array.from({ length: V }, (_, id) => id),
    dtype: 'float32' | 'float64' = 'float64',
  ) {
    const H = 5
    const draw = (shape: number[]) => normal(shape, 0, 1.5, { dtype })
    this.W = new Variable(draw([H, H]))
    this.E = new Variable(draw([V, H]))
    this.U = new Variable(draw([H, V]))
    this.mask = new Variable(
      tensor(
        Array.from({ length: V }, (_, id) => (possible.includes(id) ? 0 : NEVER)),
        { dtype },
      ),
    )
    this.h = draw([B, H])
  }

  next(last: Tensor, h: Tensor): { logits: Tensor; h: Tensor } {
    const after = h.matmul(this.W).add(nn.functional.embedding(last, this.E)).tanh()
    return { logits: after.matmul(this.U).add(this.mask), h: after }
  }

  problem(): models.SearchProblem<{ h: Tensor }> {
    return {
      step: (last, { h }) => {
        const next = this.next(last, h)
        return { logits: next.logits, state: { h: next.h } }
      },
      state: { h: this.h },
      start: START,
      end: END,
      banned: [START],
    }
  }

  /** log p of every next symbol of sentence b after `ids`. */
  async logarithms(b: number, ids: readonly number[]): Promise<number[]> {
    const logits = noGrad(() => {
      let h: Tensor = this.h.slice(0, b, b + 1)
      let out: Tensor | undefined
      for (const id of [START, ...ids]) {
        const next = this.next(tensor([id], { dtype: 'int64' }), h)
        h = next.h
        out = next.logits
      }
      return (out as Tensor).logSoftmax(-1)
    })
    return Array.from(await logits.data(), Number)
  }
}

interface Plain {
  ids: number[]
  log: number
  ended: boolean
}

const score = ({ ids, log, ended }: Plain, alpha: number): number =>
  log / ((5 + ids.length + (ended ? 1 : 0)) / 6) ** alpha

/** Beam search written out, without an early end: the specification. */
async function slowBeam(net: Net, b: number, beam: number, most: number, alpha = 0): Promise<Plain[]> {
  let live: Plain[] = [{ ids: [], log: 0, ended: false }]
  const finished: Plain[] = []
  for (let t = 0; t < most && live.length > 0; t++) {
    const all: Plain[] = []
    for (const { ids, log } of live)
      for (const [id, each] of (await net.logarithms(b, ids)).entries())
        if (id !== START && each > NEVER)
          all.push({ ids: id === END ? ids : [...ids, id], log: log + each, ended: id === END })
    const kept = all.sort((x, y) => y.log - x.log).slice(0, beam)
    finished.push(...kept.filter(({ ended }) => ended))
    live = kept.filter(({ ended }) => !ended)
  }
  return [...finished, ...live].sort((x, y) => score(y, alpha) - score(x, alpha))
}

function expectSame(found: readonly models.Found[], expected: readonly Plain[], alpha = 0): void {
  expect(found.map(({ ids, ended }) => ({ ids, ended }))).toEqual(expected.map(({ ids, ended }) => ({ ids, ended })))
  for (const [i, each] of found.entries()) {
    expect(each.logProbability).toBeCloseTo((expected[i] as Plain).log, 4)
    expect(each.score).toBeCloseTo(score(expected[i] as Plain, alpha), 4)
  }
}

beforeEach(() => {
  manualSeed(11)
})

describe('beam search', () => {
  it('wide enough it finds every sequence there is, in the order of their probabilities', async () => {
    const net = new Net(120, 2, [END, 2, 3, 4])
    const found = await models.search(net.problem(), { beam: 119, maxLength: 4, alternatives: 200 })
    for (const b of [0, 1]) {
      const all = await slowBeam(net, b, Number.POSITIVE_INFINITY, 4)
      expect(all).toHaveLength(1 + 3 + 9 + 27 * 4) // ended after 0, 1 or 2 symbols, and after the third symbol three that are cut and one that ended
      expectSame(found[b] as models.Found[], all)
      const total = (found[b] as models.Found[]).reduce((sum, { logProbability }) => sum + Math.exp(logProbability), 0)
      expect(total).toBeCloseTo(1, 6)
    }
  })

  it.each(['float32', 'float64'] as const)(
    'of width 1 it writes the likeliest symbol each time (%s)',
    async (dtype) => {
      const net = new Net(70, 4, undefined, dtype)
      const found = await models.search(net.problem(), { maxLength: 12 })
      for (let b = 0; b < 4; b++) {
        const ids: number[] = []
        let log = 0
        while (ids.length < 12 && ids.at(-1) !== END) {
          const logs = (await net.logarithms(b, ids)).map((each, id) => (id === START ? NEVER : each))
          ids.push(logs.indexOf(Math.max(...logs)))
          log += Math.max(...logs)
        }
        const ended = ids.at(-1) === END
        expectSame(found[b] as models.Found[], [{ ids: ended ? ids.slice(0, -1) : ids, log, ended }])
      }
    },
  )

  it.each([
    [2, 0],
    [3, 0],
    [3, 0.6],
    [5, 1],
  ])('of width %i with length penalty %d it keeps what a search written out keeps', async (beam, lengthPenalty) => {
    const net = new Net(8, 6)
    const found = await models.search(net.problem(), { beam, maxLength: 6, lengthPenalty })
    for (let b = 0; b < 6; b++)
      expectSame(
        found[b] as models.Found[],
        (await slowBeam(net, b, beam, 6, lengthPenalty)).slice(0, beam),
        lengthPenalty,
      )
  })

  it.each([0, 0.8])('loses nothing by ending early (length penalty %d)', async (lengthPenalty) => {
    const net = new Net(8, 6)
    const options = { beam: 4, maxLength: 9, lengthPenalty }
    const long = await models.search(net.problem(), { ...options, alternatives: 60 })
    for (const alternatives of [1, 2, 4]) {
      const short = await models.search(net.problem(), { ...options, alternatives })
      expect(short).toEqual(long.map((all) => all.slice(0, alternatives)))
    }
  })

  it('gives each sentence what it gets alone, with its own longest length', async () => {
    const net = new Net(8, 3)
    const together = await models.search(net.problem(), { beam: 3, maxLength: [2, 7, 4] })
    for (const [b, maxLength] of [2, 7, 4].entries())
      expectSame(together[b] as models.Found[], (await slowBeam(net, b, 3, maxLength)).slice(0, 3))
  })

  it('breaks ties by the lower id', async () => {
    const state = { h: zeros([1, 1]) }
    const flat = new Variable(zeros([1, 9]))
    const step = (_: Tensor, before: { h: Tensor }) => ({ logits: before.h.matmul(flat), state: before })
    const [found] = await models.search({ step, state, start: 0, end: 1 }, { beam: 4, maxLength: 1 })
    expect(found?.map(({ ids, ended }) => (ended ? [...ids, 1] : ids))).toEqual([[0], [1], [2], [3]])
  })

  it('begins as it is told to, and counts the beginning', async () => {
    const net = new Net(8, 3)
    const prefix = [[5, 3], [], [2]]
    const found = await models.search(net.problem(), { beam: 3, maxLength: 5, prefix, alternatives: 3 })
    for (const [b, before] of prefix.entries()) {
      const all = found[b] as models.Found[]
      expect(all).toHaveLength(3)
      for (const { ids, ended, logProbability } of all) {
        expect(ids.slice(0, before.length)).toEqual(before)
        let log = 0
        for (const [t, id] of (ended ? [...ids, END] : ids).entries())
          log += (await net.logarithms(b, ids.slice(0, t)))[id] as number
        expect(logProbability).toBeCloseTo(log, 4)
      }
    }
  })

  it('reads the context of its own sentence, and computes what depends on it alone once', async () => {
    const net = new Net(8, 3)
    const bias = normal([3, 8], 0, 3, { dtype: 'float64' })
    const inside: models.SearchProblem<{ h: Tensor }> = {
      ...net.problem(),
      context: { bias },
      step: (last, { h }, { bias }) => {
        const next = net.next(last, h)
        return { logits: next.logits.add((bias as Tensor).mul(2).tanh()), state: { h: next.h } }
      },
    }
    const outside: models.SearchProblem<{ h: Tensor; bias: Tensor }> = {
      ...net.problem(),
      state: { h: net.h, bias: bias.mul(2).tanh() },
      step: (last, { h, bias }) => {
        const next = net.next(last, h)
        return { logits: next.logits.add(bias), state: { h: next.h, bias } }
      },
    }
    const options = { beam: 3, maxLength: 5 }
    expect(await models.search(inside, options)).toEqual(await models.search(outside, options))
  })

  it('takes chance anew at every step', async () => {
    const step = (_: Tensor, state: { h: Tensor }) => ({ logits: uniform([1, 50]), state })
    const [found] = await models.search(
      { step, state: { h: zeros([1, 1]) }, start: 0, end: 0, banned: [0] },
      { maxLength: 20 },
    )
    expect(new Set(found?.[0]?.ids).size).toBeGreaterThan(10)
  })

  it('gives the attention of every symbol, along the hypothesis that wrote it', async () => {
    const net = new Net(8, 2)
    // The weights tell how many symbols there were before and which was the last.
    const count = new Variable(tensor([[1, 0]]))
    const which = new Variable(tensor([[0, 1]]))
    const problem: models.SearchProblem<{ h: Tensor; t: Tensor }> = {
      ...net.problem(),
      state: { h: net.h, t: zeros([2, 1]) },
      step: (last, { h, t }) => {
        const next = net.next(last, h)
        const attention = t.matmul(count).add(last.to('float32').unsqueeze(1).matmul(which))
        return { logits: next.logits, state: { h: next.h, t: t.add(1) }, attention }
      },
    }
    const found = await models.search(problem, { beam: 3, maxLength: 5, attention: true })
    for (const { ids, attention } of found.flat())
      expect(attention?.map((row) => [...row])).toEqual(ids.map((_, t) => [t, t === 0 ? START : ids[t - 1]]))
  })

  it('accepts a function that makes the problem, ahead of the queue', async () => {
    const net = new Net(8, 2)
    const options = { beam: 3, maxLength: 5 }
    const made = await models.search(() => ({ ...net.problem(), state: { h: net.h.mul(1) } }), options)
    expect(made).toEqual(await models.search(net.problem(), options))
  })
})

describe('sampling', () => {
  /** One step of fixed probabilities. */
  function draws(n: number, probabilities: number[], sample: models.SampleOptions, banned: number[] = []) {
    const logits = new Variable(tensor([probabilities.map(Math.log)]))
    const one = { h: zeros([1, 1]).add(1) }
    const step = (_: Tensor, state: { h: Tensor }) => ({ logits: state.h.matmul(logits), state })
    return models.search({ step, state: one, start: 0, end: 0, banned }, { beam: n, maxLength: 1, sample })
  }
  const countsOf = (found: models.Found[][], size: number): number[] => {
    const counts = new Array<number>(size).fill(0)
    for (const { ids } of found.flat()) counts[ids[0] ?? 0] = (counts[ids[0] ?? 0] as number) + 1
    return counts
  }

  it.each<[string, models.SampleOptions, number[], number[]]>([
    ['as they are', {}, [], [0.4, 0.3, 0.15, 0.1, 0.05]],
    ['without what is banned', {}, [1], [0.4 / 0.7, 0, 0.15 / 0.7, 0.1 / 0.7, 0.05 / 0.7]],
    ['the likeliest two', { topK: 2 }, [], [4 / 7, 3 / 7, 0, 0, 0]],
    ['those that hold 0.8', { topP: 0.8 }, [], [0.4 / 0.85, 0.3 / 0.85, 0.15 / 0.85, 0, 0]],
    ['at temperature 0.5', { temperature: 0.5 }, [], [0.16, 0.09, 0.0225, 0.01, 0.0025].map((p) => p / 0.285)],
  ])('draws symbols with their probabilities: %s', async (_, sample, banned, expected) => {
    const n = 4000
    const counts = countsOf(await draws(n, [0.4, 0.3, 0.15, 0.1, 0.05], { seed: 5, ...sample }, banned), 5)
    const possible = expected.filter((p) => p > 0).length
    let chi2 = 0
    for (const [id, p] of expected.entries()) {
      if (p === 0) expect(counts[id]).toBe(0)
      else chi2 += ((counts[id] as number) - n * p) ** 2 / (n * p)
    }
    // Beyond these with probability 0.001 for 1, 2, 3, 4 degrees of freedom.
    expect(chi2).toBeLessThan([10.83, 13.82, 16.27, 18.47][possible - 2] as number)
  })

  it('draws the same with the same seed, and otherwise from the ambient generator', async () => {
    const net = new Net(30, 2)
    const run = (seed?: number) =>
      models.search(net.problem(), { beam: 4, maxLength: 9, sample: seed === undefined ? {} : { seed } })
    expect(await run(3)).toEqual(await run(3))
    expect(await run(3)).not.toEqual(await run(4))
    manualSeed(8)
    const [first, second] = [await run(), await run()]
    expect(first).not.toEqual(second)
    manualSeed(8)
    expect(await run()).toEqual(first)
  })

  it('tells the log probabilities of the model, whatever the temperature, the best first', async () => {
    const net = new Net(8, 1)
    const [found] = await models.search(net.problem(), { beam: 6, maxLength: 5, sample: { temperature: 3, seed: 1 } })
    for (const { ids, ended, logProbability } of found as models.Found[]) {
      let log = 0
      for (const [t, id] of (ended ? [...ids, END] : ids).entries())
        log += (await net.logarithms(0, ids.slice(0, t)))[id] as number
      expect(logProbability).toBeCloseTo(log, 4)
    }
    const logs = (found as models.Found[]).map(({ logProbability }) => logProbability)
    expect(logs).toEqual([...logs].sort((a, b) => b - a))
  })
})

describe('other work', () => {
  /** A search of many slow steps that never ends by itself. */
  function slow(maxLength: number, signal?: AbortSignal): Promise<models.Found[][]> {
    const W = new Variable(normal([600, 600], 0, 0.05))
    const U = new Variable(normal([600, 10]))
    const step = (_: Tensor, { h }: { h: Tensor }) => {
      const after = h.matmul(W).tanh()
      return { logits: after.matmul(U), state: { h: after } }
    }
    const problem = { step, state: { h: normal([200, 600]) }, start: 0, end: 0, banned: [0] }
    return models.search(problem, { maxLength, ...(signal && { signal }) })
  }

  it('is stopped by its signal between two steps, and everything goes on', async () => {
    const controller = new AbortController()
    const reason = new Error('enough')
    const search = slow(100_000, controller.signal)
    setTimeout(() => controller.abort(reason), 500)
    await expect(search).rejects.toMatchObject({
      code: 'ERR_ABORTED',
      cause: reason,
      message: expect.stringMatching(/^search: aborted after [1-9]\d* steps$/),
    })
    await expect(slow(2, controller.signal)).rejects.toBeInstanceOf(AbortedError)
    expect(await tensor([1, 2]).sum().item()).toBe(3)
    expect((await slow(3))[0]?.[0]?.ids).toHaveLength(3)
  })

  it('serves what else goes ahead between two steps', async () => {
    const controller = new AbortController()
    const search = slow(100_000, controller.signal)
    search.catch(() => {})
    const answer = await ahead(() => arange(0, 5).sum()).item()
    controller.abort()
    await expect(search).rejects.toMatchObject({ code: 'ERR_ABORTED' })
    expect(answer).toBe(10)
  })

  it('sees the weights of its moment', async () => {
    const net = new Net(8, 2)
    const options = { beam: 3, maxLength: 6 }
    const before = await models.search(net.problem(), options)
    const running = models.search(net.problem(), options)
    net.U.assign(net.U.neg())
    expect(await running).toEqual(before)
    expect(await models.search(net.problem(), options)).not.toEqual(before)
  })
})

describe('what does not fit', () => {
  const state = { h: zeros([2, 3]) }
  const table = new Variable(zeros([3, 6]))
  const good = {
    step: (_: Tensor, { h }: { h: Tensor }): models.StepResult<{ h: Tensor }> => ({
      logits: h.matmul(table),
      state: { h },
    }),
    state,
    start: 0,
    end: 1,
    banned: [0],
  }
  const options = { beam: 2, maxLength: 3 }

  it.each<[string, object, object, string]>([
    ['a beam wider than the vocabulary', {}, { beam: 6 }, 'ERR_ARGUMENT'],
    ['beam 0', {}, { beam: 0 }, 'ERR_ARGUMENT'],
    ['no longest length', {}, { maxLength: undefined }, 'ERR_ARGUMENT'],
    ['a length of 0', {}, { maxLength: [3, 0] }, 'ERR_ARGUMENT'],
    ['lengths of other sentences', {}, { maxLength: [3] }, 'ERR_ARGUMENT'],
    ['no alternatives', {}, { alternatives: 0 }, 'ERR_ARGUMENT'],
    ['a negative penalty', {}, { lengthPenalty: -1 }, 'ERR_ARGUMENT'],
    ['a beginning for one of two sentences', {}, { prefix: [[2]] }, 'ERR_ARGUMENT'],
    ['a beginning outside the vocabulary', {}, { prefix: [[6], []] }, 'ERR_ARGUMENT'],
    ['a beginning with the end', {}, { prefix: [[1], []] }, 'ERR_ARGUMENT'],
    ['a beginning that is banned', {}, { prefix: [[0], []] }, 'ERR_ARGUMENT'],
    ['a beginning longer than the whole', {}, { prefix: [[2, 2, 2, 2], []] }, 'ERR_ARGUMENT'],
    ['temperature 0', {}, { sample: { temperature: 0 } }, 'ERR_ARGUMENT'],
    ['topP 0', {}, { sample: { topP: 0 } }, 'ERR_ARGUMENT'],
    ['topK 0', {}, { sample: { topK: 0 } }, 'ERR_ARGUMENT'],
    ['a bad seed', {}, { sample: { seed: -1 } }, 'ERR_ARGUMENT'],
    ['a signal that is none', {}, { signal: {} }, 'ERR_ARGUMENT'],
    ['an end outside the vocabulary', { end: 6 }, {}, 'ERR_ARGUMENT'],
    ['no state at all', { state: {} }, {}, 'ERR_ARGUMENT'],
    ['no sentences', { state: { h: zeros([0, 3]) } }, {}, 'ERR_ARGUMENT'],
    ['a context of other sentences', { context: { x: zeros([3, 1]) } }, {}, 'ERR_ARGUMENT'],
    ['a state that is no tensor', { state: { h: 3 } }, {}, 'ERR_ARGUMENT'],
    ['no step', { step: undefined }, {}, 'ERR_ARGUMENT'],
    ['a step without results', { step: () => undefined }, {}, 'ERR_ARGUMENT'],
    ['a step without logits', { step: (_: Tensor, s: object) => ({ state: s }) }, {}, 'ERR_ARGUMENT'],
    [
      'logits of another shape',
      { step: (l: Tensor, s: object) => ({ logits: l.to('float32'), state: s }) },
      {},
      'ERR_SHAPE',
    ],
    [
      'a state that grows',
      { step: (_: Tensor, { h }: { h: Tensor }) => ({ logits: h.matmul(table), state: { h: h.matmul(table) } }) },
      {},
      'ERR_SHAPE',
    ],
    [
      'a state of another dtype',
      { step: (_: Tensor, { h }: { h: Tensor }) => ({ logits: h.matmul(table), state: { h: h.to('float64') } }) },
      {},
      'ERR_DTYPE',
    ],
    [
      'a state that is gone',
      { step: (_: Tensor, { h }: { h: Tensor }) => ({ logits: h.matmul(table), state: {} }) },
      {},
      'ERR_ARGUMENT',
    ],
    ['attention that the step does not give', {}, { attention: true }, 'ERR_ARGUMENT'],
    [
      'values from outside',
      { step: (_: Tensor, { h }: { h: Tensor }) => ({ logits: h.matmul(zeros([3, 6])).add(state.h), state: { h } }) },
      {},
      'ERR_CAPTURE',
    ],
    [
      'logits that are not finite',
      { step: (_: Tensor, { h }: { h: Tensor }) => ({ logits: h.matmul(table).div(0), state: { h } }) },
      {},
      'ERR_NOT_FINITE',
    ],
  ])('refuses %s', async (_, problem, more, code) => {
    const search = models.search({ ...good, ...problem } as typeof good, { ...options, ...more } as typeof options)
    await expect(search).rejects.toMatchObject({ code })
  })

  it('finds nothing wrong with the problem itself', async () => {
    expect((await models.search(good, options)).map((all) => all.length)).toEqual([2, 2])
  })
})
