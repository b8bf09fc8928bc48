// How far a car goes on a gallon: a TabularRegressor on 398 cars of the years 1970 to 1982.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { data, manualSeed, models, train } from 'quarterturn'
import { vegaFile } from '../weather/files.js'

export interface MileageOptions {
  /** @default 60 */
  epochs?: number
  seed?: number
  progress?: boolean
  say?: (line: string) => void
}

/** Mean absolute errors on the test cars, in miles per gallon. */
export interface MileageResult {
  model: models.TabularRegressor
  error: number
  /** By the mean of the training cars. */
  naive: number
}

interface Car {
  Miles_per_Gallon: number | null
  Cylinders: number
  Displacement: number
  Horsepower: number | null
  Weight_in_lbs: number
  Acceleration: number
  Year: string
  Origin: string
}

export async function mileage({
  epochs = 60,
  seed = 1,
  progress = true,
  say = () => {},
}: MileageOptions = {}): Promise<MileageResult> {
  manualSeed(seed)
  const cars = (JSON.parse(readFileSync(vegaFile('cars.json'), 'utf8')) as Car[]).filter(
    (car) => car.Miles_per_Gallon !== null,
  )
  const table = tableOf(cars)
  const rows = [...cars.keys()]
  const training = table.take(rows.filter((row) => row % 5 !== 0))
  const test = table.take(rows.filter((row) => row % 5 === 0))
  say(`${training.rows} cars to learn from, ${test.rows} for the test`)
  const model = models.TabularRegressor.of(training, { target: 'mileage' })
  await train.fit(model, model.loader(training, { seed }), { epochs, clipNorm: 1, seed, progress })
  const truth = [...test.numbers('mileage')]
  const mean = [...training.numbers('mileage')].reduce((sum, x) => sum + x, 0) / training.rows
  const off = (values: (row: number) => number): number =>
    truth.reduce((sum, value, row) => sum + Math.abs(values(row) - value), 0) / truth.length
  const predicted = await model.predict(test)
  const result = { model, error: off((row) => predicted[row] as number), naive: off(() => mean) }
  say(`mean error: this model ${result.error.toFixed(2)} miles per gallon · their mean ${result.naive.toFixed(2)}`)
  return result
}

/** The cars as columns; a horsepower that is not known is NaN. */
function tableOf(cars: readonly Car[]): data.Table {
  const column = (of: (car: Car) => number | null): Float64Array =>
    Float64Array.from(cars, (car) => of(car) ?? Number.NaN)
  return data.Table.of({
    mileage: column((car) => car.Miles_per_Gallon),
    cylinders: column((car) => car.Cylinders),
    displacement: column((car) => car.Displacement),
    horsepower: column((car) => car.Horsepower),
    weight: column((car) => car.Weight_in_lbs),
    acceleration: column((car) => car.Acceleration),
    year: column((car) => Number(car.Year.slice(0, 4))),
    origin: cars.map((car) => car.Origin),
  })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await mileage({ say: console.log })
