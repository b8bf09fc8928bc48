// Study 2: who trains at which depth: plain, residual and highway layers, and what depth does to the Jacobian.
import { fileURLToPath } from 'node:url'
import { axis, grad, manualSeed, models, stack, type Tensor, tensor } from 'quarterturn'
import { claim, command, type Mean, type Outcome, type Study } from '../study/study.js'
import { accuracy, DIGITS, type Digits, first, readDigits, trainFor } from './images.js'

export interface DepthSettings {
  width: number
  /** Of processor time, at depth 10; other depths have as much more as they have layers. */
  seconds: number
  batch: number
  lr: number
  /** Images to learn from, and of the test, at most. */
  rows: number
}

const DEPTHS = [10, 20, 50, 100]
const KINDS = {
  plain: { layer: 'plain' },
  residual: { layer: 'residual' },
  'highway, b = -1': { layer: 'highway', gateBias: -1 },
  'highway, b = -3': { layer: 'highway', gateBias: -3 },
  'highway, b = -5': { layer: 'highway', gateBias: -5 },
} as const satisfies Record<string, Partial<models.DeepNetOptions>>
type Kind = keyof typeof KINDS
const LOSS = 'training loss at the end'

export function depth(given: Partial<DepthSettings> = {}): Study<DepthSettings> {
  const settings = { width: 50, seconds: 2, batch: 64, lr: 0.02, rows: 60_000, ...given }
  const run =
    (kind: Kind, layers: number) =>
    async (seed: number, { width, seconds, batch, lr, rows }: DepthSettings): Promise<Outcome> => {
      const { training, test } = await readDigits(14)
      const part = first(training, rows)
      manualSeed(seed)
      const sizes = { inputs: 196, labels: DIGITS, depth: layers, width, scale: 1 / (layers - 1) }
      const model = new models.DeepNet({ ...sizes, ...KINDS[kind] })
      const begin = await spectrumOf(model, part)
      const budget = { seconds: (seconds * layers) / 10, batch, lr, seed, clipNorm: 1, points: 8 }
      const { steps, curve } = await trainFor(model, part, budget)
      const end = await spectrumOf(model, part)
      return {
        [LOSS]: curve.at(-1) as number,
        'test accuracy, %': await accuracy(model.eval(), first(test, rows)),
        'effective rank before': begin.effectiveRank,
        'effective rank after': end.effectiveRank,
        'largest singular value before': begin.norm,
        'largest singular value after': end.norm,
        'median before': begin.median,
        'median after': end.median,
        steps,
        'training loss in eighths of the time': curve,
      }
    }
  return {
    name: 'residual-depth',
    title: 'Who trains at which depth',
    about: `MNIST at 14 × 14, layers of ${settings.width} units with ReLU; residual branches are scaled by 1/K (with 1/√K the mean of ReLU, which is positive, makes the stream of 100 layers 260 times as large, and they end at a loss of 1.3); the biases of the highways' gates start at b. SGD with momentum, gradients clipped at norm 1, ${settings.seconds} s of processor time at depth 10 and in proportion at others. The Jacobian is that of the last layer's output by the first's for one image: its largest and median singular value and its effective rank (e to the entropy of their shares; ${settings.width} where all directions come through alike), before and after training. The control is the plain net of depth 10. Published: plain nets train at 10 and 20 layers; at 100 a highway net has a hundredth of their loss (Srivastava, Greff and Schmidhuber 2015).`,
    settings,
    variants: Object.fromEntries(
      DEPTHS.flatMap((layers) =>
        (Object.keys(KINDS) as Kind[]).map((kind) => [`${kind}, ${layers}`, run(kind, layers)]),
      ),
    ),
    verdicts,
  }
}

function verdicts(mean: Mean): string[] {
  const loss = (kind: Kind, layers: number): number => mean(`${kind}, ${layers}`, LOSS)
  const rank = (kind: Kind, layers: number): number => mean(`${kind}, ${layers}`, 'effective rank before')
  const highway = (layers: number): number =>
    Math.min(...(['highway, b = -1', 'highway, b = -3', 'highway, b = -5'] as const).map((k) => loss(k, layers)))
  const grown = (of: (layers: number) => number): string => `${of(10).toPrecision(2)} and ${of(100).toPrecision(2)}`
  const plain = (layers: number): number => loss('plain', layers)
  const residual = (layers: number): number => loss('residual', layers)
  return [
    claim(plain(10) < 0.3, `the control trains: loss ${plain(10).toPrecision(2)}`),
    claim(plain(100) > 2 * plain(10), `a plain net of 100 layers trains far worse than one of 10: ${grown(plain)}`),
    claim(residual(100) < 1.1 * residual(10), `a residual one does not: ${grown(residual)}`),
    claim(highway(100) < 1.1 * highway(10), `nor a highway, its gates nearly shut at first: ${grown(highway)}`),
    claim(
      plain(100) > 100 * highway(100),
      `at 100 layers a plain net has a hundred times the loss of a highway: ${(plain(100) / highway(100)).toFixed(1)} times`,
    ),
    claim(
      rank('plain', 100) < 5 && rank('residual', 100) > 15,
      `before training few directions come through 100 plain layers (effective rank ${rank('plain', 100).toFixed(1)}), and many through residual ones (${rank('residual', 100).toFixed(1)})`,
    ),
  ]
}

/** Of the last layer's output by the first's, for the first image. */
async function spectrumOf(model: models.DeepNet, { images }: Digits): Promise<axis.Spectrum> {
  const size = images.data.length / (images.shape[0] as number)
  const x = tensor(
    Float32Array.from(images.data.subarray(0, size), (byte) => byte / 255),
    { shape: [1, size] },
  )
  const { stream } = model.trace(x)
  const [from, to] = [stream[0] as Tensor, stream.at(-1) as Tensor]
  const rows = Array.from({ length: to.shape[1] as number }, (_, unit) =>
    grad(to.select(1, unit).sum(), [from], { retain: true, unused: 'zeros' }).get(from).flatten(),
  )
  return axis.spectrum(stack(rows, 0))
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await command(depth)
