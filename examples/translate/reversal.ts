// Study 1: the source from its end, as in 2014, or as it is; without attention and with it.
import { fileURLToPath } from 'node:url'
import { claim, command, type Study } from '../study/study.js'
import { ABOUT, materialOf, SETTINGS, type System, type TranslationSettings, variantsOf } from './experiment.js'

const COMPARED: readonly System[] = [
  'LSTM, source as it is',
  'LSTM',
  'LSTM with attention, source as it is',
  'LSTM with attention',
]

export function reversal(given: Partial<TranslationSettings> = {}, folder?: string): Study<TranslationSettings> {
  const settings = { ...SETTINGS, ...given }
  return {
    name: 'seq2seq-reversal',
    title: 'Reversal of the source',
    about: `${ABOUT} “LSTM” reads the source from its end. Published: perplexity 5.8 → 4.7, BLEU 25.9 → 30.6 by reversal, without attention (Sutskever, Vinyals and Le 2014, §3.3).`,
    settings,
    variants: variantsOf(COMPARED, materialOf(settings, folder), settings),
    verdicts: (mean) => {
      const perplexity = (system: System): number => mean(system, 'perplexity')
      const [plain, turned] = [perplexity('LSTM, source as it is'), perplexity('LSTM')]
      const [attending, both] = [perplexity('LSTM with attention, source as it is'), perplexity('LSTM with attention')]
      return [
        claim(turned < plain, `reversal lowers the perplexity without attention: ${told(plain)} → ${told(turned)}`),
        claim(
          Math.abs(Math.log(both / attending)) < Math.abs(Math.log(turned / plain)),
          `with attention it matters less: ${told(attending)} → ${told(both)}`,
        ),
        claim(attending < plain, `attention lowers the perplexity: ${told(plain)} → ${told(attending)}`),
      ]
    },
  }
}

const told = (value: number): string => value.toPrecision(3)

if (process.argv[1] === fileURLToPath(import.meta.url)) await command(reversal)
