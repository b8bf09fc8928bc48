// Study 2: how wide the beam is, how many models write together, and n-best lists put in a new order, as in tables 1 and 2 of 2014.
import { fileURLToPath } from 'node:url'
import { models, text } from 'quarterturn'
import { claim, command, type Outcome, type Study } from '../study/study.js'
import {
  ABOUT,
  materialOf,
  measures,
  references,
  SETTINGS,
  type System,
  type TranslationSettings,
  trained,
} from './experiment.js'

const BEAMS = [1, 2, 12]
const WRITER: System = 'LSTM with attention'
const OTHER: System = 'LSTM'
const MOST = 5

export function beams(given: Partial<TranslationSettings> = {}, folder?: string): Study<TranslationSettings> {
  const settings = { ...SETTINGS, lengthPenalty: 0, ...given }
  const material = materialOf(settings, folder)
  const model = async (system: System, seed: number): Promise<models.EncoderDecoder> =>
    (await trained(system, seed, await material(), settings)).model
  /** With a number of models: those of this seed and the next ones, of five in all. */
  const ensemble = async (seed: number, count: number): Promise<models.Ensemble> => {
    const members: models.EncoderDecoder[] = []
    for (let i = 0; i < count; i++) members.push(await model(WRITER, ((seed - 1 + i) % MOST) + 1))
    return new models.Ensemble(members)
  }
  const written =
    (count: number, beam: number) =>
    async (seed: number): Promise<Outcome> => {
      const writer = await ensemble(seed, count)
      const { test } = await material()
      const found = await writer.decode(
        test.map(({ source }) => source),
        { beam, alternatives: 1 },
      )
      const logs = found.map(([best]) => best?.logProbability ?? 0)
      return {
        ...(await measures(writer, await material(), { beam, lengthPenalty: settings.lengthPenalty })),
        'log p of what is written': logs.reduce((sum, log) => sum + log, 0) / logs.length,
      }
    }
  const rescored =
    (count: number) =>
    async (seed: number): Promise<Outcome> => {
      const { test, target } = await material()
      const sources = test.map(({ source }) => source)
      const lists = await (await model(OTHER, seed)).decode(sources, { beam: 12 })
      const best = count === 0 ? lists : await (await ensemble(seed, count)).rescore(sources, lists)
      const texts = best.map(([first]) => target.detokenize([...(first?.symbols ?? [])]))
      const known = references(test)
      const { score, low, high } = text.bootstrap(text.bleu(texts, known))
      return { BLEU: score, 'BLEU, 95 % from': low, 'BLEU, 95 % to': high, chrF: text.chrF(texts, known).score }
    }
  const counts = { 'one model': 1, 'two models': 2, 'five models': MOST }
  return {
    name: 'seq2seq-beams',
    title: 'Beams, ensembles, rescoring',
    about: `${ABOUT} Models are of the system “${WRITER}” and differ in their first weights and the order of batches; five in all, so that the row of five is the same for every seed. No length penalty, as in 2014. Rescored are the 12-best lists of “${OTHER}”, by the even mean of the two scores. Published: beam 2 gives most of what beam 12 gives; BLEU 30.59 of one model, 33.27 of two, 34.81 of five (beam 12); rescoring by five adds 3.2 to 33.3.`,
    settings,
    variants: {
      ...Object.fromEntries(
        Object.entries(counts).flatMap(([name, count]) =>
          BEAMS.map((beam) => [`${name}, beam ${beam}`, written(count, beam)] as const),
        ),
      ),
      [`12-best of ${OTHER}, the first`]: rescored(0),
      [`12-best of ${OTHER}, rescored by one`]: rescored(1),
      [`12-best of ${OTHER}, rescored by five`]: rescored(MOST),
    },
    verdicts: (mean) => {
      const log = (variant: string): number => mean(variant, 'log p of what is written')
      const perplexity = (name: string): number => mean(`${name}, beam 1`, 'perplexity')
      const chrF = (variant: string): number => mean(`12-best of ${OTHER}, ${variant}`, 'chrF')
      const found = (beam: number): number => log(`one model, beam ${beam}`) - log('one model, beam 1')
      return [
        claim(
          found(2) > found(12) / 2,
          `beam 2 finds most of what beam 12 finds: ${found(2).toFixed(2)} of ${found(12).toFixed(2)} nats`,
        ),
        claim(
          perplexity('five models') < perplexity('two models') && perplexity('two models') < perplexity('one model'),
          `each model more lowers the perplexity: ${Object.keys(counts)
            .map((name) => perplexity(name).toPrecision(3))
            .join(', ')}`,
        ),
        claim(
          chrF('rescored by five') > chrF('the first'),
          `rescoring by five raises chrF: ${chrF('the first').toFixed(1)} → ${chrF('rescored by five').toFixed(1)}`,
        ),
      ]
    },
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await command(beams)
