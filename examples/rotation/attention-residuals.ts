// Study 11, Attention Residuals (arXiv 2603.15031) against the plain residual stream and static weights, in a small deep language model.
import { fileURLToPath } from 'node:url'
import { axis, grad, scope, type Tensor } from 'quarterturn'
import { letterLoss, pairsOfLetters, readLetters } from './letters.js'
import { evaluate, SequenceModel, trainModel } from './sequence-model.js'
import { claim, command, type Outcome, type Study } from './study.js'

export interface AttentionResidualsSettings {
  layers: number
  width: number
  context: number
  batch: number
  steps: number
  lr: number
}

export function attentionResiduals(given: Partial<AttentionResidualsSettings> = {}): Study<AttentionResidualsSettings> {
  const settings = { layers: 12, width: 128, context: 256, batch: 16, steps: 2000, lr: 1e-3, ...given }
  const letters = readLetters()
  const pairs = pairsOfLetters(letters)
  const run =
    (alongDepth: () => axis.Carrier) =>
    async (
      seed: number,
      { layers, width, context, batch, steps, lr }: AttentionResidualsSettings,
    ): Promise<Outcome> => {
      const model = new SequenceModel({
        ...{ input: { tokens: letters.size }, output: letters.size, width, layers, mlp: true },
        ...{ alongTime: axis.attention(), alongDepth: alongDepth() },
      })
      const loss = (part: Int32Array, from: number) => letterLoss(model, part, { batch, context, seed: from })
      await trainModel(model, loss(letters.training, seed), { steps, lr })
      const gradients = await slopeOfGradients(model, loss(letters.training, 2000 + seed))
      return {
        'nats per letter': await evaluate(model, loss(letters.test, 1000 + seed), 8),
        'gradient, first to last layer': gradients,
      }
    }
  return {
    name: 'attention-residuals',
    title: 'Attention Residuals',
    about: `A Transformer over letters, ${settings.layers} layers with an MLP each, by what carries the stream along depth. Measured after training: the loss, and how much larger the gradient of the first quarter's weights is than that of the last quarter's (root mean square; the published pathology of the plain residual stream is that early layers have the largest). The control is the plain residual stream, which must beat pairs of letters (${pairs.toFixed(3)} nats).`,
    settings,
    variants: {
      'residual (control)': run(axis.residual),
      DenseFormer: run(axis.denseFormer),
      'Attention Residuals, full': run(axis.attentionResiduals),
      'Attention Residuals, blocks of 4': run(() => axis.attentionResiduals({ block: 4 })),
    },
    verdicts: (mean) => {
      const [plain, full] = ['residual (control)', 'Attention Residuals, full'] as const
      const slope = (variant: string): number => Math.abs(Math.log(mean(variant, 'gradient, first to last layer')))
      return [
        claim(mean(plain, 'nats per letter') < pairs, 'the control is trained'),
        claim(
          mean(full, 'nats per letter') < mean(plain, 'nats per letter'),
          'attention over depth has the lower loss',
        ),
        claim(slope(full) < slope(plain), 'attention over depth makes gradients more even over layers'),
      ]
    },
  }
}

/** Root mean square of the gradients of the first quarter of the writes, over that of the last. */
async function slopeOfGradients(model: SequenceModel, loss: () => Tensor): Promise<number> {
  const named = [...model.stack.namedParameters()]
  const { writes } = model.stack
  const quarter = Math.max(1, Math.floor(writes.length / 4))
  const within = (from: number, to: number) =>
    named.filter(([path]) => {
      const index = Number(/^writes\.(\d+)\.(time|mlp)/.exec(path)?.[1] ?? -1)
      return index >= from && index < to
    })
  const groups = [within(0, quarter), within(writes.length - quarter, writes.length)]
  const norms = scope(() => {
    const all = groups.flat().map(([, variable]) => variable)
    const gradients = grad(loss(), all)
    return groups.map((group) => group.map(([, variable]) => gradients.get(variable).square().sum()))
  })
  const sizes = groups.map((group) => group.reduce((sum, [, { size }]) => sum + size, 0))
  const squares = await Promise.all(
    norms.map(async (group) =>
      (await Promise.all(group.map((x) => x.item()))).reduce<number>((s, x) => s + Number(x), 0),
    ),
  )
  return Math.sqrt((squares[0] as number) / (sizes[0] as number) / ((squares[1] as number) / (sizes[1] as number)))
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await command(attentionResiduals)
