// Study 6: what a training step takes at which length: recurrences go step by step along time, scans and attention do not.
import { fileURLToPath } from 'node:url'
import { grad, models, optim, scope, type Tensor, tensor, text } from 'quarterturn'
import { lineChart } from '../chart/line-chart.js'
import { draws } from '../study/draws.js'
import { claim, command, type Mean, type Outcome, processorSeconds, type Study } from '../study/study.js'
import { SYSTEMS, type System } from './experiment.js'

export interface LengthSettings {
  /** Of the source, and as many of the target, in a batch: B = symbols / length. */
  symbols: number
  pieces: number
  width: number
  layers: number
  /** Steps that are timed at each length. */
  steps: number
}

const COMPARED: readonly System[] = ['LSTM', 'minLSTM', 'Transformer']
const LENGTHS = [8, 16, 32, 64, 128, 256, 512]
const MEASURE = 'microseconds per symbol'

export function lengths(given: Partial<LengthSettings> = {}): Study<LengthSettings> {
  const settings = { symbols: 1024, pieces: 1500, width: 128, layers: 2, steps: 8, ...given }
  return {
    name: 'seq2seq-lengths',
    title: 'Training time against length',
    about: `A training step (loss, gradients, AdamW) of batches that all have ${settings.symbols} symbols on each side, at lengths from ${LENGTHS[0]} to ${LENGTHS.at(-1)}: the work of a recurrence and of a scan is the same at every length, that of attention grows with it. What a recurrence loses is the batch: at length ${LENGTHS.at(-1)} a step along time has ${Math.max(1, Math.floor(settings.symbols / (LENGTHS.at(-1) as number)))} rows, and there are ${LENGTHS.at(-1)} of them, one after another. One thread, processor time, medians of ${settings.steps} steps; points are lengths ${LENGTHS.join(', ')}.`,
    settings,
    variants: Object.fromEntries(COMPARED.map((system) => [system, (seed) => timed(system, seed, settings)])),
    figure: (mean) => ({
      svg: lineChart(
        COMPARED.map((name) => ({ name, points: LENGTHS.map((x, i) => ({ x, y: mean(name, MEASURE, i) })) })),
        {
          title: 'Training time against length, one thread',
          x: { label: 'length of source and target', log: true, ticks: LENGTHS },
          y: { label: `${MEASURE}`, log: true },
        },
      ),
      about: 'Training time per symbol against length',
    }),
    verdicts: (mean) => {
      const growth = (system: System): number => mean(system, MEASURE, LENGTHS.length - 1) / mean(system, MEASURE, 0)
      const told = COMPARED.map((system) => `${system} ${growth(system).toFixed(1)} times`).join(', ')
      return [
        claim(
          growth('LSTM') > 1.5 * growth('minLSTM'),
          `a recurrence loses more by length than a scan (from ${LENGTHS[0]} to ${LENGTHS.at(-1)}: ${told})`,
        ),
        claim(fastest(mean, LENGTHS.length - 1) === 'minLSTM', `the scan is the fastest at length ${LENGTHS.at(-1)}`),
      ]
    },
  }
}

function fastest(mean: Mean, point: number): System {
  return COMPARED.reduce((best, system) => (mean(system, MEASURE, point) < mean(best, MEASURE, point) ? system : best))
}

async function timed(
  system: System,
  seed: number,
  { symbols, pieces, width, layers, steps }: LengthSettings,
): Promise<Outcome> {
  const vocabulary = new text.Vocabulary(Array.from({ length: pieces - 2 }, (_, i) => `w${i}`))
  const model = new models.EncoderDecoder({
    ...{ source: vocabulary, target: vocabulary, width, numLayers: layers },
    ...SYSTEMS[system],
  })
  const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-4 })
  const random = draws(seed)
  const curve: number[] = []
  for (const length of LENGTHS) {
    const rows = Math.max(1, Math.floor(symbols / length))
    const ids = (): Tensor =>
      tensor(
        Array.from({ length: rows }, () => Array.from({ length }, () => 2 + Math.floor(random() * (pieces - 2)))),
        { dtype: 'int64' },
      )
    const batch = { source: ids(), target: ids() }
    const taken: number[] = []
    for (let step = -2; step < steps; step++) {
      const begin = processorSeconds()
      const loss = scope(() => {
        const value = model.loss(batch)
        optimizer.step(grad(value, model.parameters()))
        return value
      })
      await loss.item()
      if (step >= 0) taken.push(processorSeconds() - begin)
    }
    taken.sort((a, b) => a - b)
    curve.push((1e6 * (taken[steps >> 1] as number)) / (rows * length))
  }
  return { [MEASURE]: curve }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await command(lengths)
