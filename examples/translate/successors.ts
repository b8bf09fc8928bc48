// Study 3: the system of 2014 and what came after, at four sizes of the data.
import { fileURLToPath } from 'node:url'
import { claim, command, type Outcome, processorSeconds, type Study } from '../study/study.js'
import {
  ABOUT,
  materialOf,
  measures,
  SETTINGS,
  type System,
  type Trained,
  type TranslationSettings,
  trained,
} from './experiment.js'

const COMPARED: readonly System[] = ['LSTM', 'LSTM with attention', 'minLSTM', 'Transformer']
const SHARES = { eighth: 1 / 8, quarter: 1 / 4, half: 1 / 2, whole: 1 }

export interface SuccessorSettings extends TranslationSettings {
  /** The perplexity by piece, of the part that is watched, to which the time is measured. */
  reached: number
}

export function successors(given: Partial<SuccessorSettings> = {}, folder?: string): Study<SuccessorSettings> {
  const settings = { ...SETTINGS, reached: 100, ...given }
  const { reached, ...training } = settings
  const material = materialOf(settings, folder)
  const run =
    (system: System, share: number) =>
    async (seed: number): Promise<Outcome> => {
      const of = await trained(system, seed, await material(), training, share)
      const seconds = secondsTo(of, reached)
      return {
        ...(await measures(of.model, await material(), settings)),
        ...(seconds === undefined ? {} : { [`seconds to perplexity ${reached}`]: seconds }),
        ...(await decodingSpeed(of, await material())),
        epochs: of.epochs,
      }
    }
  return {
    name: 'seq2seq-successors',
    title: 'The system of 2014 and its successors',
    about: `${ABOUT} Every model has the same time; an eighth, a quarter and a half of the pairs have that share of it, a quarter at least. “LSTM” is the system of 2014, small, with its source reversed. Decoding is greedy: all sentences of the test together, and one by one. The control is the LSTM of all pairs, which must be below half the number of pieces.`,
    settings,
    variants: Object.fromEntries(
      COMPARED.flatMap((system) =>
        Object.entries(SHARES).map(([name, share]) => [`${system}, ${name}`, run(system, share)]),
      ),
    ),
    verdicts: (mean) => {
      const perplexity = (system: string, share = 'whole'): number => mean(`${system}, ${share}`, 'perplexity')
      const rates = COMPARED.map((system) => `${system} ${perplexity(system).toPrecision(3)}`).join(', ')
      return [
        claim(perplexity('LSTM') < settings.pieces / 2, 'the control is below half the number of pieces'),
        claim(
          perplexity('LSTM with attention') < perplexity('LSTM'),
          `attention lowers the perplexity of all pairs (${rates})`,
        ),
        claim(
          COMPARED.every((system) => perplexity(system) < perplexity(system, 'eighth')),
          'more pairs, and the time they need, help every system',
        ),
        claim(
          perplexity('LSTM with attention', 'eighth') < perplexity('Transformer', 'eighth'),
          'with few pairs the recurrent net is ahead of the Transformer',
        ),
      ]
    },
  }
}

/** When the perplexity is first at most so high, in a straight line between two epochs. */
function secondsTo({ curve }: Trained, perplexity: number): number | undefined {
  const at = curve.findIndex((point) => point.perplexity <= perplexity)
  const [before, after] = [curve[at - 1], curve[at]]
  if (after === undefined) return undefined
  if (before === undefined) return after.seconds
  const share = (before.perplexity - perplexity) / (before.perplexity - after.perplexity)
  return before.seconds + share * (after.seconds - before.seconds)
}

async function decodingSpeed(
  { model }: Trained,
  { test }: { test: readonly { source: readonly string[] }[] },
): Promise<Outcome> {
  const timed = async (batches: readonly (readonly string[])[][]): Promise<number> => {
    let symbols = 0
    const begin = processorSeconds()
    for (const batch of batches)
      for (const [best] of await model.decode(batch)) symbols += (best?.symbols.length ?? 0) + 1
    return symbols / (processorSeconds() - begin)
  }
  const sources = test.map(({ source }) => source)
  await timed([sources.slice(0, 2)])
  return {
    'pieces per processor second, together': await timed([sources]),
    'pieces per processor second, one by one': await timed(sources.slice(0, 50).map((source) => [source])),
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await command(successors)
