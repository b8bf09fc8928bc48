// Study 11, Attention Residuals (arXiv 2603.15031) against the plain residual stream and static weights, in a small deep language model.
import { fileURLToPath } from 'node:url'
import { axis, grad, scope, type Tensor } from 'quarterturn'
import { claim, command, type Outcome, type Study } from '../study/study.js'
import { letterLoss, pairsOfLetters, readLetters } from './letters.js'
import { evaluate, SequenceModel, trainModel } from './sequence-model.js'

export interface AttentionResidualsSettings {
  layers: number
  width: number
  context: number
  batch: number
  steps: number
  lr: number
}

export function attentionResiduals(given: Partial<AttentionResidualsSettings> = {}): Study<AttentionResidualsSettings> {
  const settings = { layers: 12, width: 64, context: 64, batch: 16, steps: 300, lr: 1e-3, ...given }
  const letters = readLetters()
  const pairs = pairsOfLetters(letters)
  const run =
    (alongDepth: () => axis.Carrier) =>
    async (
      seed: number,
      { layers, width, context, batch, steps, lr }: AttentionResidualsSettings,
    ): Promise<Outcome> => {
      const depth = new Watched(alongDepth())
      const model = new SequenceModel({
        ...{ input: { tokens: letters.size }, output: letters.size, width, layers, mlp: true },
        ...{ alongTime: axis.attention(), alongDepth: depth.carrier },
      })
      const loss = (part: Int32Array, from: number, of: Pick<SequenceModel, 'forward'> = model) =>
        letterLoss(of, part, { batch, context, seed: from })
      await trainModel(model, loss(letters.training, seed), { steps, lr })
      const gradients = await slopeOfGradients(model, loss(letters.training, 2000 + seed))
      const { stream, writes } = await alongLayers(depth, loss(letters.training, 2000 + seed, unscoped(model)), layers)
      return {
        'nats per letter': await evaluate(model, loss(letters.test, 1000 + seed), 8),
        'gradient, first to last layer': gradients,
        'stream, last to first layer': (stream.at(-1) as number) / (stream[0] as number),
        'gradient of writes, first to last layer': (writes[0] as number) / (writes.at(-1) as number),
        'stream after layer': stream,
        'gradient of what layer writes': writes,
      }
    }
  return {
    name: 'attention-residuals',
    title: 'Attention Residuals',
    about: `A Transformer over letters, ${settings.layers} layers with an MLP each, by what carries the stream along depth. Measured after training: the loss, and how much larger the gradient of the first quarter's weights is than that of the last quarter's (root mean square; the published pathology of the plain residual stream is that early layers have the largest). And two curves along depth, root mean squares per element: the stream ‖h_l‖ that is read after layer l, which the plain residual stream lets grow with depth, and ∂L/∂v_l of what layer l writes; of each the ratio of its ends. The control is the plain residual stream, which must beat pairs of letters (${pairs.toFixed(3)} nats).`,
    settings,
    variants: {
      'residual (control)': run(axis.residual),
      DenseFormer: run(axis.denseFormer),
      'Attention Residuals, full': run(axis.attentionResiduals),
      'Attention Residuals, blocks of 4': run(() => axis.attentionResiduals({ block: 4 })),
    },
    verdicts: (mean) => {
      const [plain, full] = ['residual (control)', 'Attention Residuals, full'] as const
      /** How far the ends of a curve are apart, in either direction. */
      const slope = (variant: string, measure: string): number => Math.abs(Math.log(mean(variant, measure)))
      const flatter = (measure: string, text: string): string =>
        claim(slope(full, measure) < slope(plain, measure), text)
      return [
        claim(mean(plain, 'nats per letter') < pairs, 'the control is trained'),
        claim(
          mean(full, 'nats per letter') < mean(plain, 'nats per letter'),
          'attention over depth has the lower loss',
        ),
        flatter('gradient, first to last layer', 'attention over depth makes gradients more even over layers'),
        claim(mean(plain, 'stream, last to first layer') > 1, 'the plain residual stream grows with depth'),
        flatter(
          'stream, last to first layer',
          'attention over depth keeps the size of the stream more even over layers',
        ),
        flatter(
          'gradient of writes, first to last layer',
          'attention over depth makes the gradients of what layers write more even',
        ),
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

/** A carrier along depth that keeps, for one pass, what layers write and what is read after each. */
class Watched {
  readonly carrier: axis.Carrier
  #seen: { writes: Tensor[]; readouts: Tensor[] } | undefined

  constructor(carrier: axis.Carrier) {
    this.carrier = {
      ...carrier,
      step: (parameters, state, write, context) => {
        const next = carrier.step(parameters, state, write, context)
        this.#seen?.writes.push(write)
        this.#seen?.readouts.push(next.output)
        return next
      },
    }
  }

  during<T>(fn: () => T): { result: T; writes: Tensor[]; readouts: Tensor[] } {
    const seen = { writes: [], readouts: [] }
    this.#seen = seen
    const result = fn()
    this.#seen = undefined
    return { result, ...seen }
  }
}

/** The model whose stack keeps what it computes on the way: gradients are taken for it. */
function unscoped({ enter, stack, norm, leave }: SequenceModel): Pick<SequenceModel, 'forward'> {
  return { forward: (x) => leave.forward(norm.forward(stack.run(enter.forward(x)).output)) }
}

/** Root mean squares by layer: of the stream after it, and of the gradients of what it writes. */
async function alongLayers(
  depth: Watched,
  loss: () => Tensor,
  layers: number,
): Promise<Record<'stream' | 'writes', number[]>> {
  const meanSquares = (all: readonly Tensor[]): Tensor[] => all.map((x) => x.square().mean())
  const found = scope(() => {
    const { result, writes, readouts } = depth.during(loss)
    const gradients = grad(result, writes)
    const per = writes.length / layers
    return {
      stream: meanSquares(readouts.filter((_, k) => k % per === per - 1)),
      writes: meanSquares(writes.map((v) => gradients.get(v))),
    }
  })
  const [stream, writes] = (await Promise.all(
    [found.stream, found.writes].map(async (all) => (await Promise.all(all.map((x) => x.item()))).map(Number)),
  )) as [number[], number[]]
  const per = writes.length / layers
  const ofLayer = (l: number): number => writes.slice(l * per, (l + 1) * per).reduce((sum, x) => sum + x, 0) / per
  return { stream: stream.map(Math.sqrt), writes: stream.map((_, l) => Math.sqrt(ofLayer(l))) }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await command(attentionResiduals)
