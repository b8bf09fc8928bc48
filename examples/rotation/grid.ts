// Study 12, the grid: six carriers along time × six along depth, at equal parameters and equal time, on one language task.
import { fileURLToPath } from 'node:url'
import { axis } from 'quarterturn'
import { claim, command, type Outcome, type Study } from '../study/study.js'
import { letterLoss, pairsOfLetters, readLetters } from './letters.js'
import { evaluate, SequenceModel, trainModel, widthFor } from './sequence-model.js'

export interface GridSettings {
  layers: number
  parameters: number
  context: number
  batch: number
  seconds: number
  steps: number
  lr: number
}

const TIME = {
  Elman: axis.elman,
  LSTM: axis.lstm,
  GRU: axis.gru,
  minLSTM: axis.minLSTM,
  LRU: axis.lru,
  attention: axis.attention,
} as const
const DEPTH = {
  plain: axis.plain,
  residual: axis.residual,
  Highway: axis.highway,
  'LSTM over depth': axis.lstm,
  DenseFormer: axis.denseFormer,
  'Attention Residuals': axis.attentionResiduals,
} as const

const MEASURE = 'nats per letter'

export function grid(given: Partial<GridSettings> = {}): Study<GridSettings> {
  const settings = {
    ...{ layers: 6, parameters: 100_000, context: 64, batch: 16, seconds: 20, steps: 1e6, lr: 2e-3 },
    ...given,
  }
  const letters = readLetters()
  const pairs = pairsOfLetters(letters)
  const run =
    (alongTime: () => axis.Carrier, alongDepth: () => axis.Carrier) =>
    async (
      seed: number,
      { layers, parameters, context, batch, seconds, steps, lr }: GridSettings,
    ): Promise<Outcome> => {
      const options = {
        ...{ input: { tokens: letters.size }, output: letters.size, layers },
        ...{ alongTime: alongTime(), alongDepth: alongDepth() },
      }
      const width = widthFor(options, parameters)
      const model = new SequenceModel({ ...options, width })
      const loss = (part: Int32Array, from: number) => letterLoss(model, part, { batch, context, seed: from })
      const done = await trainModel(model, loss(letters.training, seed), { steps, seconds, lr })
      return { [MEASURE]: await evaluate(model, loss(letters.test, 1000 + seed), 8), steps: done, width }
    }
  const cell = (time: string, depth: string): string => `${time} × ${depth}`
  return {
    name: 'grid',
    title: 'The grid: six ways along time, six along depth',
    about: `Nats per letter on fiction of the Brown corpus after ${settings.seconds} s of training on one thread, all cells of about ${settings.parameters} parameters. The control is LSTM × residual, which must beat pairs of letters (${pairs.toFixed(3)} nats).`,
    settings,
    variants: Object.fromEntries(
      Object.entries(TIME).flatMap(([time, alongTime]) =>
        Object.entries(DEPTH).map(([depth, alongDepth]) => [cell(time, depth), run(alongTime, alongDepth)]),
      ),
    ),
    table: (mean) =>
      [
        `| along time \\ along depth | ${Object.keys(DEPTH).join(' | ')} |`,
        `| --- |${Object.keys(DEPTH)
          .map(() => ' --- |')
          .join('')}`,
        ...Object.keys(TIME).map(
          (time) =>
            `| ${time} | ${Object.keys(DEPTH)
              .map((depth) => mean(cell(time, depth), MEASURE).toFixed(3))
              .join(' | ')} |`,
        ),
      ].join('\n'),
    verdicts: (mean) => {
      const nats = (time: string, depth: string): number => mean(cell(time, depth), MEASURE)
      return [
        claim(nats('LSTM', 'residual') < pairs, 'the control is trained'),
        claim(
          Object.keys(TIME).every((time) => nats(time, 'residual') < nats(time, 'plain')),
          'a residual stream beats a plain net along depth, whatever is along time',
        ),
        claim(
          Object.keys(DEPTH).every((depth) => nats('LSTM', depth) < nats('Elman', depth)),
          'gates beat the plain map along time, whatever is along depth',
        ),
      ]
    },
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await command(grid)
