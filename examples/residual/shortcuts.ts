// Study 3: what carries the stream past a block (He et al. 2016, table 1), at small scale.
import { fileURLToPath } from 'node:url'
import type { models } from 'quarterturn'
import { claim, command, type Outcome, type Study } from '../study/study.js'
import { accuracy, type ResNetSettings, trainedResNet } from './images.js'

/** What the paper has for ResNet-110 on CIFAR-10, error in per cent. */
const VARIANTS = {
  identity: { options: {}, published: '6.61' },
  'half of each': { options: { shortcut: 'constant' }, published: '12.35' },
  'exclusive gate, b = -6': { options: { shortcut: 'exclusiveGate', gateBias: -6 }, published: '8.70' },
  'exclusive gate, b = 0': { options: { shortcut: 'exclusiveGate', gateBias: 0 }, published: 'over 20' },
  'shortcut gate, b = -6': { options: { shortcut: 'shortcutGate', gateBias: -6 }, published: '6.91' },
  'shortcut gate, b = 0': { options: { shortcut: 'shortcutGate', gateBias: 0 }, published: '12.86' },
  '1×1 convolution': { options: { shortcut: 'conv' }, published: '12.22' },
  dropout: { options: { shortcut: 'dropout' }, published: 'over 20' },
  none: { options: { shortcut: 'none' }, published: '–' },
} as const satisfies Record<string, { options: Partial<models.ResNetOptions>; published: string }>
const ERROR = 'test error, %'
/** LeNet-1 on MNIST at 16 × 16 (LeCun et al. 1998, figure 9). */
const BASELINE = 1.7

export function shortcuts(given: Partial<ResNetSettings> = {}): Study<ResNetSettings> {
  const settings = { depth: 32, width: 8, seconds: 30, batch: 128, lr: 0.1, rows: 60_000, ...given }
  const run =
    (options: Partial<models.ResNetOptions>) =>
    async (seed: number, of: ResNetSettings): Promise<Outcome> => {
      const { model, test, steps, curve } = await trainedResNet(seed, of, { options, points: 8 })
      return {
        [ERROR]: 100 - (await accuracy(model, test)),
        'training loss at the end': curve.at(-1) as number,
        steps,
      }
    }
  return {
    name: 'residual-shortcuts',
    title: 'What carries the stream past a block',
    about: `ResNet-${settings.depth} of width ${settings.width} on MNIST at 14 × 14, each variant trained for ${settings.seconds} s of processor time. Published errors are those of ResNet-110 on CIFAR-10 (He et al. 2016, Identity mappings, table 1): ${Object.entries(
      VARIANTS,
    )
      .map(([name, { published }]) => `${name} ${published}`)
      .join(
        ', ',
      )}. The control is the identity, whose error must be within half a point of LeNet-1’s ${BASELINE} % (LeCun et al. 1998).`,
    settings,
    variants: Object.fromEntries(Object.entries(VARIANTS).map(([name, { options }]) => [name, run(options)])),
    verdicts: (mean) => {
      const error = (name: keyof typeof VARIANTS): number => mean(name, ERROR)
      const ranked = (Object.keys(VARIANTS) as (keyof typeof VARIANTS)[]).sort((a, b) => error(a) - error(b))
      return [
        claim(error('identity') < BASELINE + 0.5, `the control is trained: ${error('identity').toFixed(2)} %`),
        claim(
          ranked[0] === 'identity',
          `the identity is best; in order: ${ranked.map((name) => `${name} ${error(name).toFixed(2)}`).join(', ')}`,
        ),
        claim(
          error('shortcut gate, b = -6') < error('shortcut gate, b = 0') &&
            error('exclusive gate, b = -6') < error('exclusive gate, b = 0'),
          'gates that begin open to the identity are better than gates that begin half open',
        ),
        claim(error('half of each') > error('identity'), 'halving the stream at every block costs accuracy'),
      ]
    },
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await command(shortcuts)
