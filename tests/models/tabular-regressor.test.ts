// TabularRegressor: missing values and unknown categories have a say of their own, and a saved one predicts the same.
import { data, manualSeed, models, train } from 'quarterturn'
import { describe, expect, it } from 'vitest'
import { inFolder } from './saved.js'

const size = Array.from({ length: 300 }, (_, i) => 50 + ((i * 37) % 100))
const kind = size.map((_, i) => ['flat', 'house', 'barn'][i % 3] as string)
const worth = (x: number, k: string): number => 2000 * x + (k === 'flat' ? 0 : k === 'house' ? 80_000 : -40_000)
const table = data.Table.of({ size, kind, price: size.map((x, i) => worth(x, kind[i] as string)) })

describe('TabularRegressor', () => {
  it('learns numbers and categories in raw units; saved and loaded it predicts the same', async () => {
    manualSeed(1)
    const model = models.TabularRegressor.of(table, { target: 'price', width: 32, dropout: 0 })
    await train.fit(model, model.loader(table, { seed: 1 }), { epochs: 40, progress: false })
    const fresh = data.Table.of({ kind: ['house', 'barn'], size: [70.5, 99.5] })
    const predicted = await model.predict(fresh)
    for (const [i, price] of [worth(70.5, 'house'), worth(99.5, 'barn')].entries())
      expect(Math.abs((predicted[i] as number) - price)).toBeLessThan(12_000)
    await inFolder(async (folder) => {
      await model.save(folder)
      expect(await (await models.TabularRegressor.load(folder)).predict(fresh)).toEqual(predicted)
    })
  })

  it('predicts many rows in parts, each as it is predicted alone', async () => {
    const model = models.TabularRegressor.of(table, { target: 'price', width: 8 })
    const rows = Array.from({ length: 5000 }, (_, i) => 50 + (i % 997) / 10)
    const predicted = await model.predict(data.Table.of({ size: rows, kind: rows.map(() => 'flat') }))
    expect(predicted).toHaveLength(5000)
    for (const row of [0, 4095, 4096, 4999]) {
      const [alone] = await model.predict(data.Table.of({ size: [rows[row] as number], kind: ['flat'] }))
      expect((predicted[row] as number) / (alone as number)).toBeCloseTo(1, 4)
    }
  })

  it('metrics are in units of the target', async () => {
    const model = models.TabularRegressor.of(table, { target: 'price' })
    const { rmse } = await train.evaluate(model, model.loader(table, { shuffle: false }), {
      loss: (model, batch) => model.loss(batch),
      rmse: train.rmse(),
    })
    expect(rmse).toBeGreaterThan(10_000)
  })

  it('missing inputs are marked, missing targets left out, unknown categories read as none', async () => {
    const holes = data.Table.of({
      size: [1, Number.NaN, 3, 5],
      kind: ['a', 'b', '', 'a'],
      price: [10, 20, Number.NaN, 30],
    })
    const model = models.TabularRegressor.of(holes, { target: 'price' })
    expect(model.config.columns).toEqual([
      { name: 'size', kind: 'number', mean: 3, deviation: expect.closeTo(Math.sqrt(8 / 3), 6) },
      { name: 'kind', kind: 'category', categories: ['a', 'b'] },
    ])
    expect(model.config.target.mean).toBe(20)
    const loader = model.loader(holes, { shuffle: false })
    expect(loader.rows).toBe(3)
    for await (const { x } of loader) {
      const rows = (await x.toArray()) as number[][]
      expect(rows.map((row) => row.slice(1))).toEqual([
        [0, 1, 0],
        [1, 0, 1],
        [0, 1, 0],
      ])
      expect(rows[1]?.[0]).toBe(0)
    }
    expect(await model.predict(data.Table.of({ size: [2], kind: ['z'] }))).toHaveLength(1)
  })

  it('trains and predicts in float64', async () => {
    const model = models.TabularRegressor.of(table, { target: 'price' }).to('float64')
    await train.fit(model, model.loader(table, { seed: 1 }), { epochs: 2, progress: false })
    const [wide] = await model.predict(table)
    const [narrow] = await model.to('float32').predict(table)
    expect(wide).toBeCloseTo(narrow as number, 2)
  })

  it('refuses what does not fit', async () => {
    const of = (options: { target: string; inputs?: string[] }) => models.TabularRegressor.of(table, options)
    expect(() => of({ target: 'price', inputs: ['price'] })).toThrow(/cannot be an input/)
    expect(() => of({ target: 'kind' })).toThrow(expect.objectContaining({ code: 'ERR_DTYPE' }))
    expect(() => of({ target: 'price', inputs: [] })).toThrow(/no column/)
    const names = data.Table.of({ name: Array.from({ length: 300 }, (_, i) => `n${i}`), y: Array(300).fill(1) })
    expect(() => models.TabularRegressor.of(names, { target: 'y' })).toThrow(/300 different/)
    await expect(of({ target: 'price' }).predict(data.Table.of({ size: [1] }))).rejects.toMatchObject({
      code: 'ERR_ARGUMENT',
    })
  })
})
