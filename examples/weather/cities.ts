// Which of two cities two weeks of weather are from: a SequenceClassifier on four years of Seattle and New York.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { manualSeed, models, train } from 'quarterturn'
import { vegaFile } from './files.js'

export interface CitiesOptions {
  /** @default 15 */
  epochs?: number
  seed?: number
  progress?: boolean
  say?: (line: string) => void
}

/** Shares of the test weeks whose city was found. */
export interface CitiesResult {
  model: models.SequenceClassifier
  accuracy: number
  /** By the mean temperature alone: the city whose mean of that month, in the years before, is nearer. */
  naive: number
}

interface Weeks extends models.LabelledSeries {
  month: number
  year: number
}

const DAYS = 14

export async function cities({
  epochs = 15,
  seed = 1,
  progress = true,
  say = () => {},
}: CitiesOptions = {}): Promise<CitiesResult> {
  manualSeed(seed)
  const weeks = readWeeks()
  const training = weeks.filter(({ year }) => year < 2015)
  const test = weeks.filter(({ year }) => year === 2015)
  say(`${training.length} fortnights of 2012 to 2014 to learn from, ${test.length} of 2015 for the test`)
  const model = models.SequenceClassifier.of(training, { width: 32 })
  await train.fit(model, model.loader(training, { seed }), { epochs, clipNorm: 1, seed, progress })
  const answers = await model.predict(test.map(({ series }) => series))
  const right = (label: (each: Weeks, i: number) => string | undefined): number =>
    test.filter((each, i) => label(each, i) === each.label).length / test.length
  const result = {
    model,
    accuracy: right((_, i) => answers[i]?.label),
    naive: right((each) => nearest(each, training)),
  }
  say(`found: this model ${percent(result.accuracy)} · by the mean temperature of the month ${percent(result.naive)}`)
  return result
}

/** Fortnights that start a week apart, within a year: precipitation, highest and lowest temperature, wind. */
function readWeeks(): Weeks[] {
  const lines = readFileSync(vegaFile('weather.csv'), 'utf8').trim().split('\n').slice(1)
  const days = lines.map((line) => {
    const [city, date, ...values] = line.split(',') as [string, string, ...string[]]
    return {
      city,
      year: Number(date.slice(0, 4)),
      month: Number(date.slice(5, 7)),
      values: values.slice(0, 4).map(Number),
    }
  })
  const weeks: Weeks[] = []
  for (let start = 0; start + DAYS <= days.length; start += 7) {
    const part = days.slice(start, start + DAYS)
    const [first] = part as [(typeof part)[number]]
    if (part.every(({ city, year }) => city === first.city && year === first.year))
      weeks.push({ series: part.map(({ values }) => values), label: first.city, month: first.month, year: first.year })
  }
  return weeks
}

function nearest(weeks: Weeks, training: readonly Weeks[]): string | undefined {
  const distance = (city: string): number => {
    const known = training.filter(({ label, month }) => label === city && month === weeks.month)
    return Math.abs(mean(known.map(temperature)) - temperature(weeks))
  }
  return [...new Set(training.map(({ label }) => label))].sort((a, b) => distance(a) - distance(b))[0]
}

const mean = (values: readonly number[]): number => values.reduce((sum, x) => sum + x, 0) / values.length
const temperature = ({ series }: Weeks): number =>
  mean(series.map(([, high, low]) => ((high as number) + (low as number)) / 2))
const percent = (share: number): string => `${(100 * share).toFixed(1)} %`

if (process.argv[1] === fileURLToPath(import.meta.url)) await cities({ say: console.log })
