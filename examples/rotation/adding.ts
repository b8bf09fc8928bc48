// Study 1, the adding problem (Hochreiter and Schmidhuber 1997): the sum of two marked numbers among T.
import { fileURLToPath } from 'node:url'
import { axis, nn, type Tensor, tensor } from 'quarterturn'
import { draws } from '../study/draws.js'
import { claim, command, type Outcome, type Study } from '../study/study.js'
import { evaluate, SequenceModel, trainModel } from './sequence-model.js'

export interface AddingSettings {
  time: number
  width: number
  layers: number
  batch: number
  steps: number
  lr: number
}

/** The variance of the sum of two uniform numbers: what a constant answer leaves. */
const CONSTANT = 1 / 6

export function adding(given: Partial<AddingSettings> = {}): Study<AddingSettings> {
  const settings = { time: 100, width: 64, layers: 2, batch: 32, steps: 3000, lr: 2e-3, ...given }
  const run =
    (alongTime: () => axis.Carrier) =>
    async (seed: number, { time, width, layers, batch, steps, lr }: AddingSettings): Promise<Outcome> => {
      const model = new SequenceModel({
        input: 2,
        output: 1,
        width,
        layers,
        alongTime: alongTime(),
        alongDepth: axis.residual(),
      })
      const loss = (random: () => number) => (): Tensor => {
        const { x, y } = batchOf(random, batch, time)
        return nn.functional.mseLoss(model.forward(x).select(1, time - 1), y)
      }
      await trainModel(model, loss(draws(seed)), { steps, lr })
      return { 'mean squared error': await evaluate(model, loss(draws(1000 + seed)), 8) }
    }
  return {
    name: 'adding',
    title: 'Adding problem',
    about: `Two of T numbers are marked; the answer is their sum. A constant answer leaves a mean squared error of 1/6 = ${CONSTANT.toFixed(4)}. The control is a linear map without memory, which must stay there: what is better has remembered.`,
    settings,
    variants: {
      LSTM: run(axis.lstm),
      minLSTM: run(axis.minLSTM),
      Elman: run(axis.elman),
      'no memory (control)': run(axis.dense),
    },
    verdicts: (mean) => {
      const error = (variant: string): number => mean(variant, 'mean squared error')
      return [
        claim(error('no memory (control)') > 0.9 * CONSTANT, 'without memory nothing is better than a constant'),
        claim(error('LSTM') < 0.01, 'the LSTM is below 0.01'),
        claim(error('minLSTM') < 0.01, 'the minLSTM is below 0.01'),
        claim(error('Elman') > 0.5 * CONSTANT, 'the Elman network does not learn it'),
      ]
    },
  }
}

/** x [B, T, 2]: numbers and marks, one mark in each half; y [B, 1]. */
function batchOf(random: () => number, batch: number, time: number): { x: Tensor; y: Tensor } {
  const [x, y] = [new Float32Array(batch * time * 2), new Float32Array(batch)]
  for (let row = 0; row < batch; row++) {
    for (let t = 0; t < time; t++) x[(row * time + t) * 2] = random()
    const half = Math.floor(time / 2)
    for (const t of [Math.floor(random() * half), half + Math.floor(random() * (time - half))]) {
      const at = (row * time + t) * 2
      x[at + 1] = 1
      y[row] = (y[row] as number) + (x[at] as number)
    }
  }
  return { x: tensor(x, { shape: [batch, time, 2] }), y: tensor(y, { shape: [batch, 1] }) }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await command(adding)
