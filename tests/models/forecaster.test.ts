// Forecaster: shift and scale of a series carry over to its forecast, columns that only help are not forecast, and a saved one forecasts the same.
import { data, manualSeed, models, normal, tensor, train } from 'quarterturn'
import { describe, expect, it } from 'vitest'
import { inFolder } from './saved.js'

const series = (start: number, steps: number): number[][] =>
  Array.from({ length: steps }, (_, t) => [Math.sin((start + t) / 3), Math.cos((start + t) / 5)])

describe('Forecaster', () => {
  it('sees how a series moves and not where it is or in what unit', async () => {
    manualSeed(1)
    const model = new models.Forecaster({ inputs: 2, past: 12, future: 4 })
    for (const weight of model.head.parameters()) weight.assign(normal(weight.shape, 0, 0.1))
    const window = series(3, 12)
    const plain = await model.predict(window)
    const moved = await model.predict(window.map(([x, y]) => [1000 + 40 * (x as number), (y as number) / 8]))
    for (const [t, [x, y]] of plain.entries()) {
      expect(moved[t]?.[0]).toBeCloseTo(1000 + 40 * (x as number), 1)
      expect(moved[t]?.[1]).toBeCloseTo((y as number) / 8, 4)
    }
  })

  it('a column that stands still is forecast to stand still', async () => {
    const model = new models.Forecaster({ inputs: 1, past: 5, future: 3 })
    const forecast = await model.predict(Array.from({ length: 5 }, () => [7]))
    expect(forecast.map(([x]) => Math.abs((x as number) - 7) < 1e-3)).toEqual([true, true, true])
  })

  it('learns, forecasts the first columns only, from longer windows by their last steps; saved and loaded it is the same', async () => {
    manualSeed(2)
    const model = new models.Forecaster({ inputs: 2, past: 16, future: 4, targets: 1, width: 16 })
    const rows = Array.from({ length: 160 }, (_, start) => series(start, 20))
    const windows = {
      past: rows.map((row) => row.slice(0, 16)),
      future: rows.map((row) => row.slice(16).map(([x]) => [x as number])),
    }
    const history = await train.fit(model, new data.Loader(windows, { shuffle: true }), { epochs: 20, progress: false })
    expect(history.best?.loss).toBeLessThan(0.05 * (history.epochs[0]?.loss as number))
    const [past, longer] = [series(500, 16), series(490, 26)]
    const forecast = await model.predict(past)
    expect(forecast.map((step) => step.length)).toEqual([1, 1, 1, 1])
    const both = (await model.predict([longer, past])).flat(2)
    for (const [i, x] of [...forecast, ...forecast].flat().entries()) expect(both[i]).toBeCloseTo(x, 5)
    await inFolder(async (folder) => {
      await model.save(folder)
      const loaded = await models.Forecaster.load(folder)
      expect(loaded.config).toEqual(model.config)
      expect(await loaded.predict(past)).toEqual(forecast)
    })
  })

  it('refuses what does not fit', async () => {
    const model = new models.Forecaster({ inputs: 2, past: 4, future: 2 })
    await expect(model.predict(series(0, 3))).rejects.toMatchObject({ code: 'ERR_SHAPE' })
    await expect(model.predict([[1], [2], [3], [4]])).rejects.toMatchObject({ code: 'ERR_SHAPE' })
    await expect(
      model.predict([
        [1, 2],
        [1, Number.NaN],
        [1, 2],
        [1, 2],
      ]),
    ).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
    expect(() => model.forward(tensor([[1, 2]]))).toThrow(expect.objectContaining({ code: 'ERR_SHAPE' }))
    for (const wrong of [{ inputs: 0 }, { past: 1 }, { future: 1.5 }, { targets: 3 }])
      expect(() => new models.Forecaster({ inputs: 2, past: 4, future: 2, ...wrong })).toThrow(
        expect.objectContaining({ code: 'ERR_ARGUMENT' }),
      )
    expect(await model.predict([])).toEqual([])
  })
})
