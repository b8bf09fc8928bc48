// Study 3, once more on whole verses: the two systems that were best on segments.
import { fileURLToPath } from 'node:url'
import { claim, command, type Study } from '../study/study.js'
import { materialOf, SETTINGS, type System, type TranslationSettings, variantsOf } from './experiment.js'

const COMPARED: readonly System[] = ['Transformer', 'minLSTM']

export function verses(given: Partial<TranslationSettings> = {}, folder?: string): Study<TranslationSettings> {
  const settings = { ...SETTINGS, file: 'verses-40.tsv', pieces: 4000, width: 192, seconds: 240, ...given }
  return {
    name: 'seq2seq-verses',
    title: 'Whole verses',
    about: `English to French: whole verses of at most 40 words and marks, three English versions with Segond (\`npm run corpus:en-fr\`), 69,148 to learn from, 1,356 to watch, 2,082 for the test, none in two parts; otherwise as the segments of the [successors](seq2seq-successors.md), ${settings.seconds} s of processor time for each model.`,
    settings,
    variants: variantsOf(COMPARED, materialOf(settings, folder), settings),
    verdicts: (mean) => {
      const perplexity = (system: System): number => mean(system, 'perplexity')
      return [
        claim(
          perplexity('Transformer') < perplexity('minLSTM'),
          `the Transformer, which reads the source at every step, has the lower perplexity: ${perplexity('Transformer').toPrecision(3)} against ${perplexity('minLSTM').toPrecision(3)}`,
        ),
      ]
    },
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await command(verses)
