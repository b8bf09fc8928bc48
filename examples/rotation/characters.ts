// Study 6, a character model: LSTM, minLSTM and Transformer, each given the same time, at three contexts.
import { fileURLToPath } from 'node:url'
import { axis } from 'quarterturn'
import { claim, command, type Outcome, type Study } from '../study/study.js'
import { letterLoss, pairsOfLetters, readLetters } from './letters.js'
import { evaluate, SequenceModel, trainModel, widthFor } from './sequence-model.js'

export interface CharactersSettings {
  /** Letters of a batch: B = tokens / context. */
  tokens: number
  parameters: number
  layers: number
  seconds: number
  steps: number
  lr: number
}

const CONTEXTS = [256, 1024, 4096]

export function characters(given: Partial<CharactersSettings> = {}): Study<CharactersSettings> {
  const settings = { tokens: 4096, parameters: 200_000, layers: 3, seconds: 45, steps: 1e6, lr: 2e-3, ...given }
  const letters = readLetters()
  const run =
    (alongTime: () => axis.Carrier, mlp: boolean, context: number) =>
    async (seed: number, { tokens, parameters, layers, seconds, steps, lr }: CharactersSettings): Promise<Outcome> => {
      const options = {
        ...{ input: { tokens: letters.size }, output: letters.size, layers },
        ...{ alongTime: alongTime(), alongDepth: axis.residual(), mlp },
      }
      const model = new SequenceModel({ ...options, width: widthFor(options, parameters) })
      const batch = Math.max(1, Math.floor(tokens / context))
      const loss = (part: Int32Array, from: number) => letterLoss(model, part, { batch, context, seed: from })
      const done = await trainModel(model, loss(letters.training, seed), { steps, seconds, lr })
      return { 'nats per letter': await evaluate(model, loss(letters.test, 1000 + seed), 8), steps: done }
    }
  const models = {
    LSTM: [axis.lstm, false],
    minLSTM: [axis.minLSTM, true],
    Transformer: [axis.attention, true],
  } as const
  const pairs = pairsOfLetters(letters)
  return {
    name: 'characters',
    title: 'Character model at equal time',
    about: `Fiction of the Brown corpus, letter by letter; models of equal size, each trained for ${settings.seconds} s on one thread at one context. The control is a table of pairs of letters: ${pairs.toFixed(3)} nats, which each model must beat or it is undertrained.`,
    settings,
    variants: Object.fromEntries(
      CONTEXTS.flatMap((context) =>
        Object.entries(models).map(([name, [carrier, mlp]]) => [`${name}, ${context}`, run(carrier, mlp, context)]),
      ),
    ),
    verdicts: (mean) =>
      CONTEXTS.flatMap((context) => {
        const nats = (name: string): number => mean(`${name}, ${context}`, 'nats per letter')
        return [
          claim(
            Object.keys(models).every((name) => nats(name) < pairs),
            `context ${context}: every model beats pairs of letters`,
          ),
          claim(
            nats('minLSTM') < nats('Transformer') + 0.02,
            `context ${context}: minLSTM is within 0.02 nats of the Transformer`,
          ),
        ]
      }),
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await command(characters)
