// Study 2, copy memory (Arjovsky et al. 2016): ten symbols are repeated after T blanks; biases of the gates for long memories against zeros.
import { fileURLToPath } from 'node:url'
import { axis, nn, type Tensor, tensor } from 'quarterturn'
import { draws } from '../study/draws.js'
import { claim, command, type Outcome, type Study } from '../study/study.js'
import { evaluate, SequenceModel, trainModel } from './sequence-model.js'

export interface CopySettings {
  blanks: number
  width: number
  batch: number
  steps: number
  lr: number
}

const [SYMBOLS, LENGTH] = [8, 10]
const [BLANK, GO] = [SYMBOLS, SYMBOLS + 1]

/** Cross entropy per step of an answer that guesses the ten symbols and knows the blanks. */
const memoryless = (blanks: number): number => (LENGTH * Math.log(SYMBOLS)) / (blanks + 2 * LENGTH)

export function copy(given: Partial<CopySettings> = {}): Study<CopySettings> {
  const settings = { blanks: 50, width: 128, batch: 32, steps: 4000, lr: 2e-3, ...given }
  const run =
    (alongTime: (blanks: number) => axis.Carrier, blanksOf = (blanks: number) => blanks) =>
    async (seed: number, { blanks: asked, width, batch, steps, lr }: CopySettings): Promise<Outcome> => {
      const blanks = blanksOf(asked)
      const model = new SequenceModel({
        input: { tokens: SYMBOLS + 2 },
        output: SYMBOLS + 1,
        width,
        layers: 1,
        alongTime: alongTime(blanks),
        alongDepth: axis.plain(),
      })
      const loss = (random: () => number) => (): Tensor => {
        const { x, y } = batchOf(random, batch, blanks)
        return nn.functional.crossEntropy(model.forward(x), y)
      }
      await trainModel(model, loss(draws(seed)), { steps, lr })
      const found = await evaluate(model, loss(draws(1000 + seed)), 8)
      return { 'cross entropy': found, 'of memoryless': found / memoryless(blanks) }
    }
  return {
    name: 'copy',
    title: 'Copy memory',
    about: `Ten of eight symbols, T blanks, then the ten again. Guessing them leaves 10 ln 8/(T + 20) nats a step, ${memoryless(settings.blanks).toFixed(4)} at T = ${settings.blanks}. The control is the same LSTM with 5 blanks, which must do better than half of that: the budget is enough to learn copying.`,
    settings,
    variants: {
      'LSTM, chrono': run((blanks) => axis.lstm({ chrono: blanks + 2 * LENGTH })),
      'LSTM, forget bias 0': run(() => axis.lstm({ forgetBias: 0 })),
      'LSTM, forget bias 1': run(() => axis.lstm({ forgetBias: 1 })),
      'LSTM, 5 blanks (control)': run(
        () => axis.lstm({ forgetBias: 1 }),
        () => 5,
      ),
    },
    verdicts: (mean) => {
      const share = (variant: string): number => mean(variant, 'of memoryless')
      return [
        claim(share('LSTM, 5 blanks (control)') < 0.5, 'the control learns to copy'),
        claim(share('LSTM, chrono') < 0.5, 'with chrono biases the symbols are kept'),
        claim(share('LSTM, forget bias 0') > 0.9, 'with zero biases they are guessed'),
      ]
    },
  }
}

function batchOf(random: () => number, batch: number, blanks: number): { x: Tensor; y: Tensor } {
  const time = blanks + 2 * LENGTH
  const [x, y] = [new Int32Array(batch * time).fill(BLANK), new Int32Array(batch * time).fill(BLANK)]
  for (let row = 0; row < batch; row++) {
    for (let i = 0; i < LENGTH; i++) {
      const symbol = Math.floor(random() * SYMBOLS)
      x[row * time + i] = symbol
      y[row * time + blanks + LENGTH + i] = symbol
    }
    x[row * time + blanks + LENGTH - 1] = GO
  }
  const whole = (values: Int32Array): Tensor => tensor(values, { shape: [batch, time] }).to('int64')
  return { x: whole(x), y: whole(y) }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await command(copy)
