// Study 5: the residual classifier of series on the sets of the UCR and UEA archives that ship with aeon, beside what is published for them.
import { fileURLToPath } from 'node:url'
import { type data, manualSeed, models, optim, train } from 'quarterturn'
import { claim, command, type Outcome, processorSeconds, type Study } from '../study/study.js'
import { published, readSet, SETS, setsFolder } from './sets.js'

export interface SeriesSettings {
  /** One cycle of so many epochs, */
  epochs: number
  /** but no more of processor time for a set than this, */
  seconds: number
  /** or so much for each step of its series. */
  secondsPerStep: number
  width: number
  batch: number
  lr: number
}

const ACCURACY = 'ResNet1d, %'

export function series(given: Partial<SeriesSettings> = {}, folder = setsFolder()): Study<SeriesSettings> {
  const settings = { epochs: 300, seconds: 40, secondsPerStep: 0.002, width: 64, batch: 16, lr: 1e-3, ...given }
  const run =
    (name: string) =>
    async (seed: number, { epochs, width, batch, lr, ...given }: SeriesSettings): Promise<Outcome> => {
      const split = await readSet(name, folder)
      const [training, test] = [examplesOf(split.train), examplesOf(split.test)]
      const seconds = Math.max(given.seconds, given.secondsPerStep * stepsOf(training))
      manualSeed(seed)
      const model = models.ResNet1d.of(training, { width, normalize: false })
      const loader = model.loader(training, { batch, seed })
      const begin = processorSeconds()
      let done = 0
      const progress = (): number => Math.max(done / epochs, Math.min(1, (processorSeconds() - begin) / seconds))
      await train.fit(model, loader, {
        ...{ epochs, seed, progress: false },
        optimizer: optim.adamW({ lr: () => lr * cycle(progress()), weightDecay: 1e-4 }),
        callbacks: {
          onEpochEnd: ({ epoch }, control) => {
            done = epoch + 1
            if (progress() >= 1) control.stop()
          },
        },
      })
      const answers = await model.eval().predict(test.map((example) => example.series))
      const right = answers.filter(({ label }, i) => label === test[i]?.label).length
      const others = [...(await published(name, folder))].map(([classifier, value]) => [
        `${classifier}, %`,
        100 * value,
      ])
      return { [ACCURACY]: (100 * right) / test.length, ...Object.fromEntries(others), epochs: done }
    }
  return {
    name: 'residual-series',
    title: 'Series: ResNet1d beside what is published',
    about: `The sets of the UCR and UEA archives that PyPI \`aeon\` 1.6.0 holds whole (\`npm run corpus:ucr\`), their official split, series of one dimension normalised by themselves. ResNet1d of Wang, Yan and Oates (2017), AdamW, one cycle of at most ${settings.epochs} epochs, cut where ${settings.seconds} s of processor time were over, or ${1000 * settings.secondsPerStep} ms for each step of the series to learn from. The other columns are the accuracies on the same split that the package says were published for other classifiers. The control is ItalyPowerDemand, which must reach 94 %.`,
    settings,
    variants: Object.fromEntries(SETS.map((name) => [name, run(name)])),
    verdicts: (mean) => {
      const ours = (name: string): number => mean(name, ACCURACY)
      const known = SETS.filter((name) => Number.isFinite(mean(name, 'InceptionTime, %')))
      const near = known.filter((name) => ours(name) >= mean(name, 'InceptionTime, %') - 2)
      return [
        claim(ours('ItalyPowerDemand') >= 94, `the control is trained: ${ours('ItalyPowerDemand').toFixed(1)} %`),
        claim(
          near.length > known.length / 2,
          `within two points of InceptionTime on most of the sets for which it is published (${near.length} of ${known.length}: ${near.join(', ')})`,
        ),
      ]
    },
  }
}

/** Up in a straight line for 30 % of the way, down to nothing in half a wave. */
function cycle(progress: number): number {
  return progress < 0.3 ? Math.max(0.02, progress / 0.3) : 0.5 * (1 + Math.cos((Math.PI * (progress - 0.3)) / 0.7))
}

const stepsOf = (examples: readonly models.LabelledSeries[]): number =>
  examples.reduce((sum, { series }) => sum + series.length, 0)

/** The convolutions' longest kernel: shorter series end with zeros. */
const LEAST = 8

/** Steps of time, each with its dimensions. */
function examplesOf({
  series: { data: values, shape },
  lengths,
  labels,
  classes,
}: data.UcrSeries): models.LabelledSeries[] {
  const [rows, dimensions, steps] = shape
  return Array.from({ length: rows }, (_, row) => ({
    label: classes[labels[row] as number] as string,
    series: Array.from({ length: Math.max(LEAST, lengths[row] as number) }, (__, t) =>
      Array.from({ length: dimensions }, (___, d) => values[(row * dimensions + d) * steps + t] as number),
    ),
  }))
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await command(series)
