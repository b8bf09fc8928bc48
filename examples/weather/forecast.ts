// The highest temperatures of the next week in Seattle: a Forecaster on four years of daily weather.
import { fileURLToPath } from 'node:url'
import { data, manualSeed, models, type Tensor, train } from 'quarterturn'
import { vegaFile } from './files.js'

export interface ForecastOptions {
  /** At most; training ends eight epochs after the best one. @default 60 */
  epochs?: number
  seed?: number
  progress?: boolean
  say?: (line: string) => void
}

/** Mean absolute errors of the highest temperature over seven days, in °C, in the last fifth of the days. */
export interface ForecastResult {
  model: models.Forecaster
  error: number
  /** By saying that each day will be as the last one. */
  naive: number
  /** By saying that each day will be as a week before. */
  weekly: number
}

const [PAST, FUTURE] = [28, 7]

export async function forecast({
  epochs = 60,
  seed = 1,
  progress = true,
  say = () => {},
}: ForecastOptions = {}): Promise<ForecastResult> {
  manualSeed(seed)
  const table = (await data.readCsv(vegaFile('seattle-weather.csv'))).select(
    'temp_max',
    'temp_min',
    'wind',
    'precipitation',
  )
  const windows = data.windows(table, { past: PAST, future: FUTURE, targets: 1, seed })
  const { training, validation, test } = windows.splitByTime(0.6, 0.2)
  say(`${training.rows} windows of ${PAST} + ${FUTURE} days to learn from, ${test.rows} later ones for the test`)
  const model = new models.Forecaster({ inputs: 4, past: PAST, future: FUTURE, targets: 1, width: 16 })
  const earlyStopping = { patience: 8, restoreBest: true }
  await train.fit(model, training, { validation, epochs, earlyStopping, clipNorm: 1, seed, progress })
  const off = (forecast: Tensor, { future }: models.WindowBatch): Tensor => forecast.sub(future).abs().mean()
  const errors = await train.evaluate(model, test, {
    error: (model, batch) => off(model.forward(batch.past), batch),
    naive: (_, batch) => off(batch.past.slice(1, -1).slice(2, 0, 1).expand(batch.future.shape), batch),
    weekly: (_, batch) => off(batch.past.slice(1, -FUTURE).slice(2, 0, 1), batch),
  })
  const [celsius = 1] = test.scaling.factor
  const result = {
    model,
    error: errors.error * celsius,
    naive: errors.naive * celsius,
    weekly: errors.weekly * celsius,
  }
  say(
    `mean error: this model ${result.error.toFixed(2)} °C · as the last day ${result.naive.toFixed(2)} °C · as a week before ${result.weekly.toFixed(2)} °C`,
  )
  const week = await model.predict(lastSteps(table, PAST))
  say(`the first week of 2016: ${week.map(([x]) => `${x?.toFixed(0)} °C`).join(', ')}`)
  return result
}

/** The last rows of a table, in its own units. */
function lastSteps(table: data.Table, steps: number): number[][] {
  const columns = table.names.map((name) => table.numbers(name).subarray(table.rows - steps))
  return Array.from({ length: steps }, (_, t) => columns.map((values) => values[t] as number))
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await forecast({ say: console.log })
